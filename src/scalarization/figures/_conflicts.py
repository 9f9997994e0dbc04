"""Looks that the figures about gradient conflicts share: colours of learning rates and widths, marks of depths."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalarization.figures import _style

CONFLICTS_LABEL = "conflicting pairs [%]"
#: One per depth, repeated if there are more.
MARKERS = "osD^vP"


def title(rows: pd.DataFrame) -> str:
    """Benchmark, task set, and how many tasks or domains there are."""
    first = rows.iloc[0]
    return f"{first['benchmark']}, {first['task_set']} ($T$ = {first['tasks']})"


def colours(values: pd.Series) -> dict[Any, str]:
    """Value -> colour, in increasing order."""
    return {value: _style.COLOURS[n % len(_style.COLOURS)] for n, value in enumerate(sorted(values.unique()))}


def capacities(summary: pd.DataFrame) -> pd.DataFrame:
    """Architectures in order of depth and width: ``architecture``, ``depth``, ``width``, ``label``."""
    found = summary.drop_duplicates("architecture").sort_values(["depth", "width", "shared_layers"])
    shared = found["shared_layers"].map(lambda n: "" if pd.isna(n) else f", shr {n}")
    label = "depth " + found["depth"].astype(str) + ", width " + found["width"].astype(str) + shared
    return found[["architecture", "depth", "width"]].assign(label=label)


def legend(parent: Figure, place: str, *columns: list[Line2D]) -> None:
    """A legend whose columns are given, each from its top."""
    columns = tuple(column for column in columns if column)
    longest = max(len(column) for column in columns)
    blank = Line2D([], [], linestyle="none", label=" ")
    handles = [handle for column in columns for handle in column + [blank] * (longest - len(column))]
    parent.legend(
        handles=handles, loc=place, ncols=len(columns), columnspacing=1.0, handlelength=1.6, handletextpad=0.5
    )


def height(*columns: list[Line2D]) -> float:
    """Height of such a legend, inches."""
    return _style.legend_height(max(len(column) for column in columns), 1, bar=False)


def not_run(summary: pd.DataFrame) -> list[Line2D]:
    """Entries of a legend for capacities that ``only:`` left out."""
    left_out = summary.groupby("architecture")["present"].max()
    found = capacities(summary)
    return [
        Line2D([], [], linestyle="none", label=f"{label}: {_style.NOT_RUN}")
        for name, label in zip(found["architecture"], found["label"], strict=True)
        if not left_out[name]
    ]
