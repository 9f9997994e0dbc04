"""Locks on directories."""

import errno
import fcntl
import os

import pytest

from scalarization.errors import DataError, StoppedError
from scalarization.locks import locked


def test_waiting_ends_with_a_reason_to_stop(tmp_path):
    reasons = iter([None, "the time limit is near"])
    with locked(tmp_path / "run", "trains this run", lambda: None) as waited:
        assert not waited
        expected = pytest.raises(StoppedError, match="the time limit is near while another process trains this run")
        with expected, locked(tmp_path / "run", "trains this run", lambda: next(reasons)):
            pytest.fail("both hold the directory")
    # The lock is free again, although the second holder stopped waiting.
    with locked(tmp_path / "run", "trains this run", lambda: "must not be called") as waited:
        assert not waited


@pytest.mark.parametrize("obstacle", ["folder", "lock"])
def test_a_lock_that_cannot_be_made_is_named(obstacle, tmp_path):
    """A file in the place of the directory, a directory in the place of the lock."""
    if obstacle == "folder":
        (tmp_path / "run").write_text("")
    else:
        (tmp_path / "run" / "lock").mkdir(parents=True)
    expected = pytest.raises(DataError, match=r"run/lock: could not be written: .*Make room or check permissions")
    with expected, locked(tmp_path / "run", "trains this run", lambda: None):
        pytest.fail("not locked")


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)  # no such file system is at hand
    expected = pytest.raises(DataError, match=r"run/lock: could not be locked: .*No locks available.*file system with")
    with expected, locked(tmp_path / "run", "trains this run", lambda: None):
        pytest.fail("not locked")
