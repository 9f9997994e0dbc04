"""Draws summaries, and makes ``synthetic`` importable: pytest's importlib mode adds no directory to the path."""

import sys
import warnings
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))


@pytest.fixture
def draw(summarized):
    """(kind, case="two_seeds", change=...) -> figure and texts of a table. ``change`` gets and returns the summary."""
    from scalarization import tables

    def make(kind, case="two_seeds", change=lambda summary: summary):
        summary, metadata = summarized(kind, case)
        with warnings.catch_warnings(action="error"):
            return tables.draw(kind, change(summary.copy()), metadata)

    return make


def plain(text):
    """A text in which dashes and multiplication signs are letters of the keyboard."""
    return text.replace("\N{EN DASH}", "-").replace("\N{MULTIPLICATION SIGN}", "x")


def line(text, start):
    """The first line that starts with a given text."""
    return next(line for line in text.splitlines() if line.startswith(start))
