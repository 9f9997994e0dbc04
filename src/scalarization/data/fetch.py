"""Fetching one file over HTTP so that nothing is lost when the connection, the process or the machine goes away.

What has arrived lies in ``.<name>.part`` beside the file, and in ``.<name>.part.json`` which file of which server it is
the beginning of. A later call asks for the rest, on condition that the server's file is still the same one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import json
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
from scalarization.storage import PART, write_json

#: Failures in a row, without anything new having arrived, after which nothing is tried any more.
ATTEMPTS = 5
#: Seconds until the second attempt; each further one waits twice as long, up to the longest.
PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds without an answer after which a connection counts as broken.
TIMEOUT = 60.0
BLOCK = 1 << 18
#: What a server says that may well answer next time; so does everything from 500 on.
AGAIN = (408, 425, 429)
log = logging.getLogger(__name__)

#: Told of progress: bytes that are there, and bytes in all if the server says.
Report = Callable[[int, int | None], None]


class Refused(Exception):
    """The server will not give the file, however often it is asked."""


class _Broken(Exception):
    """An attempt failed; ``pause`` is how long the server wants to be left alone, in seconds."""

    def __init__(self, reason: str, pause: float = 0) -> None:
        super().__init__(reason)
        self.pause = pause


def fetch(url: str, target: Path, accept: Callable[[Path], None], report: Report, guarded: bool) -> None:
    """Fetch a file, or what is missing of it. Several processes may fetch the same one: all but one wait.

    Args:
        url: Where it is offered, by HTTP or HTTPS.
        target: Where it belongs; it appears there whole.
        accept: Looks at what has arrived before it gets its name; raises DataError if it is not the file.
        report: Told of progress.
        guarded: Whether ``accept`` knows the file's checksum, so that a part may be completed although the server does
            not tell whether its file is still the same.

    Raises:
        Refused: The server will not give it.
        DataError: It could not be fetched or written; what has arrived is kept. Or it was not accepted.
    """
    part = target.with_name(f".{target.name}{PART}")
    with _written(part), _alone(target):
        if target.is_file():
            return
        while True:
            resumed = _receive_all(url, part, report, guarded)
            try:
                accept(part)
                break
            except DataError as error:
                _forget(part)
                if not resumed:
                    raise
                log.warning(
                    "%s; what was resumed may be of two files, it is fetched once more from its beginning", error
                )
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        _forget(part)


def _receive_all(url: str, part: Path, report: Report, guarded: bool) -> bool:
    """As many attempts as it takes; returns whether the file was put together from several answers."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            return _receive(url, part, report, guarded)
        except _Broken as error:
            there = _size(part)
            failures = 1 if there > furthest else failures + 1
            furthest = max(furthest, there)
            if failures > ATTEMPTS:
                raise DataError(
                    f"{url}: {error}, {ATTEMPTS} times in a row; {there} bytes are kept in {part}, run again to go on"
                ) from None
            pause = min(max(PAUSE * 2 ** (failures - 1), error.pause), LONGEST_PAUSE)
            log.warning("%s: %s; asks again in %g s", url, error, pause)
            time.sleep(pause)


def _receive(url: str, part: Path, report: Report, guarded: bool) -> bool:
    """One attempt: ask for what is missing, append what comes; returns whether something was there before."""
    have, known = _size(part), _read_state(part)
    unchanged = known.get("validator")
    if known.get("url") != url or not (unchanged or guarded):
        have = 0
    # Compressed on the way, a file would have neither its length nor its bytes.
    headers = {"User-Agent": "scalarization", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if unchanged:
            headers["If-Range"] = unchanged
    with _asked(urllib.request.Request(url, headers=headers), part, have) as response:
        if response is None:
            return True
        if response.headers.get_content_type() == "text/html":
            raise Refused("the server answered with a web page in place of the file")
        first, total = _announced(response)
        if first not in (0, have) or first and total != known.get("total", total):
            _forget(part)
            raise _Broken("the server's file has changed or its answer is another part than was asked for")
        _check_room(part, total, first)
        there = first
        with part.open("r+b" if first else "wb") as file:
            if not first:
                # In this order: the state must never be that of other bytes than the part holds.
                state = {"url": url, "validator": _validator(response), "total": total}
                write_json(_state_file(part), {k: v for k, v in state.items() if v is not None})
            file.seek(first)
            for block in _blocks(response):
                file.write(block)
                there += len(block)
                report(there, total)
    if total is not None and there != total:
        raise _Broken(f"the connection ended after {there} of {total} bytes")
    return first > 0


@contextlib.contextmanager
def _asked(request: urllib.request.Request, part: Path, have: int) -> Iterator[http.client.HTTPResponse | None]:
    """The server's answer; None if it has nothing to add to what is there."""
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    yield None
                    return
                _forget(part)
                raise _Broken("the server's file has changed") from None
            if error.code in AGAIN or error.code >= 500:
                asked = error.headers.get("Retry-After", "")
                raise _Broken(f"HTTP {error.code} {error.reason}", int(asked) if asked.isdecimal() else 0) from None
            raise Refused(f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"no connection ({getattr(error, 'reason', None) or error or type(error).__name__})") from None
    with response:
        yield response


def _announced(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where in the file the answer begins, and the length of the whole file if the server says."""
    length = response.headers.get("Content-Length", "")
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found:
            raise Refused("the server sent a part of the file and did not tell which")
        first = int(found[1])
        if found[2] != "*":
            return first, int(found[2])
        return first, first + int(length) if length.isdecimal() else None
    return 0, int(length) if length.isdecimal() else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What tells whether the server's file is still the same; weak tags do not say so byte by byte."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(f"the connection broke ({error or type(error).__name__})") from None
        if not block:
            return
        yield block


def _check_room(part: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise OSError(errno.ENOSPC, f"{total - have} bytes are missing and there is room for {free}")


@contextlib.contextmanager
def _written(part: Path) -> Iterator[None]:
    """Says what to do where the file system refuses; network errors never come this far."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{part}: could not be written: {error.strerror}. Make room or check permissions, then run again; what has "
            "arrived is kept"
        ) from None


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Wait until no other process fetches the same file; the kernel frees the lock however a process ends."""
    path = target.with_name(f".{target.name}.lock")
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another process fetches it; waits", target)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        # Only now that the file is there does nobody need the lock any more.
        path.unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_state(part: Path) -> dict:
    try:
        return json.loads(_state_file(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)
