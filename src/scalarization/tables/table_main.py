"""Main-text tables 1 and 2: averages over tasks, one block per benchmark, methods by capacities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import names
from scalarization.plotting.labels import NOT_RUN
from scalarization.tables import method_lines
from scalarization.tables.render import EMPTY, Block, Entry, Row, Table

#: Head of the column of numbers of the authors' poster.
POSTER = "poster"
NOTE_POSTER = "Poster: numbers of the authors' poster, which does not state the capacity."
#: Has a block of its own, below the block of the metric that it complements.
BALANCED_ACCURACY = "balanced_accuracy"


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.table_main``."""
    poster = summary[summary["architecture"].isna()]
    measured = summary[summary["architecture"].notna()]
    blocks = []
    for (benchmark, task_set, variant), rows in measured.groupby(["benchmark", "task_set", "listed_under"], sort=False):
        of_benchmark = measured[measured["benchmark"] == benchmark]
        details = {"task_set": task_set, "listed_under": variant}
        title = ", ".join([benchmark, *(d for column, d in details.items() if of_benchmark[column].nunique() > 1)])
        metrics = list(rows["metric"].dropna().unique())
        if metrics in ([], [BALANCED_ACCURACY]):
            blocks.append(_block(title, rows, poster.iloc[:0]))
            continue
        for metric in metrics:
            poster_rows = poster[poster["benchmark"] == benchmark] if metric == "accuracy" else poster.iloc[:0]
            metric_title = f"{title}, {metric.replace('_', ' ')}" if metric == BALANCED_ACCURACY else title
            blocks.append(_block(metric_title, rows[(rows["metric"] == metric) | rows["metric"].isna()], poster_rows))
    notes = method_lines.notes(measured, intervals_of_means=False)
    return Table(blocks, [*notes, NOTE_POSTER] if len(poster) else notes)


def _block(title: str, rows: pd.DataFrame, poster: pd.DataFrame) -> Block:
    if not rows["present"].any():
        return Block.not_run(title)
    columns = list(rows.groupby("architecture", sort=False))
    best = [method_lines.tested_labels(of_capacity) for _, of_capacity in columns]
    present = rows[rows["method"].notna()]
    poster = poster[poster["label"].isin(present["label"])]

    def lines(method: str, label: str) -> Iterator[Row]:
        entries, gains, reported = [], [], []
        for (_, of_capacity), best_of_capacity in zip(columns, best, strict=True):
            if of_capacity["present"].all():
                row = method_lines.row_of(of_capacity, label)
                entries.append(method_lines.mean_entry(row, label in best_of_capacity))
            else:
                row = None
                entries.append(Entry(NOT_RUN))
            gains.append(method_lines.over_uniform_entry(row) if _has_gain(row) else EMPTY)
            reported.append(method_lines.reported_entry(row))
        if len(poster):
            entries.append(method_lines.reported_entry(method_lines.row_of(poster, label)))
        yield Row(label, tuple(entries))
        for minor_label, minor in ((method_lines.GAIN_HEAD, gains), ("reported", reported)):
            if any(entry.text for entry in minor):
                yield Row(minor_label, tuple(minor), minor=True)

    heads = (*(str(architecture) for architecture, _ in columns), *([POSTER] if len(poster) else []))
    return Block(title, "", heads, method_lines.method_groups(present, lines, names.order))


def _has_gain(row: pd.Series | None) -> bool:
    """Whether there is a tested difference to uniform weights."""
    return row is not None and not pd.isna(row["gain_diverged"]) and row["seeds"] > 1
