"""Writing the files of a store with their checksums, and comparing them later: once per host and after every change."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import platform
import re
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scalarization.errors import DataError
from scalarization.storage import read_json, replacing, write_json

#: Files of more bytes are read for a while, which the log announces.
ANNOUNCED_BYTES = 1 << 30
#: Seconds after which a changed file has another time: file systems count time in ticks of up to 10 ms.
TICK = 0.02
log = logging.getLogger(__name__)


class HashedFile:
    """Writes a file and computes its checksum meanwhile.

    Args:
        file: Open file.

    Attributes:
        digest: SHA-256 of the bytes written so far.
        bytes: Number of bytes written so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.bytes = file, hashlib.sha256(), 0

    def write(self, content: Any) -> None:
        """Append bytes."""
        self.file.write(content)
        self.digest.update(content)
        self.bytes += len(content)

    def describe(self, name: str, **shape: Any) -> dict[str, Any]:
        """Entry of ``dataset.json`` for the file under its final name."""
        return {"name": name, "bytes": self.bytes, "sha256": self.digest.hexdigest(), **shape}


def write_array(path: Path, array: np.ndarray) -> dict[str, Any]:
    """Write a .npy file whole or not at all; returns its entry of ``dataset.json``."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        hashed = HashedFile(file)
        np.lib.format.write_array(hashed, array, allow_pickle=False)
    return hashed.describe(path.name, dtype=array.dtype.str, shape=list(array.shape))


def damaged_files(directory: Path, checksums: Mapping[str, str]) -> list[str]:
    """Names of the files that differ from their checksums; every file is read.

    Args:
        directory: Directory of the files.
        checksums: Name -> SHA-256.
    """
    return [name for name, checksum in checksums.items() if _sha256(directory / name) != checksum]


def newly_damaged_files(directory: Path, checksums: Mapping[str, str], first_time: bool) -> list[str]:
    """Names of the files that differ from their checksums, of those that this host has not compared yet.

    A file counts as compared while its size and times are as they were. What was compared is kept in a hidden file of
    the directory, one for each host; if it cannot be written, files are compared every time.

    Args:
        directory: Directory of the files.
        checksums: Name -> SHA-256.
        first_time: Whether files are read that this host has never compared; otherwise only those that have changed.
    """
    if not _pending(directory, checksums, first_time):
        return []
    with _locked(directory):
        pending = _pending(directory, checksums, first_time)  # another process may have compared them meanwhile
        if sum((directory / name).stat().st_size for name in pending) > ANNOUNCED_BYTES:
            log.info("%s: comparing its files with their checksums, once on this host", directory)
        states = {name: _state(settled(directory / name), checksums[name]) for name in pending}
        damaged = damaged_files(directory, {name: checksums[name] for name in pending})
        _remember(directory, {name: state for name, state in states.items() if name not in damaged})
    return damaged


def remember_written(directory: Path, checksums: Mapping[str, str]) -> None:
    """Note that this host knows the checksums of files that it has just written."""
    with _locked(directory):
        _remember(directory, {n: _state(settled(directory / n), checksum) for n, checksum in checksums.items()})


def settled(path: Path) -> os.stat_result:
    """Size and times of a file or folder, at a time when any later change will give it other times."""
    status = path.stat()
    age = time.time() - status.st_ctime
    if 0 <= age < TICK:
        time.sleep(TICK - age)
        status = path.stat()
    return status


def _pending(directory: Path, checksums: Mapping[str, str], first_time: bool) -> Collection[str]:
    compared = _compared(directory)
    return [
        name
        for name, checksum in checksums.items()
        if compared.get(name) != _state((directory / name).stat(), checksum) and (first_time or name in compared)
    ]


def _state(status: os.stat_result, checksum: str) -> dict[str, Any]:
    """What tells whether a file is still the one that was compared; the time of change cannot be set by programs."""
    times = {"modified_ns": status.st_mtime_ns, "changed_ns": status.st_ctime_ns}
    return {"sha256": checksum, "bytes": status.st_size, **times}


def _memory(directory: Path, suffix: str) -> Path:
    host = re.sub(r"[^\w.-]", "_", platform.node()) or "unnamed"
    return directory / f".verified.{host}.{suffix}"


def _compared(directory: Path) -> dict[str, Any]:
    """Name -> state of the files that this host has compared."""
    try:
        return read_json(_memory(directory, "json"))["files"]
    except (DataError, KeyError):
        return {}


def _remember(directory: Path, states: Mapping[str, Any]) -> None:
    if states:
        try:
            write_json(_memory(directory, "json"), {"files": {**_compared(directory), **states}})
        except DataError as error:
            log.info("%s; its files will be compared again", error)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One process of a host reads the files; others wait, if the directory can be written to."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context(_memory(directory, "lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file}: not readable ({error.strerror}); check permissions and disk") from None
