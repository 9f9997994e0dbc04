"""Drawing a module's summaries; makes ``synthetic`` importable: importlib mode adds no directory to the path."""

import sys
import warnings
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))


@pytest.fixture
def draw(summarized):
    """(kind, case="two_seeds", change=...) -> figure and texts of a table, from the module's summary as changed."""
    from scalarization import tables

    def make(kind, case="two_seeds", change=lambda summary: summary):
        summary, facts = summarized(kind, case)
        with warnings.catch_warnings(action="error"):
            return tables.draw(kind, change(summary.copy()), facts)

    return make


def line(text, start):
    """The first line that starts so."""
    return next(found for found in text.splitlines() if found.startswith(start))
