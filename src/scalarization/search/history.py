"""Histories of searches while they are running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from scalarization.plan.cells import Search
from scalarization.search.intervals import Lineage, Result
from scalarization.search.policies import HISTORY_SCHEMA
from scalarization.search.settings import training

Row = dict[str, Any]
#: Called with a search and every new row of its history.
OnRow = Callable[[Search, Row], None]


def ignore(search: Search, row: Row) -> None:
    """Default of :data:`OnRow`."""


class History:
    """Histories of the searches of a session while they are running.

    Args:
        searches: The searches.
        on_row: Called with every new row.
    """

    def __init__(self, searches: Sequence[Search], on_row: OnRow) -> None:
        self._searches = {s.name: s for s in searches}
        self._on_row = on_row
        #: Search -> its rows, with the columns of :data:`HISTORY_SCHEMA` and what else is in a :class:`Result`.
        self._rows: dict[str, list[Row]] = {s.name: [] for s in searches}

    def add(
        self,
        name: str,
        member: int,
        lineage: Lineage,
        result: Result,
        parent: tuple[int, Sequence[float]] | None,
    ) -> None:
        """Add one interval of one member.

        Args:
            name: Name of the search.
            member: The member.
            lineage: Settings of its intervals; the last one is added.
            result: Its result.
            parent: The member whose state the interval resumed from, and its setting; None: the member itself.
        """
        search, interval, setting = self._searches[name], len(lineage), lineage[-1]
        parent_member, parent_setting = parent or (member, setting)
        weights, lr = training(search, setting)
        row = {
            "search": search.key,
            "method": search.method,
            "benchmark": search.cell.benchmark,
            "task_set": search.cell.task_set,
            "architecture": search.cell.architecture.name,
            "member": member,
            "interval": interval,
            "epoch": search.interval_ends[interval - 1],
            "weights": list(weights),
            "lr": lr,
            "parent": None if interval == 1 else parent_member,
            "copied": parent_member != member,
            "explored": not np.allclose(parent_setting, setting, rtol=0, atol=1e-9),
            **vars(result),
        }
        self._rows[name].append(row)
        self._on_row(search, row)

    def of_interval(self, name: str, interval: int) -> list[Row]:
        """Rows of one interval of a search so far, one per member that has finished it."""
        return [row for row in self._rows[name] if row["interval"] == interval]

    def table(self, name: str) -> pa.Table:
        """The history of one search so far, by interval and member."""
        return pa.Table.from_pylist(self.sorted_rows(name), HISTORY_SCHEMA)

    def sorted_rows(self, name: str) -> list[Row]:
        """Rows of one search so far, by interval and member."""
        return sorted(self._rows[name], key=lambda row: (row["interval"], row["member"]))

    def diverged(self, name: str) -> list[Row]:
        """Where members of a search diverged: ``interval``, ``member``, ``cause``."""
        keys = ("interval", "member", "cause")
        return [{key: row[key] for key in keys} for row in self.sorted_rows(name) if row["cause"]]
