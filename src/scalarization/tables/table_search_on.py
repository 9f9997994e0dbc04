"""Searched small, retrained large: a block per retrained model, a line per model that was searched on."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalarization.figures import _style
from scalarization.tables import _methods, table_methods
from scalarization.tables._render import NOTHING, Block, Cell, Group, Row, Table

HEADS = ("over uniform", "trainings", "of direct", "search time")
PLACE = ["benchmark", "task_set", "architecture"]
NOTES = [
    "Test average over tasks of models retrained on the whole training set with the policy found, ± standard deviation "
    "over seeds; gain over uniform, paired by seed.",
    "Trainings: FLOPs of all members of the search and of one retraining, in trainings of the retrained model; beside "
    "it relative to the direct search. Search time: measured seconds of training and validation, summed over members.",
]


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.table_search_on``'s summary."""
    blocks = [_block(rows) for _, rows in summary.groupby(PLACE, sort=False)]
    one_seed = not (summary["seeds"] > 1).any()
    return Table(blocks, [*NOTES, _methods.NOTE_ONE_SEED] if one_seed else NOTES)


def _block(rows: pd.DataFrame) -> Block:
    title = table_methods.title(rows.iloc[0], ["task_set"])
    if not rows["present"].any():
        return Block(title, "", (), [], _style.NOT_RUN)
    intervals = (rows["seeds"] > 1).any()
    heads = ["average", *(["95 % interval"] if intervals else []), *HEADS]
    lines = [_line(row, intervals) for _, row in rows.iterrows()]
    return Block(title, "", tuple(heads), [Group("", lines)])


def _line(row: pd.Series, intervals: bool) -> Row:
    label = row["label"]
    if not pd.isna(row["searched_on"]):
        direct = row["searched_on"] == row["architecture"]
        label += f", N={row['population']:.0f}, searched on {'itself' if direct else row['searched_on']}"
    if not row["present"]:
        return Row(label, (Cell(_style.NOT_RUN), *[Cell("")] * (4 + intervals)))
    places = _methods.decimals(row["metric"])
    cells = [Cell(_style.number(row["mean"], places), _spread(row["std"], places))]
    if intervals:
        cells.append(_methods.interval(row))
    gained = not pd.isna(row["gain"]) and row["method"] != "uniform"
    gain = Cell(_style.number(row["gain"], places, sign=True), _spread(row["gain_std"], places))
    cells += [
        gain if gained else Cell(NOTHING),
        Cell(f"{row['trainings']:.2f}"),
        Cell(NOTHING if pd.isna(row["of_direct"]) else f"{row['of_direct']:.2f}×"),
        Cell(NOTHING if pd.isna(row["search_seconds"]) else f"{row['search_seconds']:,.0f} s"),
    ]
    return Row(label, tuple(cells))


def _spread(std: float, places: int) -> str:
    return "" if pd.isna(std) else f"± {_style.number(std, places)}"
