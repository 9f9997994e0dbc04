"""Appendix figure B: metric on one task or domain against the metric on another, one panel per capacity."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scalarization.plotting import divergence, labels, style, task_sets
from scalarization.plotting.capacities import CapacityGrid, capacity_panels
from scalarization.plotting.style import Look

#: Heuristic -> marker and its size in points; None: any other weights.
MARKERS = {None: ("o", 4.5), "uniform": ("s", 5.0), "proportional": ("D", 4.8)}
BASELINE_STAR: Look = {"marker": "*", "markersize": 8, "color": "black", "linestyle": "none"}
OPTIMUM_RING: Look = {
    "marker": "o",
    "markersize": 9.5,
    "markerfacecolor": "none",
    "markeredgecolor": style.COLOURS[1],
    "markeredgewidth": 1.2,
    "linestyle": "none",
}
#: Columns that identify one weight setting.
SETTING = ["method", "weight_setting"]


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_b``: one block of panels per pair of tasks or domains."""
    metric = labels.metric_of(summary)
    return draw_trade_off(summary, metadata, lambda task: labels.axis_label(task, metric))


def draw_trade_off(summary: pd.DataFrame, metadata: dict[str, Any], axis_label: Callable[[str], str]) -> Figure:
    """Draw the trade-off between every two tasks or domains of a task set; the caller sets the style.

    Args:
        summary: Columns of figure B.
        metadata: As of any summary of one experiment.
        axis_label: Task or domain -> label of its axis.
    """
    grid = CapacityGrid.from_summary(summary)
    parts = list(task_sets.by_task_set(summary))
    blocks = [
        (label if len(parts) > 1 else "", pair, rows)
        for task_set, label, rows in parts
        for pair in itertools.combinations(task_sets.task_order(metadata, task_set), 2)
    ]
    height = min(2.2, 0.85 * (style.TEXT_WIDTH - 0.6) / len(grid.widths)) * len(grid.rows) + 0.55
    bottom_height = style.legend_height(1, 1)
    figure = style.new_figure(height * len(blocks) + bottom_height)
    *parents, bottom = style.stack(figure, [height] * len(blocks) + [bottom_height])
    for parent, (label, pair, rows) in zip(parents, blocks, strict=True):
        axes = capacity_panels(parent, grid, label, axis_label(pair[0]), axis_label(pair[1]))
        for row, column in grid:
            capacity_rows = grid.rows_at(rows, row, column)
            if capacity_rows["present"].all():
                _draw_panel(axes[row, column], capacity_rows, *pair, ticks=3 if len(grid.widths) > 2 else 5)
            else:
                style.mark_not_run(axes[row, column])
    x_tasks = {pair[0] for _, pair, _ in blocks}
    task = labels.TASK[metadata["setting"]]
    bar_label = f"$p$({x_tasks.pop()})" if len(x_tasks) == 1 else f"$p$ of the {task} on the horizontal axis"
    style.colour_bar(style.colour_bar_axes(bottom, 1)[0], style.weight_norm(), style.WEIGHT_MAP, bar_label)
    handles = _legend(summary, metadata)
    bottom.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.2, handletextpad=0.2)
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, x_task: str, y_task: str, ticks: int) -> None:
    points = _points(rows, x_task, y_task)
    baseline = points[points["method"] == "single"]
    joint = points[points["method"] != "single"].sort_values("weight_x", kind="stable")
    baseline_x, baseline_y = baseline["mean_x"].item(), baseline["mean_y"].item()
    failed = joint[joint["mean_x"].isna() | joint["mean_y"].isna()]
    crosses = [style.weight_colour(weight) for weight in failed["weight_x"]]
    divergence.mark_in_corner(ax, crosses + ["black"] * bool(np.isnan(baseline_x) or np.isnan(baseline_y)))
    ax.axvline(baseline_x, **style.BASELINE_LINE)
    ax.axhline(baseline_y, **style.BASELINE_LINE)
    if rows["task"].nunique() == 2:  # with more tasks the weights have no order along a line
        ax.plot(joint["mean_x"], joint["mean_y"], color="0.7", linewidth=0.7, zorder=1)
    for settings, colour in ((joint, "0.5"), (baseline, "black")):
        ax.errorbar(
            settings["mean_x"],
            settings["mean_y"],
            xerr=style.error_bars(settings["std_x"]),
            yerr=style.error_bars(settings["std_y"]),
            fmt="none",
            ecolor=colour,
            elinewidth=0.6,
            zorder=2,
        )
    for point in joint.drop(failed.index).itertuples():
        marker, size = MARKERS[None if pd.isna(point.heuristic_x) else point.heuristic_x]
        ax.plot(
            point.mean_x,
            point.mean_y,
            marker=marker,
            markersize=size,
            color=style.weight_colour(point.weight_x),
            markeredgecolor="black",
            markeredgewidth=0.4,
            zorder=3,
        )
        if point.optimum_x:
            ax.plot(point.mean_x, point.mean_y, **OPTIMUM_RING, zorder=4)
    ax.plot(baseline_x, baseline_y, **BASELINE_STAR, zorder=5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    divergence.hide_ticks_without_values(ax.xaxis, points["mean_x"])
    divergence.hide_ticks_without_values(ax.yaxis, points["mean_y"])


def _points(rows: pd.DataFrame, x_task: str, y_task: str) -> pd.DataFrame:
    """One row per weight setting, with the columns of both tasks, which end in ``_x`` and ``_y``."""
    columns = ["mean", "std", "weight", "heuristic", "optimum"]
    x, y = (rows[rows["task"] == task].set_index(SETTING)[columns] for task in (x_task, y_task))
    return x.add_suffix("_x").join(y.add_suffix("_y"), validate="one_to_one").reset_index()


def _legend(summary: pd.DataFrame, metadata: dict[str, Any]) -> list[Line2D]:
    joint = labels.JOINT[metadata["setting"]]
    heuristics = summary["heuristic"].dropna().unique()
    names = {None: joint} | {h: f"{joint}, {h}" for h in ("uniform", "proportional") if h in heuristics}
    look: Look = {"color": "0.75", "markeredgecolor": "black", "markeredgewidth": 0.4, "linestyle": "none"}
    settings = [
        Line2D([], [], marker=MARKERS[heuristic][0], markersize=MARKERS[heuristic][1], label=name, **look)
        for heuristic, name in names.items()
    ]
    others = [Line2D([], [], **OPTIMUM_RING, label="$p^*$"), Line2D([], [], **BASELINE_STAR, label="SD")]
    return [*settings, *others, *divergence.legend_entries(divergence.has_diverged(summary))]
