"""Locks on directories: one process at a time works in each, because a cluster may start a job twice."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scalarization.errors import StoppedError

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
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        waited = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    logger.warning("%s: another process %s; waiting for it", directory, activity)
                elif reason := stop_reason():
                    message = f"{directory}: {reason} while another process {activity}"
                    raise StoppedError(f"{message}; nothing is lost, run the same command again") from None
            waited = True
            time.sleep(POLL_SECONDS)
        yield waited
