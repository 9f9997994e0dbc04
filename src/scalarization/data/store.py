"""Prepared store: one memory-mappable array of images and one of labels per domain, and ``dataset.json``.

Rows are sorted by split, so that a split is a slice. Each split is shuffled once, so that the first rows of the train
split are a random subset of it.

Images that do not fit into memory are stored encoded: one file with the JPEGs of a domain one after the other, and an
array of the offset of each JPEG and of the end of the last; ``dataset.json`` then has ``encoding`` and ``image_size``.

Dense tasks have one array of maps each in place of the labels; ``dataset.json`` then has ``maps``: task -> format and
statistics over the train split.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scalarization.benchmarks.images import listed
from scalarization.data.files import damaged_files, newly_damaged_files, remember_written
from scalarization.errors import DataError
from scalarization.storage import CHECKSUM_KEY, read_json, write_json

#: Version of the store's format, in ``dataset.json``. Version 1 had no types and shapes of arrays.
FORMAT = 2
#: Keys of ``dataset.json`` that say where a store comes from. Stores that differ only in these train the same models.
PROVENANCE = frozenset({CHECKSUM_KEY, "fingerprint", "sources", "originals", "equal_images", "remarks"})


def read_description(file: Path) -> dict[str, Any]:
    """Content of a ``dataset.json``, after checking sizes of all files, and checksums of those that have changed.

    Files are read only if they have changed since this host compared them; :class:`Store` compares all of them once.

    Raises:
        DataError: A file is missing or damaged.
    """
    if not file.is_file():
        raise DataError(f"{file}: no prepared data; make it with: snakemake --cores all {shlex.quote(str(file))}")
    try:
        metadata = read_json(file)
    except DataError as error:
        raise DataError(f"{error}; {_way_out(file.parent)}") from None
    if metadata.get("format") != FORMAT:
        version = metadata.get("format")
        raise DataError(f"{file}: format {version}, this code reads {FORMAT}; {_way_out(file.parent)}")
    for expected in _files(metadata):
        path = file.parent / expected["name"]
        if not path.is_file():
            raise DataError(f"{path}: missing; {_way_out(file.parent)}")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise DataError(f"{path}: {size} bytes, expected {expected['bytes']}; {_way_out(file.parent)}")
    _refuse(file.parent, newly_damaged_files(file.parent, _checksums(metadata), first_time=False))
    return metadata


def complete_store(directory: Path, content: dict[str, Any]) -> None:
    """Write ``dataset.json``, after all other files of a store, whose entries its ``content`` has.

    Raises:
        DataError: The file system refuses.
    """
    write_json(directory / "dataset.json", content)
    remember_written(directory, _checksums(content))


def normalisation(benchmark: str, mean: np.ndarray, std: np.ndarray) -> dict[str, list[float]]:
    """Entry of ``dataset.json`` with mean and standard deviation of each channel, for values from 0 to 1.

    Raises:
        DataError: A channel is constant, or not finite, in all training images.
    """
    for channel, deviation in enumerate(rounded := np.round(std, 6)):
        if not (np.isfinite(deviation) and deviation > 0):
            raise DataError(f"{benchmark}: channel {channel} is the same in all pixels of the training images")
    return {"mean": np.round(mean, 6).tolist(), "std": rounded.tolist()}


def digest_of(metadata: dict[str, Any]) -> str:
    """Digest of a store's content, from its ``dataset.json``, which has the checksums of all files."""
    content = {key: value for key, value in metadata.items() if key not in PROVENANCE}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class Store:
    """A prepared store, opened for reading; arrays are memory-mapped.

    Sizes, headers and ``dataset.json`` are checked every time, checksums of all files once per host and whenever a file
    has changed.

    Args:
        file: Its ``dataset.json``.

    Attributes:
        directory: Directory of the store.
        metadata: Content of ``dataset.json``.
        digest: Digest of the store's content, see :func:`digest_of`.

    Raises:
        DataError: A file is missing, damaged or not as ``dataset.json`` says.
    """

    def __init__(self, file: Path) -> None:
        self.directory = file.parent
        self.metadata = read_description(file)
        self.digest = digest_of(self.metadata)
        _refuse(self.directory, newly_damaged_files(self.directory, _checksums(self.metadata), first_time=True))
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._encoded: dict[str, int] = {}
        for domain, described in self.metadata["domains"].items():
            for kind, expected in described["files"].items():
                if kind == "images" and self.is_encoded:
                    self._encoded[domain] = os.open(self.directory / expected["name"], os.O_RDONLY | os.O_CLOEXEC)
                    weakref.finalize(self, os.close, self._encoded[domain])
                else:
                    self._arrays[domain, kind] = self._opened(expected)

    @property
    def domains(self) -> list[str]:
        """Names of the domains."""
        return list(self.metadata["domains"])

    @property
    def maps(self) -> dict[str, dict[str, Any]]:
        """Dense task -> format and statistics of its maps; empty for other tasks."""
        return self.metadata.get("maps", {})

    @property
    def is_encoded(self) -> bool:
        """Whether images are encoded, to be decoded while training."""
        return "encoding" in self.metadata

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.metadata["classes"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels; of encoded images after decoding."""
        if self.is_encoded:
            return (self.metadata["image_size"], self.metadata["image_size"], 3)
        return self._arrays[self.domains[0], "images"].shape[1:]

    def images(self, domain: str, split: str) -> np.ndarray:
        """uint8 array [N, H, W, C] of a split, memory-mapped."""
        return self._slice(domain, split, "images")

    def labels(self, domain: str, split: str) -> np.ndarray:
        """Labels of a split, memory-mapped: int64 [N] of classes, or uint8 [N, A] of attributes."""
        return self._slice(domain, split, "labels")

    def array(self, domain: str, kind: str) -> np.ndarray:
        """One array of all splits, memory-mapped: ``images``, ``labels`` or the maps of a task."""
        return self._arrays[domain, kind]

    def encoded(self, domain: str, row: int) -> bytes:
        """Content of one encoded image; rows number the images of all splits of the domain."""
        offsets = self._arrays[domain, "offsets"]
        start, stop = offsets.item(row), offsets.item(row + 1)
        # Memory-mapped pages would be read one by one and count as memory of this process.
        return os.pread(self._encoded[domain], stop - start, start)

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            DataError: Files differ; the message names all of them.
        """
        _refuse(self.directory, damaged_files(self.directory, _checksums(self.metadata)))

    def _opened(self, expected: dict[str, Any]) -> np.ndarray:
        path = self.directory / expected["name"]
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header can fail in any way
            raise DataError(f"{path}: damaged ({error}); {_way_out(self.directory)}") from None
        if array.dtype.str != expected["dtype"] or list(array.shape) != expected["shape"]:
            actual, wanted = f"{array.dtype.str} {array.shape}", f"{expected['dtype']} {tuple(expected['shape'])}"
            raise DataError(f"{path}: damaged, it has {actual}, expected {wanted}; {_way_out(self.directory)}")
        return array

    def _slice(self, domain: str, split: str, kind: str) -> np.ndarray:
        start, stop = self.metadata["domains"][domain]["splits"][split]
        return self._arrays[domain, kind][start:stop]


def _files(metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Entries of all files."""
    for described in metadata["domains"].values():
        yield from described["files"].values()


def _checksums(metadata: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["sha256"] for entry in _files(metadata)}


def _refuse(directory: Path, damaged: list[str]) -> None:
    if damaged:
        names = listed(directory / name for name in damaged)
        raise DataError(f"{names}: checksum differs; {_way_out(directory)}")


def _way_out(directory: Path) -> str:
    return f"delete {directory} and run snakemake again to prepare it anew"
