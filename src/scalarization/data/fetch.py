"""Fetching one file over HTTP; received bytes are kept when the connection, the process or the machine fails.

Received bytes lie in ``.<name>.part`` in the file's directory, and ``.<name>.part.json`` says which file of which
server they belong to. A later call requests the remaining bytes if the server's file is still the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from scalarization.errors import DataError
from scalarization.storage import PART, read_json, write_json

#: Failures in a row without a new byte after which fetching gives up.
ATTEMPTS = 5
#: Seconds until the second attempt; each further pause is twice as long, up to the longest.
PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds without a response after which a connection counts as broken.
TIMEOUT = 60.0
BLOCK = 1 << 18
#: Status codes after which another attempt makes sense, in addition to all from 500 on.
TEMPORARY = (408, 425, 429)
log = logging.getLogger(__name__)

#: Called with the number of received bytes, and of all bytes (None: the server does not say).
Report = Callable[[int, int | None], None]


class NotFetchedError(Exception):
    """The server refuses the file or cannot be reached; the message says why."""


class _AttemptFailedError(Exception):
    """One attempt failed, and another may succeed; ``pause`` is how long the server asks to wait, in seconds."""

    def __init__(self, reason: str, pause: float = 0) -> None:
        super().__init__(reason)
        self.pause = pause


def fetch(url: str, target: Path, verify: Callable[[Path], None], report: Report, has_checksum: bool) -> None:
    """Fetch a file, or its remaining bytes. If several processes fetch the same file, all but one wait.

    Args:
        url: Address of the file, HTTP or HTTPS.
        target: Path of the file, which appears whole.
        verify: Called with the received file before it gets its name; raises DataError if it is another file.
        report: Called with the progress.
        has_checksum: Whether ``verify`` compares a checksum. Only then is a part completed if the server does not say
            whether its file is still the same.

    Raises:
        NotFetchedError: The server refuses the file or cannot be reached; received bytes are kept.
        DataError: The file could not be written, and received bytes are kept; or ``verify`` raised it.
    """
    part = target.with_name(f".{target.name}{PART}")
    with _explained(part), _locked(target):
        if target.is_file():
            return
        while True:
            resumed = _receive_all(url, part, report, has_checksum)
            try:
                verify(part)
                break
            except DataError as error:
                _discard(part)
                if not resumed:
                    raise
                log.warning("%s; it may consist of parts of two files, fetching it again from its first byte", error)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        _discard(part)


def _receive_all(url: str, part: Path, report: Report, has_checksum: bool) -> bool:
    """Make attempts until the file is complete; returns whether it consists of several responses."""
    failures, most_received = 0, _size(part)
    while True:
        try:
            return _receive(url, part, report, has_checksum)
        except _AttemptFailedError as error:
            received = _size(part)
            failures = 1 if received > most_received else failures + 1
            most_received = max(most_received, received)
            if failures > ATTEMPTS:
                raise NotFetchedError(
                    f"{error}, {ATTEMPTS} times in a row; {received} bytes are kept in {part}, run again to resume"
                ) from None
            pause = min(max(PAUSE * 2 ** (failures - 1), error.pause), LONGEST_PAUSE)
            log.warning("%s: %s; trying again in %g s", url, error, pause)
            time.sleep(pause)


def _receive(url: str, part: Path, report: Report, has_checksum: bool) -> bool:
    """One attempt: request the remaining bytes and append them; returns whether the part had bytes before."""
    kept, state = _size(part), _read_state(part)
    validator = state.get("validator")
    if state.get("url") != url or not (validator or has_checksum):
        kept = 0
    # The identity encoding, because the length and offsets of a compressed response are not those of the file.
    headers = {"User-Agent": "scalarization", "Accept-Encoding": "identity"}
    if kept:
        headers["Range"] = f"bytes={kept}-"
        if validator:
            headers["If-Range"] = validator
    with _requested(urllib.request.Request(url, headers=headers), part, kept) as response:
        if response is None:
            return True
        if response.headers.get_content_type() == "text/html":
            raise NotFetchedError("the server answered with a web page in place of the file")
        first, total = _announced(response)
        if first not in (0, kept) or (first and total != state.get("total", total)):
            _discard(part)
            raise _AttemptFailedError("the server's file has changed, or it sent another part than was requested")
        _check_space(part, total, first)
        received = first
        with part.open("r+b" if first else "wb") as file:
            if not first:
                # The part was emptied first, because the state must never describe other bytes than those in the part.
                state = {"url": url, "validator": _validator(response), "total": total}
                write_json(_state_file(part), {k: v for k, v in state.items() if v is not None})
            file.seek(first)
            for block in _blocks(response):
                file.write(block)
                received += len(block)
                report(received, total)
    if total is not None and received != total:
        raise _AttemptFailedError(f"the connection ended after {received} of {total} bytes")
    return first > 0


@contextlib.contextmanager
def _requested(request: urllib.request.Request, part: Path, kept: int) -> Iterator[http.client.HTTPResponse | None]:
    """The server's response; None if the part already has all bytes."""
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and kept:
                if error.headers.get("Content-Range") == f"bytes */{kept}":
                    yield None
                    return
                _discard(part)
                raise _AttemptFailedError("the server's file has changed") from None
            if error.code in TEMPORARY or error.code >= 500:
                pause = error.headers.get("Retry-After", "")
                reason = f"HTTP {error.code} {error.reason}"
                raise _AttemptFailedError(reason, int(pause) if pause.isdecimal() else 0) from None
            raise NotFetchedError(f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None) or error or type(error).__name__
        raise _AttemptFailedError(f"no connection ({cause})") from None
    with response:
        yield response


def _announced(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Offset of the response in the file, and length of the whole file (None: the server does not say)."""
    length = response.headers.get("Content-Length", "")
    if response.status == 206:
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not content_range:
            raise NotFetchedError("the server sent a part of the file without its range")
        first = int(content_range[1])
        if content_range[2] != "*":
            return first, int(content_range[2])
        return first, first + int(length) if length.isdecimal() else None
    return 0, int(length) if length.isdecimal() else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    """Header that identifies the version of the server's file; weak tags do not guarantee equal bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _AttemptFailedError(f"the connection broke ({error or type(error).__name__})") from None
        if not block:
            return
        yield block


def _check_space(part: Path, total: int | None, kept: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - kept > free:
        raise OSError(errno.ENOSPC, f"{total - kept} bytes are missing and {free} are free")


@contextlib.contextmanager
def _explained(part: Path) -> Iterator[None]:
    """Turns errors of the file system into messages with a way out; network errors are handled before."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{part}: could not be written: {error.strerror}. Make room or check permissions, then run again; "
            "received bytes are kept"
        ) from None


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Wait until no other process fetches the same file; the kernel releases the lock however a process ends."""
    path = target.with_name(f".{target.name}.lock")
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another process is fetching it, waiting", target)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        # Removed only now: processes that come later see the file and need no lock.
        path.unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path) -> dict:
    try:
        return read_json(_state_file(part))
    except DataError:
        return {}


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)
