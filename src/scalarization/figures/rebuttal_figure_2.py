"""Rebuttal table 2, right part: validation averages of a grid over three weights, and the weights of a search."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalarization.plotting import divergence, labels, style
from scalarization.plotting.style import Look

#: Corners of the triangle: the first task is at the top, the second at the lower left, the third at the lower right.
CORNERS = np.array([[0.5, np.sqrt(0.75)], [0.0, 0.0], [1.0, 0.0]])
BAR_HEIGHT, LEGEND_HEIGHT = 0.5, 0.45
#: Panels per line -> height of a line. Smaller panels would crowd the points.
PANEL_HEIGHTS = {1: 2.9, 2: 2.6}
TICKS = np.arange(1, 5) / 5
LATTICE: Look = {"color": "0.85", "linewidth": 0.5, "zorder": 0}
SCORE_MAP = "viridis"
GRID_POINT: Look = {"marker": "h", "s": 190, "edgecolors": "white", "linewidths": 0.5, "zorder": 2}
BEST_GRID_POINT: Look = {
    "marker": "h",
    "s": 240,
    "facecolors": "none",
    "edgecolors": "black",
    "linewidths": 1.2,
    "zorder": 3,
}
PERTURBATION: Look = {"color": "0.35", "linewidth": 0.5, "zorder": 3.5}
SEARCH_POINT: Look = {"marker": "o", "edgecolors": "black", "linewidths": 0.5, "zorder": 4}
POLICY_LINE: Look = {"color": style.COLOURS[1], "linewidth": 1.6, "zorder": 3.8}
POLICY_POINT: Look = {"edgecolors": style.COLOURS[1], "linewidths": 1.6, "zorder": 5}


class Triangle(NamedTuple):
    """One triangle: its title, the rows of the grid, the rows of one search."""

    title: str
    grid: pd.DataFrame
    search: pd.DataFrame


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.rebuttal_figure_2``: one panel per capacity and search."""
    panels = _panels(summary)
    columns = min(max(PANEL_HEIGHTS), len(panels))
    lines = math.ceil(len(panels) / columns)
    heights = [lines * PANEL_HEIGHTS[columns], BAR_HEIGHT + LEGEND_HEIGHT]
    figure = style.new_figure(sum(heights))
    top, bottom = style.stack(figure, heights)
    axes = top.subplots(lines, columns, squeeze=False).ravel()
    grid = summary[(summary["part"] == "grid") & summary["present"].astype(bool)]
    norm = score_norm(grid["score"])
    num_intervals = int(summary["interval"].max()) if summary["interval"].notna().any() else 1
    for ax in axes:
        ax.set_axis_off()
    for ax, panel in zip(axes, panels, strict=False):
        ax.set_title(panel.title)
        _draw_panel(ax, panel, norm, num_intervals)
    if len(grid):
        unit = labels.UNITS[grid["metric"].iloc[0]]
        (bar,) = style.colour_bar_axes(bottom, 1)
        style.colour_bar(bar, norm, SCORE_MAP, f"validation average of the grid points [{unit}]")
    legend = [*_legend(num_intervals), *divergence.legend_entries(divergence.has_diverged(summary))]
    bottom.legend(handles=legend, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def points_of(weights: Any) -> np.ndarray:
    """Positions in the triangle, [points, 2], of weights [points, 3]."""
    return np.array([list(w) for w in weights], dtype=float).reshape(-1, 3) @ CORNERS


def score_norm(scores: pd.Series) -> Normalize:
    """Colour scale from the worst to the best grid point."""
    if scores.isna().all():
        return Normalize(0, 1)
    low, high = scores.min(), scores.max()
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def _panels(summary: pd.DataFrame) -> list[Triangle]:
    panels = []
    for _, rows in summary.groupby(["benchmark", "task_set", "architecture"], sort=False):
        grid, searches = rows[rows["part"] == "grid"], rows[rows["part"] == "search"]
        capacity = f"depth {rows['depth'].iloc[0]}, width {rows['width'].iloc[0]}"
        for label, search in searches.groupby("label", sort=False):
            panels.append(Triangle(f"{label} over the grid, {capacity}", grid, search))
    return panels


def _draw_panel(ax: Axes, panel: Triangle, norm: Normalize, num_intervals: int) -> None:
    ax.set_aspect("equal")
    ax.set(xlim=(-0.22, 1.22), ylim=(-0.15, 0.96))
    grid = panel.grid
    if not (grid["present"].all() and panel.search["present"].all()):
        ax.fill(*CORNERS.T, **style.HATCHED)
        style.write_not_run(ax)
        return
    _draw_triangle(ax, [task.replace("_", " ") for task in grid["tasks"].iloc[0]])
    _draw_crosses(ax, grid)
    grid = grid[grid["score"].notna()]
    x, y = points_of(grid["weights"]).T
    ax.scatter(x, y, c=grid["score"], cmap=SCORE_MAP, norm=norm, **GRID_POINT)
    sign = -1 if labels.metric_of(panel.grid) == "l1" else 1
    if len(grid):
        best = int(np.argmax(sign * grid["score"].to_numpy()))
        ax.scatter(x[best], y[best], **BEST_GRID_POINT)
    _draw_search(ax, panel.search, num_intervals)


def _draw_search(ax: Axes, search: pd.DataFrame, num_intervals: int) -> None:
    """Draw the weights of all members, their perturbations, and the policy."""
    for row in search[search["explored"].astype(bool)].itertuples():
        ax.plot(*points_of([row.weights_before, row.weights]).T, **PERTURBATION)
    policy = search[search["policy"].astype(bool)].sort_values("interval")
    ax.plot(*points_of(policy["weights"]).T, **POLICY_LINE)
    for interval, rows in search.groupby("interval"):
        # Weights that a member keeps are drawn once, in the look of the interval in which they were new.
        new = rows[(rows["interval"] == 1) | rows["explored"].astype(bool)]
        look = SEARCH_POINT | {"c": [_shade(interval, num_intervals)], "s": _size(interval, num_intervals)}
        ax.scatter(*points_of(new["weights"]).T, **look)
        on_policy = new[new["policy"].astype(bool)]
        ax.scatter(*points_of(on_policy["weights"]).T, **look | POLICY_POINT)
    _draw_crosses(ax, search)


def _draw_crosses(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw crosses at the weights of runs, or members, that diverged."""
    failed = rows[rows["diverged"].astype(bool)]
    divergence.mark_at(ax, *points_of(failed["weights"]).T)


def _draw_triangle(ax: Axes, tasks: list[str]) -> None:
    ax.fill(*CORNERS.T, facecolor="none", edgecolor="black", linewidth=0.7, zorder=1)
    for corner in range(3):
        # On these lines the task of this corner has the same weight. Its value is written at one end of the line.
        first, second = (corner + 1) % 3, (corner + 2) % 3
        for tick in TICKS:
            weights = np.zeros((2, 3))
            weights[:, corner] = tick
            weights[0, first] = weights[1, second] = 1 - tick
            ax.plot(*points_of(weights).T, **LATTICE)
            outward = 0.045 * (CORNERS[corner] + CORNERS[first] - 2 * CORNERS[second]) / np.sqrt(3)
            x, y = points_of(weights[:1])[0] + outward
            ax.text(x, y, f"{tick:g}", fontsize=5.5, ha="center", va="center", color="0.4")
    for task, (x, y) in zip(tasks, CORNERS, strict=True):
        if y > 0:
            ax.text(x, y + 0.03, f"$p$({task}) = 1", ha="center", va="bottom")
        else:
            ax.text(x, y - 0.08, f"$p$({task}) = 1", ha="center", va="top")


def _shade(interval: int, num_intervals: int) -> tuple[float, float, float]:
    """Colour of an interval, from white to dark grey."""
    progress = (interval - 1) / max(1, num_intervals - 1)
    return (1 - 0.75 * progress,) * 3


def _size(interval: int, num_intervals: int) -> float:
    """Area of an interval's points, which grows with the interval."""
    return 14 + 14 * (interval - 1) / max(1, num_intervals - 1)


def _legend(num_intervals: int) -> list[Line2D]:
    point: Look = {"linestyle": "none", "markeredgecolor": "black"}
    intervals = [
        Line2D(
            [],
            [],
            **point,
            marker="o",
            markeredgewidth=0.5,
            markerfacecolor=_shade(interval, num_intervals),
            markersize=np.sqrt(_size(interval, num_intervals)),
            label=f"new in interval {interval}",
        )
        for interval in sorted({1, (num_intervals + 1) // 2, num_intervals})
    ]
    policy_look = {**POLICY_LINE, "marker": "o", "markersize": 4.5, "markerfacecolor": "white"}
    return [
        Line2D([], [], **point, marker="h", markersize=9, markerfacecolor="none", label="best grid point"),
        *intervals,
        Line2D([], [], **PERTURBATION, label="perturbation"),
        Line2D([], [], **policy_look, label="policy"),
    ]
