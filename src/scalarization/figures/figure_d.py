"""Appendix figure D: gain of joint training over the SD baseline on the training and test splits, over p."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from scalarization.plotting import divergence, labels, style, task_sets
from scalarization.plotting.capacities import CapacityGrid, capacity_panels
from scalarization.plotting.style import Look

#: Most panels in one line.
MOST_COLUMNS = 4
#: Where differences are large, the scale is linear up to this many percentage points and logarithmic beyond.
LINEAR_LIMIT = 5
TICKS = (-80, -20, -5, -2, 0, 2, 5, 20, 80)
#: Split -> look of its line.
SPLIT_LOOKS: dict[str, Look] = {
    "train": {"color": style.COLOURS[1], "marker": "o", "markerfacecolor": "white", "linestyle": "--"},
    "test": {"color": style.COLOURS[0], "marker": "o", "linestyle": "-"},
}
OPTIMUM_LINE: Look = {"color": "0.6", "linewidth": 2.5, "alpha": 0.5, "zorder": 0}
#: Columns that identify one weight setting.
SETTING = ["method", "weight_setting"]


@dataclass(frozen=True)
class TaskPanels:
    """The panels of one task or domain.

    Attributes:
        title: Name of the task or domain, and of its task set if there are several.
        task: The task or domain whose gain is drawn.
        x_task: The one whose weight is on the horizontal axis. Of a pair it is the first for both.
        pair: Whether the task set is a pair, whose weight settings have an order.
        rows: Rows of the summary about the task set.
    """

    title: str
    task: str
    x_task: str
    pair: bool
    rows: pd.DataFrame


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_d``: a block per task or domain, in it one panel per capacity."""
    grid = CapacityGrid.from_summary(summary)
    blocks = _blocks(summary, metadata)
    per_line = min(len(blocks), max(1, MOST_COLUMNS // len(grid.widths)))
    lines = math.ceil(len(blocks) / per_line)
    panel_height = min(1.6, 0.85 * (style.TEXT_WIDTH - 0.4) / (per_line * len(grid.widths)))
    height = panel_height * len(grid.rows) + 0.7
    bottom_height = style.legend_height(1, 1, bar=False)
    figure = style.new_figure(height * lines + bottom_height)
    top, bottom = style.stack(figure, [height * lines, bottom_height])
    unit = labels.DIFFERENCE_UNITS[labels.metric_of(summary)]
    y_label = f"{labels.JOINT[metadata['setting']]} $-$ SD [{unit}]"
    parents = top.subfigures(lines, per_line, squeeze=False).flat
    for number, (parent, block) in enumerate(zip(parents, blocks, strict=False)):
        axes = capacity_panels(
            parent,
            grid,
            block.title,
            f"$p$({block.x_task})",
            "" if number % per_line else y_label,
            share_axes=True,
        )
        for row, column in grid:
            rows = grid.rows_at(block.rows, row, column)
            if rows["present"].all():
                _draw_panel(axes[row, column], block, rows)
            else:
                style.mark_not_run(axes[row, column])
        axes[0, 0].set(xlim=(0, 1), xticks=[0, 0.5, 1])
        _set_scale(axes[0, 0], block.rows)
    handles = [Line2D([], [], markersize=3.5, label=split, **look) for split, look in SPLIT_LOOKS.items()]
    handles.append(Line2D([], [], label="$p^*$, chosen on validation", **OPTIMUM_LINE))
    handles += divergence.legend_entries(divergence.has_diverged(summary))
    bottom.legend(handles=handles, loc="center", ncols=len(handles))
    return figure


def _blocks(summary: pd.DataFrame, metadata: dict[str, Any]) -> list[TaskPanels]:
    parts = list(task_sets.by_task_set(summary))
    blocks = []
    for task_set, label, rows in parts:
        tasks = task_sets.task_order(metadata, task_set)
        pair = len(tasks) == 2
        for task in tasks:
            title = task if len(parts) == 1 else f"{task} ({label})"
            blocks.append(TaskPanels(title, task, tasks[0] if pair else task, pair, rows))
    return blocks


def _draw_panel(ax: Axes, block: TaskPanels, rows: pd.DataFrame) -> None:
    ax.axhline(0, color="black", linewidth=0.6)
    settings = rows[rows["task"] == block.x_task].drop_duplicates(SETTING)
    x = settings.set_index(SETTING)["weight"].rename("x")
    for optimum in settings[settings["optimum"].astype(bool)]["weight"]:
        ax.axvline(optimum, **OPTIMUM_LINE)
    for line, (split, look) in enumerate(SPLIT_LOOKS.items()):
        points = rows[(rows["task"] == block.task) & (rows["split"] == split)].join(x, on=SETTING)
        points = points.sort_values("x", kind="stable")
        divergence.mark_at_bottom(ax, points.loc[points["mean"].isna(), "x"], look["color"], line)
        ax.errorbar(
            points["x"],
            points["mean"],
            yerr=style.error_bars(points["std"]),
            markersize=3.5,
            linewidth=1.0,
            elinewidth=0.6,
            **(look if block.pair else {**look, "linestyle": "none"}),
        )


def _set_scale(ax: Axes, rows: pd.DataFrame) -> None:
    """Compress large differences: weights near 0 or 1 lose many times more than good weights gain."""
    if labels.metric_of(rows) == "accuracy" and rows["mean"].abs().max() > 2 * LINEAR_LIMIT:
        ax.set_yscale("symlog", linthresh=LINEAR_LIMIT, linscale=1.5)
        ax.autoscale(axis="y")  # the margins of the linear scale are too narrow for this scale
        ax.yaxis.set_major_locator(FixedLocator(TICKS))
        ax.yaxis.set_major_formatter("{x:.0f}")
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.yaxis.set_major_locator(MaxNLocator(4))
    divergence.hide_ticks_without_values(ax.yaxis, rows.loc[rows["present"].astype(bool), "mean"])
