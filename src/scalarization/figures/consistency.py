"""Consistency of p* (appendix 2.1 and 4): p* at every capacity, and the loss of taking it from another capacity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from scalarization.plotting import divergence, heatmaps, labels, style, task_sets
from scalarization.plotting.capacities import CapacityGrid
from scalarization.plotting.style import Look

OPTIMUM: Look = {"color": style.COLOURS[0], "marker": "o", "markersize": 5.5, "linestyle": "none", "zorder": 4}
SEED_CHOICE: Look = {
    "color": style.COLOURS[0],
    "marker": "o",
    "markersize": 3,
    "markerfacecolor": "white",
    "linestyle": "none",
    "zorder": 5,
}
WITHIN_ERROR: Look = {"color": "0.55", "marker": "_", "markersize": 8, "linewidth": 0.8, "zorder": 2}
HEURISTICS: dict[str, Look] = {
    "uniform": {"color": style.COLOURS[1], "linestyle": "--", "linewidth": 0.9, "zorder": 1},
    "proportional": {"color": style.COLOURS[2], "linestyle": ":", "linewidth": 1.2, "zorder": 1},
}
REPORTED: Look = {"color": style.COLOURS[3], "linewidth": 4, "solid_capstyle": "butt"}
#: Procedure -> title of its matrix.
PROCEDURES = {"reuse": "reuse $p^*$ unchanged", "refine": "search again near $p^*$"}
#: Reversed, because here a positive value is a loss, and blue is good in all figures.
LOSS_MAP = f"{style.DIFFERENCE_MAP}_r"
#: Why losses of one seed are not to be trusted.
ONE_SEED = "one seed chooses and is measured"
#: In place of the second matrix with one or two seeds.
MORE_SEEDS = "takes three seeds:\none is measured,\nthe others choose\nby their mean and error"
STRIP_HEIGHT = 1.5
#: With at most this many capacities the two matrices are side by side.
MOST_SIDE_BY_SIDE = 6
#: With at most this many capacities the cells have room for standard deviations.
MOST_WITH_DEVIATIONS = 4
LEGEND_COLUMNS = 3


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.consistency``: for each task set p* by capacity, and the matrices of losses."""
    grid = CapacityGrid.from_summary(summary[summary["part"] == "optimum"])
    measured = summary[summary["part"] != "reported"]
    reported = summary[summary["part"] == "reported"]
    parts = list(task_sets.by_task_set(measured))
    has_matrices = measured.loc[measured["present"].astype(bool), "architecture"].nunique() > 1
    matrices_height = _matrices_height(len(list(grid)), summary["procedure"].nunique()) if has_matrices else 0
    strips = [task_sets.weight_tasks(metadata, task_set) for task_set, _, _ in parts]
    heights = [STRIP_HEIGHT * len(tasks) + 0.2 + matrices_height for tasks in strips]
    legend = _legend(summary)
    bottom_height = style.legend_height(len(legend), LEGEND_COLUMNS, bar=has_matrices)
    figure = style.new_figure(sum(heights) + bottom_height)
    *parents, bottom = style.stack(figure, [*heights, bottom_height])
    norm = style.difference_norm(summary.loc[summary["part"] == "regret", "mean"].to_numpy())
    for parent, tasks, (_, label, rows) in zip(parents, strips, parts, strict=True):
        optima = rows[rows["part"] == "optimum"]
        if len(parts) > 1:
            parent.suptitle(label, fontsize="medium", fontweight="bold")
        ratios = [STRIP_HEIGHT * len(tasks) + 0.2, matrices_height]
        halves = style.stack(parent, ratios) if has_matrices else [parent]
        for ax, task in zip(halves[0].subplots(len(tasks), 1, squeeze=False)[:, 0], tasks, strict=True):
            _draw_strip(ax, grid, optima[optima["task"] == task], task, reported[reported["task"] == task])
        if has_matrices:
            _draw_matrices(halves[1], grid, rows[rows["part"] == "regret"], optima, norm)
    if has_matrices:
        unit = labels.DIFFERENCE_UNITS[labels.metric_of(summary)]
        by_others = summary["cross_fitted"].dropna().astype(bool).all()
        (bar,) = style.colour_bar_axes(bottom, 1)
        label = f"loss of test average relative to own $p^*$ [{unit}]"
        style.colour_bar(bar, norm, LOSS_MAP, label if by_others else f"{label}, {ONE_SEED}")
    bottom.legend(handles=legend, loc="outside lower center", ncols=LEGEND_COLUMNS, columnspacing=1.2)
    return figure


def _matrices_height(capacities: int, procedures: int) -> float:
    """Height of the matrices of all procedures, inches."""
    side_by_side = capacities <= MOST_SIDE_BY_SIDE
    return 0.45 + 2.0 if side_by_side else procedures * (0.45 + 0.32 * capacities)


def _draw_strip(ax: Axes, grid: CapacityGrid, optima: pd.DataFrame, task: str, reported: pd.DataFrame) -> None:
    """Draw the weight of one task or domain at every capacity, in groups of one depth each."""
    positions = {cell: cell[1] + cell[0] * (len(grid.widths) + 0.6) for cell in grid}
    for cell, x in positions.items():
        rows = grid.rows_at(optima, *cell)
        if rows["present"].all():
            _draw_optimum(ax, x, rows)
        else:
            ax.axvspan(x - 0.5, x + 0.5, **style.HATCHED)
    for heuristic, look in HEURISTICS.items():
        for weight in optima.loc[optima["heuristic"] == heuristic, "weight"].unique():
            ax.axhline(weight, **look)
    last = max(positions.values())
    for number, row in enumerate(reported.itertuples()):
        x = last + 1.4 + 0.8 * number
        ax.plot([x, x], [row.low, row.high], **REPORTED)
        text = ax.text(x, row.high + 0.04, row.where, rotation=90, ha="center", va="bottom", fontsize=6)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    ax.set(xlim=(-0.8, last + 1.0 + 0.8 * len(reported)), ylim=(0, 1), ylabel=f"$p$({task})")
    ax.set_xticks(list(positions.values()), [f"w{grid.widths[column]}" for _, column in positions])
    ax.xaxis.remove_overlapping_locs = False
    middle = (len(grid.widths) - 1) / 2
    ax.set_xticks(
        [positions[row, 0] + middle for row in range(len(grid.rows))],
        [f"{grid.row_quantity} {label}" for label in grid.row_labels()],
        minor=True,
    )
    ax.tick_params(axis="x", which="minor", length=0, pad=13)


def _draw_optimum(ax: Axes, x: float, rows: pd.DataFrame) -> None:
    """Draw p* of one capacity, the weights within one standard error of it, and what each seed alone would choose.

    To the left of them are the weights at which a run diverged. If that is so at all weights, there is no p*.
    """
    failed = rows[rows["diverged"] > 0]
    divergence.mark_at(ax, [x - 0.25] * len(failed), failed["weight"])
    within = rows[rows["within_error"].astype(bool)].sort_values("weight")
    if len(within) > 1:
        ax.plot([x] * len(within), within["weight"], **WITHIN_ERROR)
    optimum = rows[rows["optimum"].astype(bool)]["weight"]
    if len(optimum):
        ax.plot(x, optimum.item(), **OPTIMUM)
    chosen = rows.loc[rows.index.repeat(rows["seeds_choosing"].astype(int)), "weight"]
    if len(chosen) > 1:
        # Seeds that choose the same weight are side by side.
        ax.plot(x + 0.2 + 0.12 * chosen.groupby(chosen).cumcount(), chosen, **SEED_CHOICE)


def _draw_matrices(
    parent: SubFigure, grid: CapacityGrid, regrets: pd.DataFrame, optima: pd.DataFrame, norm: Normalize
) -> None:
    """Draw one matrix per procedure: capacities that were searched by capacities that were trained.

    A procedure that takes more seeds has a note in its place, if there is room for two matrices anyway.
    """
    short = {"depth": "d", "shared layers": "shr"}[grid.row_quantity]
    names = [f"{short}{grid.row_label(row)} w{grid.widths[column]}" for row, column in grid]
    architectures = [grid.rows_at(optima, *cell)["architecture"].iloc[0] for cell in grid]
    num_settings = len(optima.drop_duplicates(["method", "weight_setting"]).dropna(subset=["method"]))
    side_by_side = len(names) <= MOST_SIDE_BY_SIDE
    procedures = [name for name in PROCEDURES if side_by_side or (regrets["procedure"] == name).any()]
    shape = (1, len(procedures)) if side_by_side else (len(procedures), 1)
    axes = parent.subplots(*shape, squeeze=False).flat
    decimals = labels.difference_decimals(labels.metric_of(regrets), regrets["mean"].to_numpy())
    for ax, procedure in zip(axes, procedures, strict=True):
        ax.set_title(PROCEDURES[procedure])
        rows = regrets[regrets["procedure"] == procedure]
        if rows.empty:
            divergence.mark_panel(ax, MORE_SEEDS)
            ax.set_yticks([])
            continue
        names_of_values = ("mean", "std", "diverged", "seeds")
        mean, std, diverged, seeds = (_matrix(rows, name, architectures) for name in names_of_values)
        if len(names) > MOST_WITH_DEVIATIONS:
            std = np.full_like(std, np.nan)
        font_size = 6.5 if len(names) <= MOST_WITH_DEVIATIONS else 5.5
        texts, diverged_texts = _matrix_texts(mean, std, decimals), divergence.cells(mean, diverged, seeds)
        heatmaps.draw_heatmap(ax, mean, texts, norm, LOSS_MAP, font_size, diverged_texts)
        row_labels, y_label = names, "searched capacity"
        if procedure == "refine":
            left = rows.groupby("source")["candidates_left"].first().reindex(architectures)
            counts = ["" if pd.isna(n) else f"{int(n)} of {num_settings}" for n in left]
            if side_by_side:  # the names of the capacities are at the other matrix
                row_labels, y_label = counts, "settings tried again"
            else:
                row_labels = [f"{name} ({count})" if count else name for name, count in zip(names, counts, strict=True)]
        heatmaps.label_cells(ax, row_labels, names, rotation=90 if len(names) > MOST_WITH_DEVIATIONS else 0)
        ax.set(xlabel="trained capacity", ylabel=y_label)


def _matrix(rows: pd.DataFrame, name: str, architectures: list[str]) -> np.ndarray:
    """One column of the summary, [architectures searched, architectures trained]."""
    matrix = rows.pivot(index="source", columns="architecture", values=name)
    return matrix.reindex(architectures, columns=architectures).to_numpy(dtype=float, na_value=np.nan)


def _matrix_texts(mean: np.ndarray, std: np.ndarray, decimals: int) -> np.ndarray:
    return heatmaps.cell_texts(mean, lambda cell: labels.format_mean(mean[cell], std[cell], decimals))


def _legend(summary: pd.DataFrame) -> list[Artist]:
    handles: list[Artist] = [Line2D([], [], label="$p^*$, chosen on validation", **OPTIMUM)]
    if summary["seeds"].max() > 1:
        handles.append(Line2D([], [], label="choice of one seed", **SEED_CHOICE))
        handles.append(Line2D([], [], label="within one standard error", **WITHIN_ERROR))
    heuristics = set(summary["heuristic"].dropna())
    handles += [Line2D([], [], label=name, **look) for name, look in HEURISTICS.items() if name in heuristics]
    if (summary["part"] == "reported").any():
        handles.append(Line2D([], [], label="reported in the paper", **REPORTED))
    handles += divergence.legend_entries(divergence.has_diverged(summary[summary["part"] == "optimum"]))
    if not summary["present"].dropna().all():
        handles.append(style.not_run_entry())
    return handles
