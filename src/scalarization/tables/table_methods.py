"""Appendix tables B, C and D: one block per capacity, methods by tasks."""

from __future__ import annotations

from collections.abc import Iterator
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
        is_interval: Whether it has the intervals of the means, else the means.
    """

    head: str
    rows: pd.DataFrame
    is_interval: bool = False


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
    best = [method_lines.best_labels(column.rows) for column in columns]

    def lines(method: str, label: str) -> Iterator[Row]:
        entries, reported = [], []
        for column, best_of_column in zip(columns, best, strict=True):
            row = method_lines.row_of(column.rows, label)
            entries.append(_entry(column, row, label in best_of_column))
            reported.append(method_lines.reported_entry(None if column.is_interval else row))
        yield Row(label, tuple(entries))
        if any(entry.text for entry in reported):
            yield Row("reported", tuple(reported), minor=True)

    main = rows[rows["metric"] == rows["metric"].iloc[0]]
    return Block(title, "", tuple(column.head for column in columns), method_lines.method_groups(main, lines))


def _columns(rows: pd.DataFrame) -> list[Column]:
    """The average and its interval, averages of further metrics, then the tasks."""
    main_metric = rows["metric"].iloc[0]
    main = rows[rows["metric"] == main_metric]
    average = main[main["task"] == AVERAGE]
    columns = [Column(AVERAGE, average)]
    if main["seeds"].max() > 1:
        columns.append(Column(method_lines.INTERVAL_HEAD, average, is_interval=True))
    for metric, of_metric in rows.groupby("metric", sort=False):
        if metric != main_metric:
            columns.append(Column(f"{metric.replace('_', ' ')}, average", of_metric[of_metric["task"] == AVERAGE]))
    for task in main["task"].unique():
        if task != AVERAGE:
            columns.append(Column(task.replace("_", " "), main[main["task"] == task]))
    return columns


def _entry(column: Column, row: pd.Series | None, bold: bool) -> Entry:
    return method_lines.interval_entry(row) if column.is_interval else method_lines.mean_entry(row, bold)
