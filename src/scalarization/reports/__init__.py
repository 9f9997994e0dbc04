"""What the verbs of the command line print: estimates, progress, comparisons with the paper, results of a search."""

from __future__ import annotations

from rich.console import Console

#: Width of tables where the output is no terminal, in characters.
WIDTH = 140


def new_console() -> Console:
    """The console that reports are printed to."""
    return Console(width=None if Console().is_terminal else WIDTH)
