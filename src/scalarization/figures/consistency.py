"""Consistency of p*: its place at every capacity, and what it costs to take it from another capacity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from scalarization.figures import _style

OPTIMUM = {"color": _style.COLOURS[0], "marker": "o", "markersize": 5.5, "linestyle": "none", "zorder": 4}
SEED = {
    "color": _style.COLOURS[0],
    "marker": "o",
    "markersize": 3,
    "markerfacecolor": "white",
    "linestyle": "none",
    "zorder": 5,
}
WITHIN = {"color": "0.55", "marker": "_", "markersize": 8, "linewidth": 0.8, "zorder": 2}
HEURISTICS = {
    "uniform": {"color": _style.COLOURS[1], "linestyle": "--", "linewidth": 0.9, "zorder": 1},
    "proportional": {"color": _style.COLOURS[2], "linestyle": ":", "linewidth": 1.2, "zorder": 1},
}
REPORTED = {"color": _style.COLOURS[3], "linewidth": 4, "solid_capstyle": "butt"}
PROCEDURES = {"reuse": "reuse $p^*$ as it is", "refine": "refine among its near-best"}
#: Blue is good in all figures, and here a positive value is a loss.
REGRET_MAP = f"{_style.DIFFERENCE_MAP}_r"
#: Up to so many capacities the two matrices fit beside each other.
BESIDE = 6
LEGEND_COLUMNS = 3


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.consistency``'s summary: per task set p* by capacity, below it the matrices of regrets."""
    grid = _style.Grid.of(summary[summary["part"] == "optimum"])
    places = summary[summary["part"] != "reported"]
    reported = summary[summary["part"] == "reported"]
    found = list(_style.blocks(places))
    compared = places.loc[places["present"].astype(bool), "architecture"].nunique() > 1
    count = len(list(grid))
    matrix = 0.45 + (2.0 if count <= BESIDE else 0.32 * count)
    matrices = (matrix if count <= BESIDE else 2 * matrix) if compared else 0
    strips = [_style.weight_members(facts, task_set) for task_set, _, _ in found]
    heights = [1.5 * len(strip) + 0.2 + matrices for strip in strips]
    legend = _legend(summary)
    bottom_height = _style.legend_height(len(legend), LEGEND_COLUMNS, bar=compared)
    figure = _style.new_figure(sum(heights) + bottom_height)
    *parents, bottom = figure.subfigures(len(found) + 1, 1, height_ratios=[*heights, bottom_height])
    regrets = summary.loc[summary["part"] == "regret", "mean"].to_numpy()
    norm = _style.difference_norm(regrets)
    for parent, strip, (_, label, rows) in zip(parents, strips, found, strict=True):
        optima = rows[rows["part"] == "optimum"]
        if len(found) > 1:
            parent.suptitle(label, fontsize="medium", fontweight="bold")
        halves = parent.subfigures(2, 1, height_ratios=[1.5 * len(strip) + 0.2, matrices]) if compared else [parent]
        for ax, task in zip(halves[0].subplots(len(strip), 1, squeeze=False)[:, 0], strip, strict=True):
            _draw_strip(ax, grid, optima[optima["task"] == task], task, reported[reported["task"] == task])
        if compared:
            _draw_matrices(halves[1], grid, rows[rows["part"] == "regret"], optima, norm)
    if compared:
        unit = _style.UNITS[_style.metric_of(summary)][1]
        label = f"loss of test average against own $p^*$ [{unit}]"
        _style.colour_bar(_style.bar_axes(bottom, 1)[0], norm, REGRET_MAP, label)
    bottom.legend(handles=legend, loc="outside lower center", ncols=LEGEND_COLUMNS, columnspacing=1.2)
    return figure


def _draw_strip(ax: Axes, grid: _style.Grid, optima: pd.DataFrame, task: str, reported: pd.DataFrame) -> None:
    """Draw p of one member at every capacity, depths in groups."""
    positions = {place: place[1] + place[0] * (len(grid.widths) + 0.6) for place in grid}
    for place, x in positions.items():
        here = grid.at(optima, *place)
        if not here["present"].all():
            ax.axvspan(x - 0.5, x + 0.5, **_style.ABSENT)
            continue
        within = here[here["within_error"].astype(bool)].sort_values("weight")
        if len(within) > 1:
            ax.plot([x] * len(within), within["weight"], **WITHIN)
        ax.plot(x, here[here["optimum"].astype(bool)]["weight"].item(), **OPTIMUM)
        chosen = here.loc[here.index.repeat(here["seeds_choosing"].astype(int)), "weight"]
        if len(chosen) > 1:
            nth = chosen.groupby(chosen).cumcount()
            ax.plot(x + 0.2 + 0.12 * nth, chosen, **SEED)
    for heuristic, look in HEURISTICS.items():
        for weight in optima.loc[optima["heuristic"] == heuristic, "weight"].unique():
            ax.axhline(weight, **look)
    last = max(positions.values())
    for number, row in enumerate(reported.itertuples()):
        x = last + 1.4 + 0.8 * number
        ax.plot([x, x], [row.low, row.high], **REPORTED)
        label = ax.text(x, row.high + 0.04, row.where, rotation=90, ha="center", va="bottom", fontsize=6)
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    ax.set(xlim=(-0.8, last + 1.0 + 0.8 * len(reported)), ylim=(0, 1), ylabel=f"$p$({task})")
    ax.set_xticks(list(positions.values()), [f"w{grid.widths[column]}" for _, column in positions])
    ax.xaxis.remove_overlapping_locs = False
    middle = (len(grid.widths) - 1) / 2
    ax.set_xticks(
        [positions[row, 0] + middle for row in range(len(grid.rows))],
        [f"{grid.row_axis} {grid.row_name(row)}" for row in range(len(grid.rows))],
        minor=True,
    )
    ax.tick_params(axis="x", which="minor", length=0, pad=13)


def _draw_matrices(
    parent: SubFigure, grid: _style.Grid, regrets: pd.DataFrame, optima: pd.DataFrame, norm: Normalize
) -> None:
    names = [f"{_short(grid.row_axis)}{grid.row_name(row)} w{grid.widths[column]}" for row, column in grid]
    architectures = [grid.at(optima, *place)["architecture"].iloc[0] for place in grid]
    settings = len(optima.drop_duplicates(["method", "member"]).dropna(subset=["method"]))
    beside = len(names) <= BESIDE
    axes = parent.subplots(1, 2) if beside else parent.subplots(2, 1)
    places = _style.decimals(_style.metric_of(regrets), regrets["mean"].to_numpy())
    for ax, (procedure, title) in zip(axes, PROCEDURES.items(), strict=True):
        rows = regrets[regrets["procedure"] == procedure]
        mean, std = (
            rows.pivot(index="source", columns="architecture", values=name)
            .reindex(architectures, columns=architectures)
            .to_numpy()
            for name in ("mean", "std")
        )
        if len(names) > 4:
            std = np.full_like(std, np.nan)  # no room
        words = _matrix_words(mean, std, places)
        _style.heatmap(ax, mean, words, norm, REGRET_MAP, 6.5 if len(names) <= 4 else 5.5)
        labels, shares = names, None
        if procedure == "refine":
            left = rows.groupby("source")["candidates_left"].first().reindex(architectures)
            shares = ["" if pd.isna(n) else f"{int(n)} of {settings}" for n in left]
            labels = shares if beside else [f"{n} ({s})" if s else n for n, s in zip(names, shares, strict=True)]
        _style.label_cells(ax, labels, names, rotation=90 if len(names) > 4 else 0)
        ax.set(
            title=title, xlabel="capacity trained", ylabel="settings left" if labels is shares else "capacity searched"
        )


def _matrix_words(mean: np.ndarray, std: np.ndarray, places: int) -> np.ndarray:
    return _style.words(mean, lambda place: _style.with_spread(mean[place], std[place], places))


def _short(axis: str) -> str:
    return {"depth": "d", "shared layers": "shr"}[axis]


def _legend(summary: pd.DataFrame) -> list[Artist]:
    handles: list[Artist] = [Line2D([], [], label="$p^*$, chosen on validation", **OPTIMUM)]
    if summary["seeds"].max() > 1:
        handles.append(Line2D([], [], label="choice of one seed", **SEED))
        handles.append(Line2D([], [], label="within one standard error", **WITHIN))
    there = set(summary["heuristic"].dropna())
    handles += [Line2D([], [], label=name, **look) for name, look in HEURISTICS.items() if name in there]
    if (summary["part"] == "reported").any():
        handles.append(Line2D([], [], label="reported in the paper", **REPORTED))
    if not summary["present"].dropna().all():
        handles.append(_style.not_run_patch())
    return handles
