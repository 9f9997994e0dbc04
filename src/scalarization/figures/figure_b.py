"""Figures B and C: one panel per capacity, quality on one member against quality on the other, coloured by p."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scalarization.figures import _style

#: Heuristic -> marker, size in points; null: any other weights.
MARKERS = {None: ("o", 4.5), "uniform": ("s", 5.0), "proportional": ("D", 4.8)}
BLACK_STAR = {"marker": "*", "markersize": 8, "color": "black", "linestyle": "none"}
RING = {
    "marker": "o",
    "markersize": 9.5,
    "markerfacecolor": "none",
    "markeredgecolor": _style.COLOURS[1],
    "markeredgewidth": 1.2,
    "linestyle": "none",
}


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_b``'s summary; three or more members give a block of panels per pair of them."""
    metric = _style.metric_of(summary)
    return draw_trade_off(summary, facts, lambda task: _style.axis_label(task, metric))


def draw_trade_off(summary: pd.DataFrame, facts: dict[str, Any], axis_label: Callable[[str], str]) -> Figure:
    """Draw under the common style; ``axis_label`` names the axis of a task."""
    grid = _style.Grid.of(summary)
    found = list(_style.blocks(summary))
    pairs = [
        (label if len(found) > 1 else "", pair, rows)
        for task_set, label, rows in found
        for pair in itertools.combinations(_style.members(facts, task_set), 2)
    ]
    height = min(2.2, 0.85 * (_style.WIDTH - 0.6) / len(grid.widths)) * len(grid.rows) + 0.55
    bottom_height = _style.legend_height(1, 1)
    figure = _style.new_figure(height * len(pairs) + bottom_height)
    *parents, bottom = figure.subfigures(len(pairs) + 1, 1, height_ratios=[height] * len(pairs) + [bottom_height])
    for parent, (label, pair, rows) in zip(parents, pairs, strict=True):
        axes = _style.capacity_panels(parent, grid, label, *(axis_label(task) for task in pair))
        for row, column in grid:
            here = grid.at(rows, row, column)
            if here["present"].all():
                _draw_panel(axes[row, column], here, *pair, ticks=3 if len(grid.widths) > 2 else 5)
            else:
                _style.not_run(axes[row, column])
    on_x = {pair[0] for _, pair, _ in pairs}
    label = f"$p$({on_x.pop()})" if len(on_x) == 1 else "$p$ of the member on the horizontal axis"
    _style.colour_bar(_style.bar_axes(bottom, 1)[0], _style.weight_norm(), _style.WEIGHT_MAP, label)
    bottom.legend(
        handles=_legend(summary, facts), loc="outside lower center", ncols=5, columnspacing=1.2, handletextpad=0.2
    )
    return figure


def _draw_panel(ax: Axes, found: pd.DataFrame, x: str, y: str, ticks: int) -> None:
    columns = ["mean", "std", "weight", "heuristic", "optimum"]
    sides = [found[found["task"] == t].set_index(["method", "member"])[columns] for t in (x, y)]
    points = sides[0].add_suffix("_x").join(sides[1].add_suffix("_y"), validate="one_to_one").reset_index()
    baseline = points[points["method"] == "single"]
    level_x, level_y = baseline["mean_x"].item(), baseline["mean_y"].item()
    ax.axvline(level_x, **_style.LEVEL)
    ax.axhline(level_y, **_style.LEVEL)
    joint = points[points["method"] != "single"].sort_values("weight_x", kind="stable")
    if found["task"].nunique() == 2:  # else the weights are no curve but a surface
        ax.plot(joint["mean_x"], joint["mean_y"], color="0.7", linewidth=0.7, zorder=1)
    for rows, colour in ((joint, "0.5"), (baseline, "black")):
        ax.errorbar(
            rows["mean_x"],
            rows["mean_y"],
            xerr=_style.errors(rows["std_x"]),
            yerr=_style.errors(rows["std_y"]),
            fmt="none",
            ecolor=colour,
            elinewidth=0.6,
            zorder=2,
        )
    for point in joint.itertuples():
        marker, size = MARKERS[None if pd.isna(point.heuristic_x) else point.heuristic_x]
        colour = _style.weight_colour(point.weight_x)
        ax.plot(
            point.mean_x,
            point.mean_y,
            marker=marker,
            markersize=size,
            color=colour,
            markeredgecolor="black",
            markeredgewidth=0.4,
            zorder=3,
        )
        if point.optimum_x:
            ax.plot(point.mean_x, point.mean_y, **RING, zorder=4)
    ax.plot(level_x, level_y, **BLACK_STAR, zorder=5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))


def _legend(summary: pd.DataFrame, facts: dict[str, Any]) -> list[Line2D]:
    joint = _style.JOINT[facts["setting"]]
    there = summary["heuristic"].dropna().unique()
    names = {None: joint} | {h: f"{joint}, {h}" for h in ("uniform", "proportional") if h in there}
    edge = {"color": "0.75", "markeredgecolor": "black", "markeredgewidth": 0.4, "linestyle": "none"}
    handles = [
        Line2D([], [], marker=MARKERS[h][0], markersize=MARKERS[h][1], label=n, **edge) for h, n in names.items()
    ]
    return [*handles, Line2D([], [], **RING, label="$p^*$"), Line2D([], [], **BLACK_STAR, label="SD")]
