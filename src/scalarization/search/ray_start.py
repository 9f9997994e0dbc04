"""Ray on this machine: started within limited time, in a short directory of its own."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from scalarization.errors import UserError
from scalarization.training.shutdown import GracefulShutdown

T = TypeVar("T")
logger = logging.getLogger(__name__)
#: Seconds within which Ray must have started, attempts and pauses included; it takes 4 to 10 on an idle machine.
START_SECONDS = 120
#: Attempts within this time.
STARTS = 3
#: The smallest object store that Ray allows, in bytes: members exchange only a few numbers.
OBJECT_STORE = 80 * 2**20
#: Ray writes little to the terminal, and nothing of its workers.
QUIET: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
PREFIX = "ray-"
#: What a session adds to the directory in which :func:`session_directory` makes its own, at most.
ADDED = "/ray-12345678/s/session_2026-01-31_12-00-00_123456_1234567/sockets/plasma_store.1"
#: Bytes of that directory's path: a socket's has at most 107 (AF_UNIX).
LONGEST_PARENT = 107 - len(ADDED)


class _OutOfTimeError(BaseException):
    """Is raised inside of Ray, which catches whatever is an Exception."""


def limited(function: Callable[[], T], seconds: float, shutdown: GracefulShutdown) -> T:
    """What a function returns that may wait for long, such as Ray's start, unless the job is asked to stop meanwhile.

    Args:
        function: The function.
        seconds: The longest time. Outside of the main thread, to which Python gives signals, there is no limit.
        shutdown: Is asked every second.

    Raises:
        TimeoutError: It took longer.
        StoppedError: The job was asked to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    end = time.monotonic() + seconds

    def look(number: int, frame: FrameType | None) -> None:
        if time.monotonic() > end or shutdown.reason:
            raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, look)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, 1, 1)
            return function()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _OutOfTimeError:
        shutdown.check()
        raise TimeoutError(f"no answer for {seconds:.0f} s") from None
    finally:
        signal.signal(signal.SIGALRM, before)


def use_token() -> None:
    """Protect the sessions of this process by a token, so that other users of these machines do not reach them.

    Commands inherit it. Ray reads it when it is imported; if there is none, Ray writes one into the user's home.
    """
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def ray_here(cpus: int, shutdown: GracefulShutdown) -> Iterator[None]:
    """A Ray session on this machine alone; it ends with the context, and all its files are removed.

    Args:
        cpus: CPU cores that Ray may use.
        shutdown: Is asked every second while Ray starts.

    Raises:
        UserError: Ray does not start in time.
        StoppedError: The job was asked to stop.
    """
    use_token()
    import ray

    options: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    end = time.monotonic() + START_SECONDS
    with session_directory() as directory:
        start = functools.partial(ray.init, "local", _temp_dir=str(directory), **options, **QUIET)
        try:
            for attempt in range(1, STARTS + 1):
                try:
                    limited(start, end - time.monotonic(), shutdown)
                    break
                except UserError:
                    raise
                except Exception as error:  # Ray raises this very class when a busy machine is too slow
                    ray.shutdown()
                    if attempt == STARTS or time.monotonic() > end - 1:
                        raise UserError(
                            f"Ray does not start ({error}); if the machine is busy or its memory full, stop other "
                            "programs or take fewer workers (--workers, snakemake --cores). Run the same command "
                            "again to resume"
                        ) from error
                    logger.warning("Ray did not start, trying again: %s", error)
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def session_directory() -> Iterator[Path]:
    """A directory of this session for Ray's sockets and logs, with a short path; it is removed at the end.

    So are those of sessions that were killed before they could do this.

    Raises:
        UserError: There is no place for it.
    """
    parent = _parent()
    _remove_abandoned(parent)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (directory / "lock").open("w") as lock:
            with contextlib.suppress(OSError):  # without locks here, no session removes the directory either
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield directory / "s"  # Ray opens it to everybody; the directory around it is this user's alone
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _parent() -> Path:
    """The first of the usual directories for temporary files that is writable and has a short path."""
    own = os.environ.get("RAY_TMPDIR")
    usual = [os.environ.get("TMPDIR"), "/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"]
    for name in [own] if own else usual:
        if not name or len(os.fsencode(name)) > LONGEST_PARENT:
            continue
        if Path(name).is_absolute() and Path(name).is_dir() and os.access(name, os.W_OK):
            return Path(name)
    tried = f"RAY_TMPDIR = {own} is not" if own else f"{', '.join(filter(None, usual))}: none is"
    raise UserError(
        f"{tried} a writable directory with an absolute path of at most {LONGEST_PARENT} bytes, as Ray needs for its "
        "sockets; set RAY_TMPDIR to one"
    )


def _remove_abandoned(parent: Path) -> None:
    """Remove directories of killed sessions of this user, whose locks the kernel has released."""
    for lock in parent.glob(f"{PREFIX}????????/lock"):
        with contextlib.suppress(OSError):
            if lock.parent.is_symlink() or lock.parent.stat().st_uid != os.getuid():
                continue
            with lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)


def _run_in_directory(command: Sequence[str]) -> int:
    """Run `ray start` with a directory of its own, until it or this process is ended; returns its exit status."""
    with session_directory() as directory, subprocess.Popen([*command, f"--temp-dir={directory}"]) as process:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: process.terminate())
        return process.wait()


if __name__ == "__main__":  # on each other node of a Slurm job
    sys.exit(_run_in_directory(sys.argv[1:]))
