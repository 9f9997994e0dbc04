"""Sweep of the recipe (appendix 1.1): validation metric of the reference domain over learning rate and epochs."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from scalarization.plotting import divergence, heatmaps, labels, style
from scalarization.plotting.style import Look

COLOUR_MAP = "cividis"
FRAME: Look = {"color": style.COLOURS[1], "linewidth": 1.6}
#: Column of the summary -> line style of its frame, its distance from the edges of the cell, its name.
FRAMES: dict[str, tuple[Literal["-", "--"], float, str]] = {
    "recipe": ("--", 0.1, "recipe of the preset"),
    "chosen": ("-", 0.03, "best on validation"),
}


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.sweep``: one heat map, rows are learning rates, columns are epochs."""
    rates, epochs = sorted(summary["lr"].unique()), sorted(int(e) for e in summary["epochs"].unique())
    metric = labels.metric_of(summary)
    mean, std, diverged, seeds = (
        _matrix(summary, name, rates, epochs) for name in ("mean", "std", "diverged", "seeds")
    )
    decimals = 1 if metric == "accuracy" else 3
    known = mean[~np.isnan(mean)]
    norm = Normalize(known.min(), known.max()) if len(known) else Normalize(0, 1)
    heights = [0.9 + 0.36 * len(rates), 0.85]
    figure = style.new_figure(sum(heights))
    top, bottom = style.stack(figure, heights)
    ax = top.subplots()
    texts = heatmaps.cell_texts(mean, lambda cell: labels.format_mean(mean[cell], std[cell], decimals))
    diverged_texts = divergence.cells(mean, diverged, seeds)
    heatmaps.draw_heatmap(ax, mean, texts, norm, COLOUR_MAP, 7, diverged_texts)
    heatmaps.label_cells(ax, [f"{rate:g}" for rate in rates], [str(count) for count in epochs])
    ax.set(xlabel="epochs", ylabel="learning rate")
    first = summary.iloc[0]
    ax.set_title(f"{first['task_set']}, {first['architecture']}: {_best(summary)}")
    _draw_frames(ax, summary, rates, epochs)
    (bar,) = style.colour_bar_axes(bottom, 1)
    style.colour_bar(bar, norm, COLOUR_MAP, f"validation {metric} [{labels.UNITS[metric]}], last epoch")
    not_run = np.isnan(mean) & (diverged_texts == "")
    _draw_legend(bottom, complete=not not_run.any())
    return figure


def _best(summary: pd.DataFrame) -> str:
    chosen = summary[summary["chosen"].fillna(False).astype(bool)]
    if chosen.empty:
        return "every setting diverged"
    best = chosen.iloc[0]
    if bool(best["recipe"]):
        return "the recipe is the best setting"
    return f"best at lr {best['lr']:g}, {int(best['epochs'])} epochs; the recipe differs"


def _draw_frames(ax: Axes, summary: pd.DataFrame, rates: list[float], epochs: list[int]) -> None:
    for column, (line_style, inset, _) in FRAMES.items():
        for _, row in summary[summary[column].fillna(False).astype(bool)].iterrows():
            corner = epochs.index(int(row["epochs"])) + inset / 2, rates.index(row["lr"]) + inset
            ax.add_patch(Rectangle(corner, 1 - inset, 1 - 2 * inset, fill=False, linestyle=line_style, **FRAME))


def _draw_legend(parent: SubFigure, complete: bool) -> None:
    frames = [Line2D([], [], linestyle=line_style, label=name, **FRAME) for line_style, _, name in FRAMES.values()]
    handles = [*reversed(frames), *([] if complete else [style.not_run_entry()])]
    parent.legend(handles=handles, loc="outside lower center", ncols=3)


def _matrix(summary: pd.DataFrame, name: str, rates: list[float], epochs: list[int]) -> np.ndarray:
    values = np.full((len(rates), len(epochs)), np.nan)
    for _, row in summary.iterrows():
        values[rates.index(row["lr"]), epochs.index(int(row["epochs"]))] = row[name]
    return values
