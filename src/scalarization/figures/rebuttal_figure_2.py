"""R table 2, right: the simplex of three tasks, the grid's accuracy on it, and the weights that a search visited."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalarization.figures import _style

#: The corners: the first task at the top, the second at the lower left, the third at the lower right.
CORNERS = np.array([[0.5, np.sqrt(0.75)], [0.0, 0.0], [1.0, 0.0]])
BAR_HEIGHT, LEGEND_HEIGHT = 0.5, 0.45
#: Panels beside each other -> height; narrower ones would crowd the points.
HEIGHTS = {1: 2.9, 2: 2.6}
TICKS = np.arange(1, 5) / 5
LATTICE = {"color": "0.85", "linewidth": 0.5, "zorder": 0}
SCORE_MAP = "viridis"
GRID = {"marker": "h", "s": 190, "edgecolors": "white", "linewidths": 0.5, "zorder": 2}
BEST = {"marker": "h", "s": 240, "facecolors": "none", "edgecolors": "black", "linewidths": 1.2, "zorder": 3}
STEP = {"color": "0.35", "linewidth": 0.5, "zorder": 3.5}
VISIT = {"marker": "o", "edgecolors": "black", "linewidths": 0.5, "zorder": 4}
POLICY = {"color": _style.COLOURS[1], "linewidth": 1.6, "zorder": 3.8}
POLICY_POINT = {"edgecolors": _style.COLOURS[1], "linewidths": 1.6, "zorder": 5}


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.rebuttal_figure_2``'s summary: a panel per place and search."""
    panels = _panels(summary)
    columns = min(max(HEIGHTS), len(panels))
    lines = -(-len(panels) // columns)
    heights = [lines * HEIGHTS[columns], BAR_HEIGHT + LEGEND_HEIGHT]
    figure = _style.new_figure(sum(heights))
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    axes = top.subplots(lines, columns, squeeze=False).ravel()
    grid = summary[(summary["part"] == "grid") & summary["present"].astype(bool)]
    norm = _norm(grid["score"])
    intervals = int(summary["interval"].max()) if summary["interval"].notna().any() else 1
    for ax in axes:
        ax.set_axis_off()
    for ax, (title, points, visits) in zip(axes, panels, strict=False):
        ax.set_title(title)
        _draw_panel(ax, points, visits, norm, intervals)
    if len(grid):
        unit = _style.UNITS[grid["metric"].iloc[0]][0]
        label = f"validation average of the grid's points [{unit}]"
        _style.colour_bar(_style.bar_axes(bottom, 1)[0], norm, SCORE_MAP, label)
    bottom.legend(handles=_legend(intervals), loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _panels(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Title, grid and search of every panel."""
    found = []
    for _, place in summary.groupby(["benchmark", "task_set", "architecture"], sort=False):
        grid = place[place["part"] == "grid"]
        first = place.iloc[0]
        for label, visits in place[place["part"] == "search"].groupby("label", sort=False):
            found.append((f"{label} over the grid, depth {first['depth']}, width {first['width']}", grid, visits))
    return found


def _draw_panel(ax: Axes, grid: pd.DataFrame, visits: pd.DataFrame, norm: Normalize, intervals: int) -> None:
    ax.set_aspect("equal")
    ax.set(xlim=(-0.22, 1.22), ylim=(-0.15, 0.96))
    if not (grid["present"].all() and visits["present"].all()):
        ax.fill(*CORNERS.T, **_style.ABSENT)
        _style.say_not_run(ax)
        return
    _draw_simplex(ax, [task.replace("_", " ") for task in grid["tasks"].iloc[0]])
    points = _place(grid["weights"])
    ax.scatter(*points.T, c=grid["score"], cmap=SCORE_MAP, norm=norm, **GRID)
    sign = -1 if grid["metric"].iloc[0] == "l1" else 1
    ax.scatter(*points[int(np.argmax(sign * grid["score"].to_numpy()))], **BEST)
    for row in visits[visits["explored"].astype(bool)].itertuples():
        ax.plot(*_place([row.weights_before, row.weights]).T, **STEP)
    policy = visits[visits["policy"].astype(bool)].sort_values("interval")
    path = _place(policy["weights"])
    ax.plot(*path.T, **POLICY)
    for interval, rows in visits.groupby("interval"):
        # What stays where it was is drawn once, as of the interval in which it came there.
        new = rows[(rows["interval"] == 1) | rows["explored"].astype(bool)]
        look = VISIT | {"c": [_shade(interval, intervals)], "s": _size(interval, intervals)}
        ax.scatter(*_place(new["weights"]).T, **look)
        on = new[new["policy"].astype(bool)]
        ax.scatter(*_place(on["weights"]).T, **look | POLICY_POINT)


def _draw_simplex(ax: Axes, tasks: list[str]) -> None:
    ax.fill(*CORNERS.T, facecolor="none", edgecolor="black", linewidth=0.7, zorder=1)
    for corner in range(3):
        # Lines of equal weight of this corner's task; its values stand where they meet the edge to the next but one.
        first, second = (corner + 1) % 3, (corner + 2) % 3
        for tick in TICKS:
            ends = np.zeros((2, 3))
            ends[:, corner] = tick
            ends[0, first] = ends[1, second] = 1 - tick
            ax.plot(*_place(ends).T, **LATTICE)
            outward = 0.045 * (CORNERS[corner] + CORNERS[first] - 2 * CORNERS[second]) / np.sqrt(3)
            x, y = _place(ends[:1])[0] + outward
            ax.text(x, y, f"{tick:g}", fontsize=5.5, ha="center", va="center", color="0.4")
    (top, left, right) = (f"$p$({task})" for task in tasks)
    ax.text(*(CORNERS[0] + [0, 0.03]), f"{top} = 1", ha="center", va="bottom")
    ax.text(*(CORNERS[1] + [0, -0.08]), f"{left} = 1", ha="center", va="top")
    ax.text(*(CORNERS[2] + [0, -0.08]), f"{right} = 1", ha="center", va="top")


def _place(weights: Any) -> np.ndarray:
    """Points of the picture [points, 2] for weights [points, 3]."""
    return np.array([list(w) for w in weights], dtype=float).reshape(-1, 3) @ CORNERS


def _shade(interval: int, intervals: int) -> tuple[float, float, float]:
    """From white to dark grey."""
    part = (interval - 1) / max(1, intervals - 1)
    return (1 - 0.75 * part,) * 3


def _size(interval: int, intervals: int) -> float:
    return 14 + 14 * (interval - 1) / max(1, intervals - 1)


def _norm(scores: pd.Series) -> Normalize:
    """Colours from the worst to the best point."""
    if scores.empty:
        return Normalize(0, 1)
    low, high = scores.min(), scores.max()
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def _legend(intervals: int) -> list[Line2D]:
    point = {"linestyle": "none", "markeredgecolor": "black"}
    shown = sorted({1, (intervals + 1) // 2, intervals})
    visits = [
        Line2D(
            [],
            [],
            **point,
            marker="o",
            markeredgewidth=0.5,
            markerfacecolor=_shade(interval, intervals),
            markersize=np.sqrt(_size(interval, intervals)),
            label=f"tried from interval {interval}",
        )
        for interval in shown
    ]
    return [
        Line2D([], [], **point, marker="h", markersize=9, markerfacecolor="none", label="grid's best"),
        *visits,
        Line2D([], [], **STEP, label="perturbed"),
        Line2D([], [], **{**POLICY, "marker": "o", "markersize": 4.5, "markerfacecolor": "white"}, label="policy"),
    ]
