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
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from scalarization.errors import DataError

#: Version of the store's format, in ``dataset.json``.
FORMAT = 1


class Store:
    """A prepared store, opened for reading; arrays are memory-mapped.

    Args:
        file: Its ``dataset.json``.

    Attributes:
        directory: Directory of the store.
        metadata: Content of ``dataset.json``.
        digest: Digest of ``metadata``, which has the checksums of all files.

    Raises:
        DataError: A file is missing, damaged or has another size than ``dataset.json`` says.
    """

    def __init__(self, file: Path) -> None:
        self.directory = file.parent
        way_out = f"delete {self.directory} and run snakemake again to prepare it anew"
        try:
            self.metadata = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{file}: no prepared data; make it with: snakemake --cores all {file}") from None
        except ValueError as error:
            raise DataError(f"{file}: damaged ({error}); {way_out}") from None
        version = self.metadata.get("format") if isinstance(self.metadata, dict) else None
        if version != FORMAT:
            raise DataError(f"{file}: format {version}, this code reads {FORMAT}; {way_out}")
        self.digest = hashlib.sha256(json.dumps(self.metadata, sort_keys=True).encode()).hexdigest()[:16]
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._encoded: dict[str, int] = {}
        for domain, described in self.metadata["domains"].items():
            for kind, expected in described["files"].items():
                path = self.directory / expected["name"]
                if not path.is_file():
                    raise DataError(f"{path}: missing; {way_out}")
                if path.stat().st_size != expected["bytes"]:
                    raise DataError(f"{path}: {path.stat().st_size} bytes, expected {expected['bytes']}; {way_out}")
                if kind == "images" and self.is_encoded:
                    self._encoded[domain] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    weakref.finalize(self, os.close, self._encoded[domain])
                    continue
                try:
                    self._arrays[domain, kind] = np.load(path, mmap_mode="r")
                except ValueError as error:
                    raise DataError(f"{path}: damaged ({error}); {way_out}") from None

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
            DataError: A file differs.
        """
        for described in self.metadata["domains"].values():
            for expected in described["files"].values():
                path = self.directory / expected["name"]
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest != expected["sha256"]:
                    raise DataError(f"{path}: checksum differs; delete {self.directory} and run snakemake again")

    def _slice(self, domain: str, split: str, kind: str) -> np.ndarray:
        start, stop = self.metadata["domains"][domain]["splits"][split]
        return self._arrays[domain, kind][start:stop]
