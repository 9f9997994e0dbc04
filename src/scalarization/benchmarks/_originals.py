"""Original files of a benchmark: where they come from, where they lie, and whether they are what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scalarization.errors import DataError

#: A file of this name in ``data_dir``, as ``sha256sum`` writes it, says what the directory holds instead of the data
#: set's authors: it makes a part, or data of one's own in an official format, usable.
SUMS = "SHA256SUMS"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Original:
    """One file as its authors offer it.

    Attributes:
        path: Where it lies, below the directory of downloads.
        url: Where it is offered.
        checksum: ``md5:...`` or ``sha256:...`` as published; None: none is.
        unpacked: What may lie there in place of an archive: path -> checksum. A path that ends in ``/`` is a folder,
            whose files have no checksums.
    """

    path: str
    url: str
    checksum: str | None = None
    unpacked: dict[str, str | None] = field(default_factory=dict)

    def found(self, directory: Path) -> list[str]:
        """Paths of what is there of it: itself, else what was unpacked of it, else nothing."""
        if (directory / self.path).is_file():
            return [self.path]
        there = [(directory / p).is_dir() if p.endswith("/") else (directory / p).is_file() for p in self.unpacked]
        return list(self.unpacked) if there and all(there) else []

    def expected(self, path: str) -> str | None:
        """Published checksum of the file itself, or of something that was unpacked of it."""
        return self.checksum if path == self.path else self.unpacked[path]

    def named(self) -> str:
        """Its path, and what may lie there instead."""
        folder = next((p[: p.rindex("/") + 1] for p in self.unpacked), None)
        return f"{self.path} (or {folder})" if folder else self.path


def read_sums(directory: Path) -> dict[str, str]:
    """Path -> ``sha256:...`` as the directory's own :data:`SUMS` says; empty if it has none.

    Raises:
        DataError: A line of it is not understood.
    """
    file, sums = directory / SUMS, {}
    if file.is_file():
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            digest, _, path = line.partition(" ")
            if len(digest) != 64 or not path.strip(" *"):
                raise DataError(f"{file}: line {number} is '{line}', expected what sha256sum writes")
            sums[path.strip(" *")] = f"sha256:{digest.lower()}"
    return sums


def digests(file: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Algorithm -> hexadecimal digest of a file's content.

    Raises:
        DataError: The file cannot be read.
    """
    found = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    try:
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                for digest in found.values():
                    digest.update(block)
    except OSError as error:
        raise DataError(f"{file}: not readable ({error.strerror}); check its permissions") from None
    return {name: digest.hexdigest() for name, digest in found.items()}


def check(file: Path, found: dict[str, str], expected: str, origin: str, way_out: str) -> None:
    """Compare a file's digests with its checksum.

    Args:
        file: The file.
        found: Algorithm -> its digest.
        expected: Its checksum, with the algorithm.
        origin: Where the checksum comes from.
        way_out: What to do about a difference.

    Raises:
        DataError: They differ.
    """
    algorithm, _, digest = expected.partition(":")
    if found[algorithm] != digest:
        raise DataError(f"{file}: {algorithm} is {found[algorithm]}, expected {digest} ({origin}); {way_out}")


def trusted(original: Original, directory: Path, benchmark: str) -> list[Path]:
    """The original file, or what was unpacked of it, after its checksums were compared.

    Raises:
        DataError: It is not there, or not what was published.
    """
    require([original], directory, benchmark)
    sums, paths = read_sums(directory), original.found(directory)
    for path in paths:
        expected = sums.get(path) or original.expected(path)
        if expected:
            origin = SUMS if path in sums else "published"
            way_out = "it is damaged or another file: delete it and fetch it again"
            found = digests(directory / path, [expected.partition(":")[0]])
            check(directory / path, found, expected, origin, way_out)
    return [directory / path for path in paths]


def require(originals: list[Original], directory: Path, benchmark: str) -> None:
    """Stop if files are not in a directory, with all of their names.

    Raises:
        DataError: One is missing.
    """
    names = [o.named() for o in originals if not o.found(directory)]
    if names:
        raise DataError(
            f"{directory}: {benchmark} is not complete there, missing are {', '.join(names)}; fetch them with: python "
            f"-m scalarization download --benchmark {benchmark}, or set data_dir in config.yaml to where they are"
        )
