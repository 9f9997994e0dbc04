"""Appendix tables B, C and D: one block per capacity, methods by tasks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pandas as pd

from scalarization.analysis.names import AVERAGE
from scalarization.tables import method_lines
from scalarization.tables.render import Block, Entry, Row, Table

BLOCK_COLUMNS = ["benchmark", "task_set", "listed_under", "architecture"]


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        head: Its head.
        rows: Rows of the summary, one per line.
        entry: Makes an entry of a row; None: the mean, bold if it is the best.
    """

    head: str
    rows: pd.DataFrame
    entry: Callable[[pd.Series | None], Entry] | None = None


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.table_methods``."""
    title_columns = [column for column in ("task_set", "listed_under") if summary[column].nunique() > 1]
    blocks = [_block(rows, title_columns) for _, rows in summary.groupby(BLOCK_COLUMNS, sort=False)]
    return Table(blocks, method_lines.notes(summary))


def _block(rows: pd.DataFrame, title_columns: list[str]) -> Block:
    title = method_lines.capacity_title(rows.iloc[0], title_columns)
    if not rows["present"].all():
        return Block.not_run(title)
    columns = _columns(rows)
    best = [method_lines.tested_labels(column.rows) for column in columns]

    def lines(method: str, label: str) -> Iterator[Row]:
        entries, reported = [], []
        for column, best_of_column in zip(columns, best, strict=True):
            row = method_lines.row_of(column.rows, label)
            make = column.entry or functools.partial(method_lines.mean_entry, bold=label in best_of_column)
            entries.append(make(row))
            reported.append(method_lines.reported_entry(None if column.entry else row))
        yield Row(label, tuple(entries))
        if any(entry.text for entry in reported):
            yield Row("reported", tuple(reported), minor=True)

    main = rows[rows["metric"] == rows["metric"].iloc[0]]
    return Block(title, "", tuple(column.head for column in columns), method_lines.method_groups(main, lines))


def _columns(rows: pd.DataFrame) -> list[Column]:
    """The average, its interval and its difference to uniform, averages of further metrics, then the tasks."""
    main_metric = rows["metric"].iloc[0]
    main = rows[rows["metric"] == main_metric]
    average = main[main["task"] == AVERAGE]
    columns = [Column(AVERAGE, average)]
    if main["seeds"].max() > 1:
        columns.append(Column(method_lines.INTERVAL_HEAD, average, method_lines.interval_entry))
        if average["gain_diverged"].notna().any():
            columns.append(Column(method_lines.GAIN_HEAD, average, method_lines.over_uniform_entry))
    for metric, of_metric in rows.groupby("metric", sort=False):
        if metric != main_metric:
            columns.append(Column(f"{metric.replace('_', ' ')}, average", of_metric[of_metric["task"] == AVERAGE]))
    for task in main["task"].unique():
        if task != AVERAGE:
            columns.append(Column(task.replace("_", " "), main[main["task"] == task]))
    return columns
