"""Two copies of one job."""

import pytest

from scalarization.errors import StoppedError
from scalarization.training.records import RunRecord


@pytest.fixture
def copies(tiny, make_plan, tmp_path):
    """Two views of one run's directory."""
    cell = next(iter(make_plan(tiny).cells.values()))
    return [RunRecord(tmp_path / "checkpoints", cell, cell.members[0], "data", "code") for _ in range(2)]


def test_copy_that_waits_leaves_when_it_has_to(copies):
    first, second = copies
    reasons = iter([None, "the time limit is near"])
    with first.locked(lambda: None):
        with pytest.raises(StoppedError, match="the time limit is near while another process trains this run"):
            with second.locked(lambda: next(reasons)):
                pytest.fail("both hold the directory")
    # Free again, although the second one was turned away.
    with second.locked(lambda: "must not be asked"):
        pass
