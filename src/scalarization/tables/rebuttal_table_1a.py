"""R table 1a: a block per place, intervals by population sizes, and what needs no search below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.figures import _style
from scalarization.tables import _methods, table_methods
from scalarization.tables._render import NOTHING, Block, Cell, Group, Row, Table

PLACE = ["benchmark", "task_set", "architecture"]
NOTE = (
    "Average over tasks on test of models retrained on the whole training set with the policy found, ± standard "
    "deviation over seeds; N members, copying every E epochs. Small: gain over uniform, paired by seed."
)
NOTE_COST = (
    "Cost in trainings: N members on the fraction r of the training set, and one on all of it. One search for each N "
    "and E: the deviation over seeds is that of retraining, not of searching again."
)
NOTE_REPORTED = (
    "Reported: the paper's means over 2 seeds (uniform, RLW: 4), in parentheses ours less theirs; "
    f"{_methods.OUTSIDE} theirs is outside the 95 % t interval of our mean."
)


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.rebuttal_table_1a``'s summary."""
    blocks = [block for _, rows in summary.groupby(PLACE, sort=False) for block in _blocks(rows)]
    notes = [NOTE, NOTE_COST]
    if not (summary["seeds"] > 1).any():
        notes.append(_methods.NOTE_ONE_SEED)
    return Table(blocks, [*notes, NOTE_REPORTED] if summary["reported"].notna().any() else notes)


def _blocks(rows: pd.DataFrame) -> Iterator[Block]:
    title = table_methods.title(rows.iloc[0], ["task_set"])
    if not rows["present"].any():
        yield Block(title, "", (), [], _style.NOT_RUN)
        return
    found = rows[rows["population"].notna()]
    sizes = sorted(int(size) for size in found["population"].unique())
    groups = [_group(of, sizes, label) for label, of in found.groupby("label", sort=False)]
    yield Block(title, "", tuple(f"N={size}" for size in sizes), groups)
    references = rows[rows["population"].isna()]
    if len(references):
        lines = [line for _, row in references.iterrows() for line in _lines(row["label"], [row], cost=True)]
        yield Block("", "", ("without a search", "trainings"), [Group("", lines)])


def _group(rows: pd.DataFrame, sizes: list[int], label: str) -> Group:
    lines: list[Row] = []
    quantiles = rows["quantile"].unique()
    for quantile in quantiles:
        of = rows[rows["quantile"] == quantile]
        for epochs in [*sorted(of["epochs_ready"].dropna().unique()), pd.NA]:
            here = of[of["epochs_ready"].isna() if pd.isna(epochs) else of["epochs_ready"] == epochs]
            if here.empty:
                continue
            picked = [_at(here, size) for size in sizes]
            name = "average" if pd.isna(epochs) else f"E={epochs:.0f}"
            lines += _lines(f"{name}, Q={quantile:g}", picked)
    first = [_at(rows, size) for size in sizes]
    lines.append(Row("trainings, N r + 1", tuple(_trainings(row) for row in first)))
    return Group(label, lines)


def _lines(name: str, picked: list[pd.Series | None], cost: bool = False) -> Iterator[Row]:
    """Values, and in small below them gains and what is reported."""
    extra = (_trainings(picked[0]),) if cost else ()
    blank = (Cell(""),) if cost else ()
    yield Row(name, (*(_value(row) for row in picked), *extra))
    gains = [_gain(row) for row in picked]
    if any(cell.text for cell in gains) and not (cost and picked[0]["method"] == "uniform"):
        yield Row("over uniform", (*gains, *blank), minor=True)
    theirs = [_reported(row) for row in picked]
    if any(cell.text for cell in theirs):
        yield Row("reported", (*theirs, *blank), minor=True)


def _at(rows: pd.DataFrame, size: int) -> pd.Series | None:
    found = rows[rows["population"] == size]
    return None if found.empty else found.iloc[0]


def _value(row: pd.Series | None) -> Cell:
    if row is None:
        return Cell(NOTHING)
    if not row["present"]:
        return Cell(_style.NOT_RUN)
    places = _methods.decimals(row["metric"])
    spread = "" if pd.isna(row["std"]) else f"± {_style.number(row['std'], places)}"
    return Cell(_style.number(row["mean"], places), spread)


def _gain(row: pd.Series | None) -> Cell:
    if row is None or pd.isna(row["gain"]):
        return Cell("")
    places = _methods.decimals(row["metric"])
    spread = "" if pd.isna(row["gain_std"]) else f"± {_style.number(row['gain_std'], places)}"
    return Cell(_style.number(row["gain"], places, sign=True), spread)


def _reported(row: pd.Series | None) -> Cell:
    if row is None or pd.isna(row["reported"]):
        return Cell("")
    return Cell(f"{row['reported']:.2f}", _methods.difference(row))


def _trainings(row: pd.Series | None) -> Cell:
    return Cell(NOTHING if row is None else f"{row['trainings']:.3g}")
