"""Original files of a benchmark: where they are offered, where they lie, and whether their checksums are right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from scalarization.errors import DataError

#: A file of this name in ``data_dir``, in the format of ``sha256sum``, replaces the published checksums: it allows the
#: use of a part of a data set, or of other data in an official format.
SUMS = "SHA256SUMS"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Original:
    """One file as its authors offer it.

    Attributes:
        path: Path below the directory of downloads.
        url: Address that offers it.
        checksum: ``md5:...`` or ``sha256:...`` as published; None: no checksum is published.
        unpacked: Files and folders that may take the place of an archive: path -> checksum. A path that ends in ``/``
            is a folder, whose files have no checksums.
    """

    path: str
    url: str
    checksum: str | None = None
    unpacked: dict[str, str | None] = field(default_factory=dict)

    def existing(self, directory: Path) -> list[str]:
        """Paths below a directory that exist: the file itself, else all that it unpacks to, else none."""
        if (directory / self.path).is_file():
            return [self.path]
        exists = [(directory / p).is_dir() if p.endswith("/") else (directory / p).is_file() for p in self.unpacked]
        return list(self.unpacked) if exists and all(exists) else []

    def published_checksum(self, path: str) -> str | None:
        """Published checksum of the file itself, or of a file that it unpacks to."""
        return self.checksum if path == self.path else self.unpacked[path]

    @property
    def folder(self) -> str | None:
        """The folder that an archive unpacks to; None if it is no archive."""
        return next((path[: path.rindex("/") + 1] for path in self.unpacked), None)


def read_lines(file: Path) -> list[str]:
    """Lines of a list that comes with a data set, in UTF-8, with or without a byte-order mark.

    Empty lines at the end, and what editors of other systems put at the ends of lines, do not count.

    Raises:
        DataError: The file is missing, or no text in UTF-8.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{file}: not readable ({error.strerror}); check its permissions, or fetch it again") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}: line {line} is no text in UTF-8; fetch it again") from None
    return [line.rstrip("\r") for line in text.rstrip().split("\n")] if text.strip() else []


def read_sums(directory: Path) -> dict[str, str]:
    """Path -> ``sha256:...`` from the :data:`SUMS` of a directory; empty if it has none.

    Raises:
        DataError: A line of it is malformed, or two lines contradict each other.
    """
    file = directory / SUMS
    sums: dict[str, str] = {}
    if file.is_file():
        for number, line in enumerate(read_lines(file), start=1):
            entry = re.fullmatch(r"([0-9a-fA-F]{64}) [ *]?(.*\S.*)", line)
            if not entry:
                raise DataError(f"{file}: line {number} is '{line[:90]}', expected the format of sha256sum")
            path, checksum = PurePosixPath(entry[2]).as_posix(), f"sha256:{entry[1].lower()}"
            if sums.setdefault(path, checksum) != checksum:
                raise DataError(f"{file}: line {number}: {path} has two different checksums; delete the wrong line")
    return sums


def digests(file: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Algorithm -> hexadecimal digest of a file's content.

    Raises:
        DataError: The file cannot be read.
    """
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    try:
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                for digest in hashes.values():
                    digest.update(block)
    except OSError as error:
        raise DataError(f"{file}: not readable ({error.strerror}); check its permissions") from None
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def check(file: Path, actual: dict[str, str], expected: str, origin: str, way_out: str) -> None:
    """Compare a file's digests with its checksum.

    Args:
        file: The file.
        actual: Algorithm -> digest of the file.
        expected: The file's checksum, with the algorithm.
        origin: Source of the checksum, for messages.
        way_out: What the user can do about a difference.

    Raises:
        DataError: They differ.
    """
    algorithm, _, digest = expected.partition(":")
    if actual[algorithm] != digest:
        raise DataError(f"{file}: {algorithm} is {actual[algorithm]}, expected {digest} ({origin}); {way_out}")


def verified_paths(original: Original, directory: Path, benchmark: str) -> list[Path]:
    """Paths of an original file, or of the files that it unpacks to, after their checksums were compared.

    Raises:
        DataError: A file is missing or differs from its checksum.
    """
    require([original], directory, benchmark)
    sums, paths = read_sums(directory), original.existing(directory)
    for path in paths:
        expected = sums.get(path) or original.published_checksum(path)
        if expected:
            origin = SUMS if path in sums else "published"
            way_out = "it is damaged or another file: delete it and fetch it again"
            actual = digests(directory / path, [expected.partition(":")[0]])
            check(directory / path, actual, expected, origin, way_out)
    return [directory / path for path in paths]


def require(originals: list[Original], directory: Path, benchmark: str) -> None:
    """Check that original files exist in a directory.

    Raises:
        DataError: A file is missing; the message names all missing ones.
    """
    missing = [original for original in originals if not original.existing(directory)]
    if missing:
        names = ", ".join(f"{o.path} (or {o.folder})" if o.folder else o.path for o in missing)
        raise DataError(
            f"{directory}: {benchmark} is not complete, missing are {names}; fetch them with: python "
            f"-m scalarization download --benchmark {benchmark}, or set data_dir in config.yaml to their directory"
        )
