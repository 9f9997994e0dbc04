"""Figure A: one corner per domain, one closed line per class: how many samples it has in each domain."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from scalarization.figures import _style

#: With more classes than this, every so-manieth is drawn (paper: every 15th of 345), that is 23.
MOST = 24
#: Largest over smallest share that a linear scale still shows well.
LINEAR = 30
HEIGHT = 3.7


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_a``'s summary."""
    domains = list(summary["domain"].unique())
    classes = summary.drop_duplicates("label")[["label", "class"]].sort_values("label")
    every = math.ceil(len(classes) / MOST)
    shown = classes.iloc[::every]
    counts = summary.pivot(index="label", columns="domain", values="samples")[domains]
    uniform = float(summary["uniform"].iloc[0])
    figure = _style.new_figure(HEIGHT)
    left, right = figure.subfigures(1, 2, width_ratios=[2.2, 1])
    # Not laid out: the names of the corners must keep their room, wherever corners are.
    axes = left.add_axes((0.15, 0.1, 0.7, 0.8), projection="polar")
    angles = np.append(corners := np.linspace(0, 2 * np.pi, len(domains), endpoint=False), 2 * np.pi)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    colours = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, len(shown)))
    drawn = counts.loc[shown["label"]].to_numpy(dtype=float)
    for (_, row), values, colour in zip(shown.iterrows(), drawn, colours, strict=True):
        axes.plot(angles, _closed(values), color=colour, linewidth=0.9, label=str(row["class"]).replace("_", " "))
    even = np.full(len(angles), uniform)
    axes.plot(angles, even, color="black", linewidth=1.4, linestyle="--", label="uniform")
    _scale(axes, drawn, uniform)
    axes.set_xticks(corners, [f"{d}\n({counts[d].sum():,})" for d in domains])
    axes.tick_params(axis="x", pad=10)
    axes.xaxis.grid(color="0.8", linewidth=0.5)
    axes.yaxis.grid(visible=False)
    axes.spines["polar"].set_visible(False)
    title = "training samples of\n" + (f"every {every}th class" if every > 1 else "each class")
    handles, _ = axes.get_legend_handles_labels()
    right.legend(
        handles=handles,
        loc="center left",
        title=title,
        title_fontsize=7,
        alignment="left",
        handlelength=1.2,
        fontsize=6,
    )
    return figure


def _scale(axes: PolarAxes, drawn: np.ndarray, uniform: float) -> None:
    """Rings: straight lines from corner to corner, as the classes' own; logarithmic for very unequal numbers."""
    largest = max(drawn.max(), uniform)
    positive = drawn[drawn > 0]
    if largest / min(positive.min(), uniform) > LINEAR:
        axes.set_rscale("symlog", linthresh=10)
        ticks = [10**power for power in range(1, math.ceil(math.log10(largest)) + 1)]
    else:
        ticks = [t for t in mpl.ticker.MaxNLocator(4, integer=True).tick_values(0, largest) if t > 0]
    corners = np.append(axes.lines[0].get_xdata()[:-1], 2 * np.pi)
    top = max(largest, ticks[-1] if ticks[-1] < 1.3 * largest else largest)
    for tick in ticks:
        if tick <= top:
            axes.plot(corners, np.full(len(corners), tick), color="0.85", linewidth=0.5, zorder=0)
    axes.set_rlim(0, 1.02 * top)
    axes.set_rticks([t for t in ticks if t <= top])
    axes.set_rlabel_position(0)  # at a corner, where the rings are as far out as they say
    axes.set_axisbelow(False)
    axes.tick_params(axis="y", labelsize=6)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5})


def _closed(values: np.ndarray) -> np.ndarray:
    return np.append(values, values[0])
