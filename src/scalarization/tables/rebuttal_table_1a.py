"""Rebuttal table 1a: one block per capacity, lengths of intervals by sizes of the population; below, no search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.plotting.labels import NOT_RUN, format_number
from scalarization.tables import method_lines, searches
from scalarization.tables.render import EMPTY, NO_VALUE, Block, Entry, Group, Row, Table, diverged_entry

BLOCK_COLUMNS = ["benchmark", "task_set", "architecture"]
#: Label of the minor line with gains.
GAIN = "gain over uniform"
NOTE = (
    "N: members of the population. E: epochs of an interval. Q: fraction of the members that exploit others. Values: "
    "test average over tasks of models retrained on the whole training set with the policy that the search found. Gain "
    "over uniform: paired by seed."
)
NOTE_TRAININGS = (
    "Trainings: N members train on the fraction r of the training set, and one model is retrained on the whole "
    "training set."
)
NOTE_REPORTED = (
    "Reported: means of the paper over 2 seeds (uniform and RLW: 4 seeds). Parentheses: our mean minus the reported "
    f"mean. {method_lines.NOTE_OUTSIDE}"
)


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.rebuttal_table_1a``."""
    blocks = [block for _, rows in summary.groupby(BLOCK_COLUMNS, sort=False) for block in _blocks(rows)]
    has_spread = (summary["seeds"] > 1).any()
    deviation = searches.deviation_notes(summary) if has_spread else [method_lines.NOTE_ONE_SEED]
    notes = [NOTE, *deviation, NOTE_TRAININGS]
    return Table(blocks, [*notes, NOTE_REPORTED] if summary["reported"].notna().any() else notes)


def _blocks(rows: pd.DataFrame) -> Iterator[Block]:
    title = method_lines.capacity_title(rows.iloc[0], ["task_set"])
    if not rows["present"].any():
        yield Block.not_run(title)
        return
    searched = rows[rows["population"].notna()]
    populations = sorted(int(size) for size in searched["population"].unique())
    groups = [_group(label, of_method, populations) for label, of_method in searched.groupby("label", sort=False)]
    yield Block(title, "", tuple(f"N={population}" for population in populations), groups)
    references = rows[rows["population"].isna()]
    if len(references):
        lines = [line for _, row in references.iterrows() for line in _reference_lines(row)]
        yield Block("", "", ("without a search", "trainings"), [Group("", lines)])


def _group(label: str, rows: pd.DataFrame, populations: list[int]) -> Group:
    """Lines of one method: its intervals' lengths, their average, and the number of trainings."""
    lines: list[Row] = []
    for quantile, of_quantile in rows.groupby("quantile", sort=False):
        for epochs, cells in of_quantile.groupby("epochs_ready"):
            lines += _lines(f"E={epochs:.0f}, Q={quantile:g}", [_at(cells, size) for size in populations])
        averages = of_quantile[of_quantile["epochs_ready"].isna()]
        if len(averages):
            lines += _lines(f"average, Q={quantile:g}", [_at(averages, size) for size in populations])
    trainings = tuple(_trainings(_at(rows, population)) for population in populations)
    return Group(label, [*lines, Row("trainings, N r + 1", trainings)])


def _reference_lines(row: pd.Series) -> Iterator[Row]:
    """Lines of a method without a search; they have a column of trainings."""
    value, *minor = _lines(row["label"], [row])
    yield Row(value.label, (*value.entries, _trainings(row)))
    for line in minor:
        if line.label != GAIN or row["method"] != "uniform":
            yield Row(line.label, (*line.entries, EMPTY), minor=True)


def _lines(label: str, rows: list[pd.Series | None]) -> Iterator[Row]:
    """Values, and in small print below them the gains and what the paper reports.

    Args:
        label: Label of the line of values.
        rows: Rows of the summary, one per column.
    """
    yield Row(label, tuple(_value(row) for row in rows))
    for minor_label, entry_of in ((GAIN, _gain), ("reported", _reported)):
        entries = tuple(entry_of(row) for row in rows)
        if any(entry.text for entry in entries):
            yield Row(minor_label, entries, minor=True)


def _at(rows: pd.DataFrame, population: int) -> pd.Series | None:
    """The first row of one size of the population."""
    rows = rows[rows["population"] == population]
    return None if rows.empty else rows.iloc[0]


def _value(row: pd.Series | None) -> Entry:
    if row is None:
        return Entry(NO_VALUE)
    if not row["present"]:
        return Entry(NOT_RUN)
    if row["diverged"]:
        return diverged_entry(row["diverged"], row["seeds"])
    places = method_lines.decimals(row["metric"])
    return Entry(format_number(row["mean"], places), method_lines.deviation(row["std"], places))


def _gain(row: pd.Series | None) -> Entry:
    return EMPTY if row is None else method_lines.gain_entry(row)


def _reported(row: pd.Series | None) -> Entry:
    if row is None or pd.isna(row["reported"]):
        return EMPTY
    return Entry(f"{row['reported']:.2f}", method_lines.difference_text(row))


def _trainings(row: pd.Series | None) -> Entry:
    return Entry(NO_VALUE if row is None else f"{row['trainings']:.3g}")
