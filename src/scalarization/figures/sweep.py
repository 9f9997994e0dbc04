"""Sweep: validation value of the reference domain over learning rate and epochs, the choice and the recipe marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from scalarization.figures import _style

COLOURS = "cividis"


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.sweep``'s summary: one heat map, learning rates downwards, epochs to the right."""
    rates, epochs = sorted(summary["lr"].unique()), sorted(int(e) for e in summary["epochs"].unique())
    metric = _style.metric_of(summary)
    mean, std = (_matrix(summary, name, rates, epochs) for name in ("mean", "std"))
    places = 1 if metric == "accuracy" else 3
    norm = Normalize(np.nanmin(mean), np.nanmax(mean))
    figure = _style.new_figure(0.9 + 0.36 * len(rates) + 0.85)
    top, bottom = figure.subfigures(2, 1, height_ratios=[0.9 + 0.36 * len(rates), 0.85])
    ax = top.subplots()
    words = _style.words(mean, lambda place: _style.with_spread(mean[place], std[place], places))
    _style.heatmap(ax, mean, words, norm, COLOURS, 7)
    _style.label_cells(ax, [f"{rate:g}" for rate in rates], [str(e) for e in epochs])
    ax.set(xlabel="epochs", ylabel="learning rate")
    first = summary.iloc[0]
    ax.set_title(f"{first['task_set']}, {first['architecture']}: {_agreement(summary)}")
    for column, inset, look in (("recipe", 0.1, {"linestyle": "--"}), ("chosen", 0.03, {"linestyle": "-"})):
        for _, row in summary[summary[column].fillna(False).astype(bool)].iterrows():
            corner = epochs.index(int(row["epochs"])) + inset / 2, rates.index(row["lr"]) + inset
            box = Rectangle(corner, 1 - inset, 1 - 2 * inset, fill=False, edgecolor="#D55E00", linewidth=1.6, **look)
            ax.add_patch(box)
    (bar,) = _style.bar_axes(bottom, 1)
    unit = _style.UNITS[metric][0]
    _style.colour_bar(bar, norm, COLOURS, f"validation {metric} [{unit}], last epoch")
    marks = [
        Line2D([], [], color="#D55E00", linewidth=1.6, linestyle="-", label="best on validation"),
        Line2D([], [], color="#D55E00", linewidth=1.6, linestyle="--", label="recipe of the preset"),
    ]
    absent = [] if summary["present"].all() and not np.isnan(mean).any() else [_style.not_run_patch()]
    bottom.legend(handles=[*marks, *absent], loc="outside lower center", ncols=3)
    return figure


def _agreement(summary: pd.DataFrame) -> str:
    chosen = summary[summary["chosen"].fillna(False).astype(bool)].iloc[0]
    if bool(chosen["recipe"]):
        return "the recipe's values are the best"
    return f"best at {chosen['lr']:g} and {int(chosen['epochs'])} epochs, not the recipe's values"


def _matrix(summary: pd.DataFrame, name: str, rates: list[float], epochs: list[int]) -> np.ndarray:
    values = np.full((len(rates), len(epochs)), np.nan)
    for _, row in summary.iterrows():
        values[rates.index(row["lr"]), epochs.index(int(row["epochs"]))] = row[name]
    return values
