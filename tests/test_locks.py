"""Locks on directories."""

import pytest

from scalarization.errors import StoppedError
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
