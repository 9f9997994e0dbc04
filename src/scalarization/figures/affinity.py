"""Affinity and diversity: SD models on every domain, beside what joint training at p* gains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from scalarization.figures import _style

#: One per depth, repeated if there are more.
MARKERS = "osD^vP"
ACCURACY_MAP = "cividis"
PERCENT = Normalize(0, 100)
SCATTER_HEIGHT = 2.0
LEGEND_COLUMNS = 3


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.affinity``'s summary: gains over affinity and diversity, and SD accuracies on all domains."""
    grid = _style.Grid.of(summary)
    evaluation = summary[summary["part"] == "evaluation"]
    benefit = summary[summary["part"] == "benefit"]
    trained, evaluated = (list(evaluation[name].unique()) for name in ("task", "evaluated"))
    colours = {task: _style.COLOURS[n % len(_style.COLOURS)] for n, task in enumerate(benefit["task"].unique())}
    cell = 0.3 if len(evaluated) <= 3 else 0.22
    matrices = (cell * len(trained) + 0.25) * len(grid.rows) + 0.85
    variants = list(summary["variant"].unique())
    legend = _legend(grid, colours)
    bottom_height = _style.legend_height(len(legend), LEGEND_COLUMNS)
    heights = [SCATTER_HEIGHT, matrices] * len(variants) + [bottom_height]
    figure = _style.new_figure(sum(heights))
    *parents, bottom = figure.subfigures(len(heights), 1, height_ratios=heights)
    for number, variant in enumerate(variants):
        scatter, panels = parents[2 * number : 2 * number + 2]
        if len(variants) > 1:
            scatter.suptitle(variant, fontsize="medium", fontweight="bold")
        _draw_gains(scatter, grid, benefit[benefit["variant"] == variant], colours, _style.JOINT[facts["setting"]])
        _draw_accuracies(panels, grid, evaluation[evaluation["variant"] == variant], trained, evaluated)
    _style.colour_bar(_style.bar_axes(bottom, 1)[0], PERCENT, ACCURACY_MAP, "test accuracy of the SD model [%]")
    bottom.legend(handles=legend, loc="outside lower center", ncols=LEGEND_COLUMNS, columnspacing=1.2)
    return figure


def _draw_gains(
    parent: SubFigure, grid: _style.Grid, benefit: pd.DataFrame, colours: dict[str, str], joint: str
) -> None:
    axes: tuple[Axes, Axes] = parent.subplots(1, 2, sharey=True)
    for ax, name in zip(axes, ("affinity", "diversity"), strict=True):
        for row, column in grid:
            here = grid.at(benefit, row, column)
            for point in here[here["present"].astype(bool)].itertuples():
                ax.errorbar(
                    getattr(point, f"{name}_mean"),
                    point.mean,
                    xerr=_error(getattr(point, f"{name}_std")),
                    yerr=_error(point.std),
                    color=colours[point.task],
                    elinewidth=0.6,
                    **_marker(row, column),
                )
        ax.axhline(0, color="black", linewidth=0.6, zorder=0)
    axes[0].set(xlabel="affinity (accuracy on added / on own)", ylabel=f"{joint} at $p^*$ $-$ SD\n[percentage points]")
    axes[1].set(xlabel="diversity (SD loss of added) [nats/image]")


def _draw_accuracies(
    parent: SubFigure, grid: _style.Grid, evaluation: pd.DataFrame, trained: list[str], evaluated: list[str]
) -> None:
    rotation = 90 if len(evaluated) * len(grid.widths) > 6 else 0
    axes = _style.capacity_panels(parent, grid, "", "evaluated on", "SD model trained on")
    for row, column in grid:
        ax = axes[row, column]
        here = grid.at(evaluation, row, column)
        values = (
            here.pivot(index="task", columns="evaluated", values="mean").reindex(trained, columns=evaluated).to_numpy()
        )
        size = 6.5 if len(evaluated) <= 3 else 5
        _style.heatmap(ax, values, _accuracy_words(values), PERCENT, ACCURACY_MAP, size)
        if not here["present"].all():
            _style.say_not_run(ax)
        _style.label_cells(
            ax, trained if column == 0 else None, evaluated if row == len(grid.rows) - 1 else None, rotation
        )


def _accuracy_words(values: np.ndarray) -> np.ndarray:
    return _style.words(values, lambda place: _style.number(values[place], 0))


def _marker(row: int, column: int) -> dict[str, Any]:
    """Shape tells the depth, size the width."""
    return {
        "marker": MARKERS[row % len(MARKERS)],
        "markersize": 3.5 + 1.1 * column,
        "markeredgecolor": "white",
        "markeredgewidth": 0.3,
    }


def _error(std: float) -> float | None:
    return None if np.isnan(std) else std


def _legend(grid: _style.Grid, colours: dict[str, str]) -> list[Line2D]:
    """Three columns: members, depths, widths."""
    look = {"linestyle": "none", "color": "0.4"}
    columns = [
        [Line2D([], [], **look | _marker(0, 2) | {"color": c}, label=f"gain of {t}") for t, c in colours.items()],
        [
            Line2D([], [], **look, **_marker(row, 2), label=f"{grid.row_axis} {grid.row_name(row)}")
            for row in range(len(grid.rows))
        ],
        [Line2D([], [], **look, **_marker(0, column), label=f"width {w}") for column, w in enumerate(grid.widths)],
    ]
    longest = max(len(column) for column in columns)
    blank = Line2D([], [], linestyle="none", label=" ")
    return [handle for column in columns for handle in column + [blank] * (longest - len(column))]
