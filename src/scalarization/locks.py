"""A directory that one process at a time works in: clusters may start a job twice."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scalarization.errors import StoppedError

#: Between two attempts to take a lock that another process holds.
POLL_SECONDS = 0.5
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(directory: Path, does: str, reason: Callable[[], str | None]) -> Iterator[bool]:
    """Hold a directory, which is made if need be; wait while another process holds it. It ends with the process.

    Args:
        directory: What to hold.
        does: What a holder does: "trains this run".
        reason: Asked while waiting: why to give up, or None.

    Returns:
        Whether there was somebody to wait for.

    Raises:
        StoppedError: There was a reason.
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
                    logger.warning("%s: another process %s; waiting for it", directory, does)
                elif why := reason():
                    message = f"{directory}: {why} while another process {does}"
                    raise StoppedError(f"{message}; nothing is lost, run the same command again") from None
            waited = True
            time.sleep(POLL_SECONDS)
        yield waited
