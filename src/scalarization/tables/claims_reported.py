"""Claims tested on the paper's own numbers: the table of :mod:`scalarization.tables.claims` for them alone."""

from __future__ import annotations

from scalarization.tables.claims import describe

__all__ = ["describe"]
