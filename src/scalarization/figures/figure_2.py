"""Figure 2: heat maps over depth and width of p* and of what joint training with it gains on each member."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from scalarization.figures import _style

#: Panels beside each other.
COLUMNS = 3


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_2``'s summary: one row of panels per pair, two or more per larger task set."""
    grid = _style.Grid.of(summary)
    found = list(_style.blocks(summary))
    lines = [line for block in found for line in _lines(*block, facts)]
    # The titles of a pair's panels name both of its members.
    if len(found) == 1 or summary["variant"].nunique() == 1 and all(len(t) == 2 for t in facts["task_sets"].values()):
        lines = [("", panels) for _, panels in lines]
    panel = 0.42 + 0.34 * len(grid.rows)
    complete = summary["present"].all()
    bottom_height = _style.legend_height(0 if complete else 1, 1)
    figure = _style.new_figure(panel * len(lines) + bottom_height)
    top, bottom = figure.subfigures(2, 1, height_ratios=[panel * len(lines), bottom_height])
    axes = top.subplots(len(lines), COLUMNS, squeeze=False)
    norms = {"weight": _style.weight_norm(), "mean": _style.difference_norm(summary["mean"].to_numpy())}
    colours = {"weight": _style.WEIGHT_MAP, "mean": _style.DIFFERENCE_MAP}
    places = _style.decimals(_style.metric_of(summary), summary["mean"].to_numpy())
    joint = _style.JOINT[facts["setting"]]
    for number, (label, panels) in enumerate(lines):
        for column in range(COLUMNS):
            ax = axes[number, column]
            if column >= len(panels):
                ax.set_axis_off()
                continue
            quantity, task, rows = panels[column]
            words = _weight_words(grid, rows) if quantity == "weight" else _difference_words(grid, rows, places)
            size = 6.5 if len(grid.widths) <= 3 else 5.5
            _style.heatmap(ax, grid.array(rows, quantity), words, norms[quantity], colours[quantity], size)
            _style.label_cells(
                ax,
                [grid.row_name(r) for r in range(len(grid.rows))] if column == 0 else None,
                [str(w) for w in grid.widths] if number == len(lines) - 1 else None,
            )
            ax.set_title(f"$p^*$({task})" if quantity == "weight" else f"{task}: {joint} $-$ SD")
            if number == len(lines) - 1:
                ax.set_xlabel("width")
        axes[number, 0].set_ylabel(f"{label}\n{grid.row_axis}" if label else grid.row_axis)
    several = summary["seeds"].max() > 1
    bars = _style.bar_axes(bottom, 2)
    for ax, quantity, label in (
        (bars[0], "weight", "$p^*$, chosen on validation" + (" (range over seeds)" if several else "")),
        (bars[1], "mean", f"{joint} $-$ SD on test [{_style.UNITS[_style.metric_of(summary)][1]}]"),
    ):
        _style.colour_bar(ax, norms[quantity], colours[quantity], label)
    if not complete:
        bottom.legend(handles=[_style.not_run_patch()], loc="outside lower center")
    return figure


def _lines(task_set: str, label: str, rows: pd.DataFrame, facts: dict[str, Any]) -> list[tuple[str, list[tuple]]]:
    """Lines of panels (quantity, task, rows) of one task set; a pair needs only one p*."""
    tasks = _style.members(facts, task_set)
    weights = [("weight", t, rows[rows["task"] == t]) for t in _style.weight_members(facts, task_set)]
    gains = [("mean", t, rows[rows["task"] == t]) for t in tasks]
    if len(tasks) == 2:
        return [(label, weights + gains)]
    return [
        (label, kind[start : start + COLUMNS]) for kind in (weights, gains) for start in range(0, len(kind), COLUMNS)
    ]


def _weight_words(grid: _style.Grid, rows: pd.DataFrame) -> np.ndarray:
    weight, low, high, seeds = (grid.array(rows, name) for name in ("weight", "weight_low", "weight_high", "seeds"))

    def write(place: tuple[int, int]) -> str:
        if seeds[place] < 2:
            return f"{weight[place]:.2g}"
        ends = "\N{EN DASH}".join(dict.fromkeys(f"{end[place]:.2g}" for end in (low, high)))
        return f"{weight[place]:.2g}\n({ends})"

    return _style.words(weight, write)


def _difference_words(grid: _style.Grid, rows: pd.DataFrame, places: int) -> np.ndarray:
    mean, std = grid.array(rows, "mean"), grid.array(rows, "std")
    return _style.words(mean, lambda place: _style.with_spread(mean[place], std[place], places, sign=True))
