"""Main-text figure 2: heat maps over depth and width of p* and of the gain of joint training with p*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from scalarization.plotting import divergence, heatmaps, labels, style, task_sets
from scalarization.plotting.capacities import CapacityGrid

#: Panels per line.
COLUMNS = 3
#: Why gains of one seed are not to be trusted.
ONE_SEED = "one seed: the same models choose $p^*$ and are measured, so gains are too good"
COLOUR_MAPS = {"weight": style.WEIGHT_MAP, "mean": style.DIFFERENCE_MAP}


@dataclass(frozen=True)
class HeatMap:
    """One heat map.

    Attributes:
        quantity: Column of the summary: ``weight`` for p*, ``mean`` for the gain.
        task: Task or domain.
        rows: Rows of the summary about the task.
    """

    quantity: str
    task: str
    rows: pd.DataFrame


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_2``: one line of panels per pair, two or more per larger task set."""
    grid = CapacityGrid.from_summary(summary)
    lines = _lines(summary, metadata)
    panel_height = 0.42 + 0.34 * len(grid.rows)
    handles = _legend(summary)
    bottom_height = style.legend_height(len(handles), 1)
    figure = style.new_figure(panel_height * len(lines) + bottom_height)
    top, bottom = style.stack(figure, [panel_height * len(lines), bottom_height])
    axes = top.subplots(len(lines), COLUMNS, squeeze=False)
    norms = {"weight": style.weight_norm(), "mean": style.difference_norm(summary["mean"].to_numpy())}
    decimals = labels.difference_decimals(labels.metric_of(summary), summary["mean"].to_numpy())
    joint = labels.JOINT[metadata["setting"]]
    for number, (label, panels) in enumerate(lines):
        last = number == len(lines) - 1
        for column, ax in enumerate(axes[number]):
            if column >= len(panels):
                ax.set_axis_off()
                continue
            panel = panels[column]
            _draw_panel(ax, grid, panel, norms[panel.quantity], decimals)
            heatmaps.label_cells(
                ax,
                grid.row_labels() if column == 0 else None,
                [str(width) for width in grid.widths] if last else None,
            )
            ax.set_title(f"$p^*$({panel.task})" if panel.quantity == "weight" else f"{panel.task}: {joint} $-$ SD")
            if last:
                ax.set_xlabel("width")
        axes[number, 0].set_ylabel(f"{label}\n{grid.row_quantity}" if label else grid.row_quantity)
    _draw_colour_bars(bottom, summary, norms, joint)
    if handles:
        bottom.legend(handles=handles, loc="outside lower center")
    return figure


def _legend(summary: pd.DataFrame) -> list[Artist]:
    handles: list[Artist] = [] if summary["present"].all() else [style.not_run_entry()]
    handles += divergence.settings_entries(summary)
    if not summary["cross_fitted"].dropna().astype(bool).all():
        handles.append(Line2D([], [], linestyle="none", label=ONE_SEED))
    return handles


def _lines(summary: pd.DataFrame, metadata: dict[str, Any]) -> list[tuple[str, list[HeatMap]]]:
    """Label and panels of every line. The label is empty where the titles of the panels are enough."""
    parts = list(task_sets.by_task_set(summary))
    lines = []
    for task_set, label, rows in parts:
        tasks = task_sets.task_order(metadata, task_set)
        weights = [HeatMap("weight", t, rows[rows["task"] == t]) for t in task_sets.weight_tasks(metadata, task_set)]
        gains = [HeatMap("mean", t, rows[rows["task"] == t]) for t in tasks]
        panels = [weights + gains] if len(tasks) == 2 else [*_split(weights), *_split(gains)]
        lines += [(label, line) for line in panels]
    only_pairs = all(len(tasks) == 2 for tasks in metadata["task_sets"].values())
    if len(parts) == 1 or (summary["variant"].nunique() == 1 and only_pairs):
        return [("", panels) for _, panels in lines]
    return lines


def _split(panels: list[HeatMap]) -> list[list[HeatMap]]:
    """Panels in lines of at most :data:`COLUMNS`."""
    return [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]


def _draw_panel(ax: Axes, grid: CapacityGrid, panel: HeatMap, norm: Any, decimals: int) -> None:
    is_weight = panel.quantity == "weight"
    texts = _weight_texts(grid, panel.rows) if is_weight else _gain_texts(grid, panel.rows, decimals)
    size = 6.5 if len(grid.widths) <= 3 else 5.5
    values, diverged, seeds = (grid.matrix(panel.rows, name) for name in (panel.quantity, "diverged", "seeds"))
    diverged_texts = divergence.cells(values, diverged, seeds)
    heatmaps.draw_heatmap(ax, values, texts, norm, COLOUR_MAPS[panel.quantity], size, diverged_texts)


def _draw_colour_bars(parent: SubFigure, summary: pd.DataFrame, norms: dict[str, Any], joint: str) -> None:
    seed_range = " (range over seeds)" if summary["seeds"].max() > 1 else ""
    unit = labels.DIFFERENCE_UNITS[labels.metric_of(summary)]
    bar_labels = {
        "weight": f"$p^*$, chosen on validation{seed_range}",
        "mean": f"{joint} $-$ SD on test [{unit}]",
    }
    for ax, (quantity, label) in zip(style.colour_bar_axes(parent, 2), bar_labels.items(), strict=True):
        style.colour_bar(ax, norms[quantity], COLOUR_MAPS[quantity], label)


def _weight_texts(grid: CapacityGrid, rows: pd.DataFrame) -> np.ndarray:
    """p*, and below it the range of what each seed alone would choose if there are several seeds."""
    names = ("weight", "weight_low", "weight_high", "seeds")
    weight, low, high, seeds = (grid.matrix(rows, name) for name in names)

    def text_of(cell: tuple[int, int]) -> str:
        if seeds[cell] < 2:
            return f"{weight[cell]:.2g}"
        seed_range = "\N{EN DASH}".join(dict.fromkeys(f"{end[cell]:.2g}" for end in (low, high)))
        return f"{weight[cell]:.2g}\n({seed_range})"

    return heatmaps.cell_texts(weight, text_of)


def _gain_texts(grid: CapacityGrid, rows: pd.DataFrame, decimals: int) -> np.ndarray:
    mean, std = grid.matrix(rows, "mean"), grid.matrix(rows, "std")
    return heatmaps.cell_texts(mean, lambda cell: labels.format_mean(mean[cell], std[cell], decimals, sign=True))
