"""What figures of gradient conflicts share: colours of learning rates and widths, markers of depths, legends."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from scalarization.plotting import style
from scalarization.plotting.labels import NOT_RUN

CONFLICTS_LABEL = "conflicting pairs [%]"
#: One marker per depth; they repeat if there are more depths.
MARKERS = "osD^vP"


def title(rows: pd.DataFrame) -> str:
    """Benchmark, task set, and number of tasks or domains."""
    first = rows.iloc[0]
    return f"{first['benchmark']}, {first['task_set']} ($T$ = {first['tasks']})"


def colours(values: pd.Series) -> dict[Any, str]:
    """Value -> colour, in increasing order of the values."""
    return {value: style.COLOURS[n % len(style.COLOURS)] for n, value in enumerate(sorted(values.unique()))}


def capacities(summary: pd.DataFrame) -> pd.DataFrame:
    """Architectures in order of depth and width, with columns ``architecture``, ``depth``, ``width``, ``label``."""
    rows = summary.drop_duplicates("architecture").sort_values(["depth", "width", "shared_layers"])
    shared = rows["shared_layers"].map(lambda n: "" if pd.isna(n) else f", shr {n}")
    label = "depth " + rows["depth"].astype(str) + ", width " + rows["width"].astype(str) + shared
    return rows[["architecture", "depth", "width"]].assign(label=label)


def legend(parent: SubFigure, location: Literal["center", "outside lower center"], *columns: list[Line2D]) -> None:
    """Draw a legend with given columns, each filled from its top."""
    columns = tuple(column for column in columns if column)
    longest = max(len(column) for column in columns)
    blank = Line2D([], [], linestyle="none", label=" ")
    handles = [handle for column in columns for handle in column + [blank] * (longest - len(column))]
    parent.legend(
        handles=handles, loc=location, ncols=len(columns), columnspacing=1.0, handlelength=1.6, handletextpad=0.5
    )


def legend_height(*columns: list[Line2D]) -> float:
    """Height of a legend with given columns, inches."""
    return style.legend_height(max(len(column) for column in columns), 1, bar=False)


def not_run_entries(summary: pd.DataFrame) -> list[Line2D]:
    """Legend entries of the capacities that were not run."""
    was_run = summary.groupby("architecture")["present"].max()
    architectures = capacities(summary)
    return [
        Line2D([], [], linestyle="none", label=f"{label}: {NOT_RUN}")
        for name, label in zip(architectures["architecture"], architectures["label"], strict=True)
        if not was_run[name]
    ]
