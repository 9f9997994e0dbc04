"""Appendix figure A: number of samples per class and domain, one corner per domain, one closed line per class."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from scalarization.plotting import style

#: If there are more classes, only every n-th one is drawn (the paper draws every 15th of 345, that is 23).
MOST_CLASSES = 24
#: If the largest number of samples is more than this many times the smallest, the scale is logarithmic.
LARGEST_LINEAR_RATIO = 30
HEIGHT = 3.7


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_a``."""
    domains = list(summary["domain"].unique())
    classes = summary.drop_duplicates("label")[["label", "class"]].sort_values("label")
    step = math.ceil(len(classes) / MOST_CLASSES)
    classes = classes.iloc[::step]
    counts = summary.pivot(index="label", columns="domain", values="samples")[domains]
    uniform = float(summary["uniform"].iloc[0])
    figure = style.new_figure(HEIGHT)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[2.2, 1])[0]
    # A fixed position: a layout computed by matplotlib leaves too little room for the names at the corners.
    axes = left.add_axes((0.15, 0.1, 0.7, 0.8), projection="polar")
    corners = np.linspace(0, 2 * np.pi, len(domains), endpoint=False)
    _draw_lines(axes, corners, classes["class"], counts.loc[classes["label"]].to_numpy(dtype=float), uniform)
    axes.set_xticks(corners, [f"{domain}\n({counts[domain].sum():,})" for domain in domains])
    axes.tick_params(axis="x", pad=10)
    axes.xaxis.grid(color="0.8", linewidth=0.5)
    axes.yaxis.grid(visible=False)
    axes.spines["polar"].set_visible(False)
    handles, _ = axes.get_legend_handles_labels()
    right.legend(
        handles=handles,
        loc="center left",
        title="training samples of\n" + (f"every {step}th class" if step > 1 else "each class"),
        title_fontsize=7,
        alignment="left",
        handlelength=1.2,
        fontsize=6,
    )
    return figure


def _draw_lines(axes: PolarAxes, corners: np.ndarray, classes: pd.Series, counts: np.ndarray, uniform: float) -> None:
    """Draw one closed line per class with its samples per domain [classes, domains], and the uniform line."""
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    angles = np.append(corners, 2 * np.pi)
    colours = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, len(classes)))
    for name, samples, colour in zip(classes, counts, colours, strict=True):
        closed = np.append(samples, samples[0])
        axes.plot(angles, closed, color=colour, linewidth=0.9, label=str(name).replace("_", " "))
    closed = np.full(len(angles), uniform)
    axes.plot(angles, closed, color="black", linewidth=1.4, linestyle="--", label="uniform")
    _draw_rings(axes, angles, counts, uniform)


def _draw_rings(axes: PolarAxes, angles: np.ndarray, counts: np.ndarray, uniform: float) -> None:
    """Draw lines of equal numbers of samples, straight from corner to corner like the lines of the classes."""
    largest = max(counts.max(), uniform)
    if largest / min(counts[counts > 0].min(), uniform) > LARGEST_LINEAR_RATIO:
        axes.set_rscale("symlog", linthresh=10)
        ticks = [10**power for power in range(1, math.ceil(math.log10(largest)) + 1)]
    else:
        ticks = [t for t in mpl.ticker.MaxNLocator(4, integer=True).tick_values(0, largest) if t > 0]
    top = max(largest, ticks[-1] if ticks[-1] < 1.3 * largest else largest)
    ticks = [tick for tick in ticks if tick <= top]
    for tick in ticks:
        axes.plot(angles, np.full(len(angles), tick), color="0.85", linewidth=0.5, zorder=0)
    axes.set_rlim(0, 1.02 * top)
    axes.set_rticks(ticks)
    # Between corners the rings are nearer to the centre than their numbers say, so the numbers are at a corner.
    axes.set_rlabel_position(0)
    axes.set_axisbelow(False)
    axes.tick_params(axis="y", labelsize=6)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5})
