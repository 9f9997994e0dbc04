"""Figure D: what joint training gains over the SD baseline in training beside what it gains in testing, over p."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from scalarization.figures import _style

#: Panels beside each other; members share a line as long as they fit.
MOST_COLUMNS = 4
#: If differences are large, they are drawn to a scale linear up to so many percentage points and logarithmic beyond.
LINEAR = 5
TICKS = (-80, -20, -5, -2, 0, 2, 5, 20, 80)
#: Split -> how it is drawn.
LOOKS = {
    "train": {"color": _style.COLOURS[1], "marker": "o", "markerfacecolor": "white", "linestyle": "--"},
    "test": {"color": _style.COLOURS[0], "marker": "o", "linestyle": "-"},
}
OPTIMUM = {"color": "0.6", "linewidth": 2.5, "alpha": 0.5, "zorder": 0}


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_d``'s summary: a block of panels per member, in it one panel per capacity."""
    grid = _style.Grid.of(summary)
    found = list(_style.blocks(summary))
    blocks = [
        (label, task, tasks, rows)
        for task_set, label, rows in found
        for tasks in [_style.members(facts, task_set)]
        for task in tasks
    ]
    beside = min(len(blocks), max(1, MOST_COLUMNS // len(grid.widths)))
    lines = math.ceil(len(blocks) / beside)
    columns = beside * len(grid.widths)
    height = min(1.6, 0.85 * (_style.WIDTH - 0.4) / columns) * len(grid.rows) + 0.7
    bottom_height = _style.legend_height(1, 1, bar=False)
    figure = _style.new_figure(height * lines + bottom_height)
    top, bottom = figure.subfigures(2, 1, height_ratios=[height * lines, bottom_height])
    y_label = f"{_style.JOINT[facts['setting']]} $-$ SD [{_style.UNITS[_style.metric_of(summary)][1]}]"
    parents = top.subfigures(lines, beside, squeeze=False).flat
    for number, (parent, (label, task, tasks, rows)) in enumerate(zip(parents, blocks, strict=False)):
        axis_task = tasks[0] if len(tasks) == 2 else task
        axes = _style.capacity_panels(
            parent,
            grid,
            task if len(found) == 1 else f"{task} ({label})",
            f"$p$({axis_task})",
            "" if number % beside else y_label,
            share=True,
        )
        for row, column in grid:
            here = grid.at(rows, row, column)
            if here["present"].all():
                _draw_panel(axes[row, column], here, task, axis_task, connect=len(tasks) == 2)
            else:
                _style.not_run(axes[row, column])
        axes[0, 0].set(xlim=(0, 1), xticks=[0, 0.5, 1])
        _scale(axes[0, 0], rows)
    handles = [Line2D([], [], markersize=3.5, label=split, **look) for split, look in LOOKS.items()]
    handles.append(Line2D([], [], label="$p^*$, chosen on validation", **OPTIMUM))
    bottom.legend(handles=handles, loc="center", ncols=3)
    return figure


def _draw_panel(ax: Axes, found: pd.DataFrame, task: str, axis_task: str, connect: bool) -> None:
    ax.axhline(0, color="black", linewidth=0.6)
    weights = found[(found["task"] == axis_task)].drop_duplicates(["method", "member"])
    at = weights.set_index(["method", "member"])["weight"].rename("at")
    ax.axvline(weights[weights["optimum"].astype(bool)]["weight"].iloc[0], **OPTIMUM)
    for split, look in LOOKS.items():
        rows = found[(found["task"] == task) & (found["split"] == split)].join(at, on=["method", "member"])
        rows = rows.sort_values("at", kind="stable")
        ax.errorbar(
            rows["at"],
            rows["mean"],
            yerr=_style.errors(rows["std"]),
            markersize=3.5,
            linewidth=1.0,
            elinewidth=0.6,
            **(look if connect else {**look, "linestyle": "none"}),
        )


def _scale(ax: Axes, rows: pd.DataFrame) -> None:
    """Make room for what matters: weights near 0 or 1 cost many times what good ones gain."""
    if _style.metric_of(rows) == "accuracy" and rows["mean"].abs().max() > 2 * LINEAR:
        ax.set_yscale("symlog", linthresh=LINEAR, linscale=1.5)
        ax.autoscale(axis="y")  # the margins of the linear scale are too narrow now
        ax.yaxis.set_major_locator(FixedLocator(TICKS))
        ax.yaxis.set_major_formatter("{x:.0f}")
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.yaxis.set_major_locator(MaxNLocator(4))
