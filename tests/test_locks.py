"""A directory that one process at a time works in."""

import pytest

from scalarization.errors import StoppedError
from scalarization.locks import locked


def test_copy_that_waits_leaves_when_it_has_to(tmp_path):
    reasons = iter([None, "the time limit is near"])
    with locked(tmp_path / "run", "trains this run", lambda: None) as waited:
        assert not waited
        with pytest.raises(StoppedError, match="the time limit is near while another process trains this run"):
            with locked(tmp_path / "run", "trains this run", lambda: next(reasons)):
                pytest.fail("both hold the directory")
    # Free again, although the second one was turned away.
    with locked(tmp_path / "run", "trains this run", lambda: "must not be asked") as waited:
        assert not waited
