"""Prepared store: one memory-mappable array of images and one of labels per domain, and ``dataset.json``.

Rows are sorted by split, so that a split is a slice; within a split they are shuffled once, so that the beginning of
the train split is a random subset of it.

Data that do not fit into memory are stored encoded: the JPEGs of a domain one after the other in one file, and an array
of where each begins and the last one ends; ``dataset.json`` then has ``encoding`` and ``image_size``.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from pathlib import Path

import numpy as np

from scalarization.errors import DataError

FORMAT = 1


class Store:
    """A prepared store, opened for reading; arrays are memory-mapped.

    Args:
        file: Its ``dataset.json``.

    Raises:
        DataError: A file is missing or not what ``dataset.json`` says.
    """

    def __init__(self, file: Path) -> None:
        self.directory = file.parent
        again = f"delete {self.directory} and run snakemake again to prepare it anew"
        try:
            self.facts = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{file}: no prepared data; make it with: snakemake --cores all {file}") from None
        except ValueError as error:
            raise DataError(f"{file}: damaged ({error}); {again}") from None
        found = self.facts.get("format") if isinstance(self.facts, dict) else None
        if found != FORMAT:
            raise DataError(f"{file}: format {found}, this code reads {FORMAT}; {again}")
        self.digest = hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()[:16]
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._encoded: dict[str, int] = {}
        for domain, described in self.facts["domains"].items():
            for kind, expected in described["files"].items():
                path = self.directory / expected["name"]
                if not path.is_file():
                    raise DataError(f"{path}: missing; {again}")
                if path.stat().st_size != expected["bytes"]:
                    raise DataError(f"{path}: {path.stat().st_size} bytes, expected {expected['bytes']}; {again}")
                if kind == "images" and "encoding" in self.facts:
                    self._encoded[domain] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    weakref.finalize(self, os.close, self._encoded[domain])
                    continue
                try:
                    self._arrays[domain, kind] = np.load(path, mmap_mode="r")
                except ValueError as error:
                    raise DataError(f"{path}: damaged ({error}); {again}") from None

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.facts["classes"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        domain = next(iter(self.facts["domains"]))
        return self._arrays[domain, "images"].shape[1:]

    def images(self, domain: str, split: str) -> np.ndarray:
        """uint8 array [N, H, W, C] of a split, memory-mapped."""
        return self._slice(domain, split, "images")

    def labels(self, domain: str, split: str) -> np.ndarray:
        """int64 array [N] of a split, memory-mapped."""
        return self._slice(domain, split, "labels")

    def array(self, domain: str, kind: str) -> np.ndarray:
        """All splits of ``images``, ``labels`` or a task's maps, one after the other, memory-mapped."""
        return self._arrays[domain, kind]

    def encoded(self, domain: str, row: int) -> bytes:
        """Content of one encoded image; rows are counted over all splits of the domain."""
        offsets = self._arrays[domain, "offsets"]
        start, stop = offsets.item(row), offsets.item(row + 1)
        # Not mapped into memory, where each page is read on its own and counts as this process's.
        return os.pread(self._encoded[domain], stop - start, start)

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            DataError: One differs.
        """
        for described in self.facts["domains"].values():
            for expected in described["files"].values():
                path = self.directory / expected["name"]
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != expected["sha256"]:
                    raise DataError(f"{path}: checksum differs; delete {self.directory} and run snakemake again")

    def _slice(self, domain: str, split: str, kind: str) -> np.ndarray:
        start, stop = self.facts["domains"][domain]["splits"][split]
        return self._arrays[domain, kind][start:stop]
