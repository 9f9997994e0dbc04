"""Reading archives and pickles that came from elsewhere, without unpacking anything onto the disk.

What an archive can do to who reads it is bounded: no member but the wanted ones is looked at, an archive with links,
devices or paths that lead out of it is refused, and so is one that grows too much.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from scalarization.errors import DataError

#: An archive may hold this many times its own size (STL-10's holds 1.2 times), or this much if that is more.
RATIO, FLOOR = 20, 1 << 26
#: Largest image file that is read, in bytes.
MAX_IMAGE = 1 << 26
AGAIN = "it is no official archive or damaged; fetch it again"


def read_members(file: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Content of some members of a ``.tar.gz``, which is read once from its beginning.

    Args:
        file: The archive.
        wanted: Paths inside.

    Raises:
        DataError: The archive is damaged, lacks a member, holds what is no plain file, or grows too much.
    """
    wanted, found = set(wanted), {}
    try:
        with gzip.open(file) as content, tarfile.open(fileobj=_Bounded(content, file), mode="r|") as archive:
            for member in archive:
                _check_path(file, member.name, member.isreg() or member.isdir())
                if member.name in found:
                    raise DataError(f"{file}: holds {member.name} twice; {AGAIN}")
                if member.name in wanted and member.isreg():
                    found[member.name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: damaged ({error}); fetch it again") from None
    if absent := wanted - set(found):
        raise DataError(f"{file}: lacks {', '.join(sorted(absent))}; {AGAIN}")
    return found


def image_files(directory: Path, name: str, listed: Iterable[str]) -> Callable[[str], bytes]:
    """How the content of image files is read, from an archive or from the folder that it unpacks to.

    Args:
        directory: Where ``<name>.zip`` or the folder ``<name>`` lies.
        name: Their name.
        listed: Paths of the files that must be there, below ``directory`` and alike inside the archive.

    Returns:
        From a listed path to the file's content; may be called by several threads.

    Raises:
        DataError: A listed file is missing, or the archive is damaged, holds links or leads out of itself, or grows
            too much.
    """
    file, folder = directory / f"{name}.zip", directory / name
    if not file.is_file() and folder.is_dir():
        there = {
            (Path(root) / entry).relative_to(directory).as_posix()
            for root, _, entries in os.walk(folder)
            for entry in entries
        }
        _check_listed(folder, set(listed) - there)
        return lambda path: (directory / path).read_bytes()
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{file}: damaged ({error}); fetch it again") from None
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        _check_path(file, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if info.file_size > MAX_IMAGE:
            raise DataError(f"{file}: {info.filename} would have {info.file_size} bytes; {AGAIN}")
    total = sum(info.file_size for info in archive.infolist())
    if total > _limit(file):
        raise DataError(f"{file}: {file.stat().st_size} bytes that would become {total}; {AGAIN}")
    _check_listed(file, set(listed) - set(archive.namelist()))

    def content(path: str) -> bytes:
        try:
            return archive.read(path)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError) as error:
            raise DataError(f"{file}: {path} is damaged ({error}); fetch the archive again") from None

    return content


def unpickle(content: bytes, name: str) -> Any:
    """What a pickle of numbers, texts and NumPy arrays holds, also one that Python 2 wrote (its texts as Latin-1).

    Args:
        content: The pickle.
        name: Of the file, for messages.

    Raises:
        DataError: It is damaged, or would load anything else than arrays.
    """
    try:
        return _Unpickler(content, name).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{name}: not readable as a pickle of arrays ({error}); fetch it again") from None


def _latin1(text: str, encoding: str) -> bytes:
    """As Python 3 writes bytes for protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


#: Makes an empty array, which a pickle then fills.
_reconstruct = np.empty(0).__reduce__()[0]


class _Unpickler(pickle.Unpickler):
    #: All that an array in a pickle needs; NumPy 2 moved the first.
    _GLOBALS = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
    }

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._GLOBALS[module, name]
        except KeyError:
            raise DataError(
                f"{self._name}: would load {module}.{name}, which no official file does; it is not read. "
                "Delete it and fetch it again"
            ) from None


class _Bounded:
    """A stream that refuses to go on after as many bytes as an archive may hold."""

    def __init__(self, content: BinaryIO, file: Path) -> None:
        self._content, self._file, self._left = content, file, _limit(file)

    def read(self, size: int) -> bytes:
        block = self._content.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise DataError(f"{self._file}: {self._file.stat().st_size} bytes that become too many; {AGAIN}")
        return block


def _limit(file: Path) -> int:
    return max(FLOOR, RATIO * file.stat().st_size)


def _check_path(file: Path, path: str, plain: bool) -> None:
    if not plain:
        raise DataError(f"{file}: {path} is a link or a device, which no official archive holds; {AGAIN}")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise DataError(f"{file}: {path} leads out of the archive; {AGAIN}")


def _check_listed(place: Path, absent: set[str]) -> None:
    if absent:
        raise DataError(f"{place}: lacks {len(absent)} listed images, for example {min(absent)}; fetch it again")
