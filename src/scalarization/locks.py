"""Locks on directories: one process at a time works in each, because a cluster may start a job twice."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from scalarization.errors import DataError, StoppedError, not_written

#: Pause between two attempts to take a lock that another process holds.
POLL_SECONDS = 0.5
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(directory: Path, activity: str, stop_reason: Callable[[], str | None]) -> Iterator[bool]:
    """Lock a directory, and wait while another process holds the lock. The kernel releases it when the process ends.

    Args:
        directory: The directory; it is made if it does not exist.
        activity: What the holder of the lock does, for messages: "trains this run".
        stop_reason: Called while waiting; returns why to stop waiting, or None.

    Yields:
        Whether another process held the lock first.

    Raises:
        StoppedError: ``stop_reason`` returned a reason.
        DataError: The file system refuses (read-only, without locks, full).
    """
    file = directory / "lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = file.open("w")
    except OSError as error:
        raise not_written(file, error) from None
    with lock:
        waited = False
        while not _take(lock, file):
            if not waited:
                logger.warning("%s: another process %s; waiting for it", directory, activity)
            elif reason := stop_reason():
                message = f"{directory}: {reason} while another process {activity}"
                raise StoppedError(f"{message}; nothing is lost, run the same command again")
            waited = True
            time.sleep(POLL_SECONDS)
        yield waited


def _take(lock: TextIO, file: Path) -> bool:
    """Lock an open file; returns whether no other process holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise DataError(f"{file}: could not be locked: {error}. Put results on a file system with locks") from None
    return True
