"""Reading archives and pickles from untrusted sources, without unpacking them onto the disk.

Only the requested entries of an archive are read. Archives with links, devices or paths that lead out of them are
refused, and so are archives that expand too much.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from scalarization.benchmarks.images import UnusableError, is_companion, listed
from scalarization.errors import DataError

#: An archive's content may be this many times as large as the archive (that of STL-10's is 1.2 times as large).
MAX_RATIO = 20
#: Content of so many bytes is allowed whatever the size of the archive.
ALLOWED_BYTES = 1 << 26
#: Largest image file that is read, in bytes.
MAX_IMAGE_BYTES = 1 << 26
WAY_OUT = "it is no official archive or damaged; fetch it again"


def read_entries(file: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Content of some entries of a ``.tar.gz``, which is read once from its beginning.

    Args:
        file: The archive.
        names: Paths of the entries inside the archive.

    Raises:
        DataError: The archive is damaged, lacks an entry, holds a link or a device, or expands too much.
    """
    names = set(names)
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(file) as stream, tarfile.open(fileobj=_Bounded(stream, file), mode="r|") as archive:
            for entry in archive:
                _check_path(file, entry.name, entry.isreg() or entry.isdir())
                if entry.name in contents:
                    raise DataError(f"{file}: holds {entry.name} twice; {WAY_OUT}")
                if entry.name in names and entry.isreg():
                    contents[entry.name] = _read(archive, entry)
    except DataError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(f"{file}: damaged ({error}); fetch it again") from None
    if missing := names - set(contents):
        raise DataError(f"{file}: lacks {', '.join(sorted(missing))}; {WAY_OUT}")
    return contents


def image_files(
    directory: Path,
    name: str,
    listed_paths: Iterable[str],
    way_out: Callable[[int], str] = lambda held: "fetch it again",
) -> Callable[[str], bytes]:
    """A reader of image files, from an archive or from the folder that it unpacks to.

    Args:
        directory: Directory of ``<name>.zip`` or of the folder ``<name>``.
        name: Name of the archive and of the folder.
        listed_paths: Paths of the files that must exist, below ``directory`` and likewise inside the archive.
        way_out: From the number of files that the archive or folder holds to what the user can do if a listed one is
            missing.

    Returns:
        From a listed path to the file's content; several threads may call it. It raises UnusableError.

    Raises:
        DataError: A listed file is missing, or the archive is damaged, holds links or paths that lead out of it, or
            expands too much.
    """
    file, folder = directory / f"{name}.zip", directory / name
    if not file.is_file() and folder.is_dir():
        _check_listed(folder, set(listed_paths), _files_below(folder, f"{name}/"), way_out)
        return lambda path: _file_content(directory / path)
    archive = _opened_zip(file)
    _check_listed(file, set(listed_paths), {i.filename for i in archive.infolist() if not i.is_dir()}, way_out)

    def content(path: str) -> bytes:
        try:
            return archive.read(path)
        except Exception as error:  # a damaged archive can fail in any way
            raise UnusableError(f"{file}: {path}", f"is damaged ({error})") from None

    return content


def unpickle(content: bytes, name: str) -> Any:
    """Load a pickle of numbers, strings and NumPy arrays, also of Python 2 (whose strings are read as Latin-1).

    Args:
        content: The pickle.
        name: Name of the file, for messages.

    Raises:
        DataError: The pickle is damaged, or would load anything else than arrays.
    """
    try:
        return _Unpickler(content, name).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{name}: not readable as a pickle of arrays ({error}); fetch it again") from None


def _latin1(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes this way under protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


#: Function that makes an empty array, which a pickle then fills.
_reconstruct = np.empty(0).__reduce__()[0]


class _Unpickler(pickle.Unpickler):
    #: All globals that an array in a pickle needs; NumPy 2 moved the first to another module.
    _GLOBALS: ClassVar[dict[tuple[str, str], Any]] = {
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


class _Bounded(io.BufferedIOBase):
    """A stream that raises DataError after as many bytes as an archive's content may have."""

    def __init__(self, stream: gzip.GzipFile, file: Path) -> None:
        self._stream, self._file, self._remaining = stream, file, _limit(file)

    def read(self, size: int | None = -1) -> bytes:
        block = self._stream.read(size)
        self._remaining -= len(block)
        if self._remaining < 0:
            raise DataError(f"{self._file}: {self._file.stat().st_size} bytes expand to too many; {WAY_OUT}")
        return block


def _read(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    """Content of an entry that is a regular file."""
    content = archive.extractfile(entry)
    assert content is not None
    return content.read()


def _limit(file: Path) -> int:
    return max(ALLOWED_BYTES, MAX_RATIO * file.stat().st_size)


def _check_path(file: Path, path: str, plain: bool) -> None:
    if not plain:
        raise DataError(f"{file}: {path} is a link or a device, which no official archive holds; {WAY_OUT}")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise DataError(f"{file}: {path} leads out of the archive; {WAY_OUT}")


def _opened_zip(file: Path) -> zipfile.ZipFile:
    """An archive whose entries are plain files and folders of allowed sizes, each once."""
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # a damaged archive can fail in any way
        raise DataError(f"{file}: damaged ({error}); fetch it again") from None
    paths = set()
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        _check_path(file, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if info.file_size > MAX_IMAGE_BYTES:
            raise DataError(f"{file}: {info.filename} would have {info.file_size} bytes; {WAY_OUT}")
        if info.filename in paths:
            raise DataError(f"{file}: holds {info.filename} twice; {WAY_OUT}")
        paths.add(info.filename)
    total = sum(info.file_size for info in archive.infolist())
    if total > _limit(file):
        raise DataError(f"{file}: {file.stat().st_size} bytes would expand to {total}; {WAY_OUT}")
    return archive


def _files_below(folder: Path, prefix: str) -> set[str]:
    """Paths of the regular files below a folder, with a prefix in the place of the folder's own path."""
    paths = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                paths |= _files_below(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file():
                paths.add(f"{prefix}{entry.name}")
    return paths


def _file_content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnusableError(str(file), f"is not readable ({error.strerror})") from None


def _check_listed(source: Path, listed_paths: set[str], held: set[str], way_out: Callable[[int], str]) -> None:
    if missing := listed_paths - held:
        count = sum(not is_companion(path) for path in held)
        names = listed(sorted(missing))
        raise DataError(f"{source}: lacks {len(missing)} listed images, for example {names}; {way_out(count)}")
