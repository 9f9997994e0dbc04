"""Tables B, C, D: a block per capacity, methods by tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis._names import AVERAGE
from scalarization.figures import _style
from scalarization.tables import _methods
from scalarization.tables._render import Block, Row, Table

PLACE = ["benchmark", "task_set", "variant", "architecture"]


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.table_methods``'s summary."""
    names = [column for column in PLACE[1:3] if summary[column].nunique() > 1]
    blocks = [_block(rows, names) for _, rows in summary.groupby(PLACE, sort=False)]
    return Table(blocks, _methods.notes(summary))


def title(place: pd.Series, names: list[str]) -> str:
    """Name of a capacity, with the columns ``names`` before it."""
    shared = "" if pd.isna(place["shared_layers"]) else f", {int(place['shared_layers'])} shared decoder layers"
    family = place["architecture"].split("_")[0]
    family = "ViT" if family == "vit" else re.sub(r"^resnet", "ResNet-", family)
    layers = int(place["depth"])
    depth = f", {layers} layer{'s' * (layers > 1)}" if family == "ViT" else ""
    return ", ".join(
        [place["benchmark"], *(place[n] for n in names), f"{family}{depth}, width {int(place['width'])}{shared}"]
    )


def _block(rows: pd.DataFrame, names: list[str]) -> Block:
    name = title(rows.iloc[0], names)
    if not rows["present"].all():
        return Block(name, "", (), [], _style.NOT_RUN)
    quality = rows["metric"].iloc[0]
    main = rows[rows["metric"] == quality]
    columns = [(AVERAGE, main[main["task"] == AVERAGE], _methods.value)]
    if main["seeds"].max() > 1:
        columns.append(("95 % interval", columns[0][1], None))
    columns += [
        (f"{metric.replace('_', ' ')}, average", found[found["task"] == AVERAGE], _methods.value)
        for metric, found in rows.groupby("metric", sort=False)
        if metric != quality
    ]
    tasks = [task for task in main["task"].unique() if task != AVERAGE]
    columns += [(task.replace("_", " "), main[main["task"] == task], _methods.value) for task in tasks]
    bold = [_methods.best(found) for _, found, _ in columns]

    def lines(method: str, label: str) -> Iterator[Row]:
        picked = [_methods.pick(found, label) for _, found, _ in columns]
        cells = [
            write(row, label in winners) if write else _methods.interval(row)
            for (_, _, write), row, winners in zip(columns, picked, bold, strict=True)
        ]
        yield Row(label, tuple(cells))
        theirs = [_methods.reported(row if write else None) for (_, _, write), row in zip(columns, picked, strict=True)]
        if any(cell.text for cell in theirs):
            yield Row("reported", tuple(theirs), minor=True)

    return Block(name, "", tuple(head for head, _, _ in columns), _methods.groups(main, lines))
