"""Main-text tables 1 and 2: a block per benchmark, methods by capacities, averages over tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _names
from scalarization.figures import _style
from scalarization.tables import _methods
from scalarization.tables._render import Block, Cell, Row, Table

#: Head of the column of what the authors' poster reports.
POSTER = "poster"
NOTE_POSTER = "Poster: as on the authors' poster, which does not state the capacity."


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.table_main``'s summary."""
    poster = summary[summary["architecture"].isna()]
    rows = summary[summary["architecture"].notna()]
    keys = ["benchmark", "task_set", "variant"]
    blocks = []
    for (benchmark, task_set, variant), found in rows.groupby(keys, sort=False):
        of_benchmark = rows[rows["benchmark"] == benchmark]
        names = {"task_set": task_set, "variant": variant}
        name = ", ".join([benchmark, *(n for column, n in names.items() if of_benchmark[column].nunique() > 1)])
        qualities = [m for m in found["metric"].dropna().unique() if m != "balanced_accuracy"]
        for metric in found["metric"].dropna().unique() if qualities else [None]:
            shown = found[(found["metric"] == metric) | found["metric"].isna()] if metric else found
            beside = poster[poster["benchmark"] == benchmark] if metric == "accuracy" else poster.iloc[:0]
            label = name if metric in (*qualities, None) else f"{name}, {metric.replace('_', ' ')}"
            blocks.append(_block(label, shown, beside))
    notes = _methods.notes(rows)
    return Table(blocks, [*notes, NOTE_POSTER] if len(poster) else notes)


def _block(name: str, rows: pd.DataFrame, poster: pd.DataFrame) -> Block:
    if not rows["present"].any():
        return Block(name, "", (), [], _style.NOT_RUN)
    places = list(rows.groupby("architecture", sort=False))
    best = [_methods.best(found) for _, found in places]
    ran = rows[rows["method"].notna()]
    beside = poster[poster["label"].isin(ran["label"])]

    def lines(method: str, label: str) -> Iterator[Row]:
        cells, theirs = [], []
        for (_, found), winners in zip(places, best, strict=True):
            row = _methods.pick(found, label) if found["present"].all() else None
            cells.append(_methods.value(row, label in winners) if found["present"].all() else Cell(_style.NOT_RUN))
            theirs.append(_methods.reported(row))
        if len(beside):
            cells.append(_methods.reported(_methods.pick(beside, label)))
        yield Row(label, tuple(cells))
        if any(cell.text for cell in theirs):
            yield Row("reported", tuple(theirs), minor=True)

    heads = [str(architecture) for architecture, _ in places]
    return Block(name, "", (*heads, *([POSTER] if len(beside) else [])), _methods.groups(ran, lines, _names.order))
