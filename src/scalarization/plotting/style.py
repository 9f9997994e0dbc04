"""The common look of all figures: sizes for print, colours that colour-blind readers can tell apart, and files."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from scalarization import storage
from scalarization.plotting.labels import NOT_RUN

#: Keyword arguments of matplotlib that set the look of a line, a marker or an area.
Look = dict[str, Any]
#: Width of the paper's text, inches.
TEXT_WIDTH = 5.5
DPI = 200
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.labelsize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "pdf.fonttype": 42,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}
#: Colour map of weights p, which are between 0 and 1.
WEIGHT_MAP = "viridis"
#: Colour map of differences. Blue is good.
DIFFERENCE_MAP = "RdBu"
#: Okabe and Ito's colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
#: Lines at the value of an SD baseline.
BASELINE_LINE: Look = {"color": "black", "linewidth": 0.6, "linestyle": "--", "zorder": 0}
#: Hatching of what was not run.
HATCHED: Look = {"facecolor": "0.93", "edgecolor": "0.6", "hatch": "////", "linewidth": 0.0}

Draw = Callable[[pd.DataFrame, dict[str, Any]], Figure]


def common_style(draw: Draw) -> Draw:
    """Run a drawing under the common style, whatever settings of matplotlib the process has changed."""

    @functools.wraps(draw)
    def draw_in_style(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
        with mpl.style.context(["default", STYLE]):
            return draw(summary, metadata)

    return draw_in_style


def new_figure(height: float) -> Figure:
    """An empty figure as wide as the text, with a layout in which nothing overlaps.

    Args:
        height: Inches.
    """
    return Figure(figsize=(TEXT_WIDTH, height), layout="constrained")


def stack(parent: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Split a figure into parts from top to bottom, whose heights have the given ratios."""
    return list(parent.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])


def save(figure: Figure, pdf: Path, png: Path) -> None:
    """Write a figure as PDF and as PNG with 200 dpi.

    The PDF embeds its fonts and has no date, so that equal figures give equal bytes.

    Raises:
        DataError: The file system refuses (full, read-only, over quota).
    """
    with mpl.rc_context(STYLE):
        # Into memory first: on a full disk Matplotlib fails in ways of its own.
        storage.write_bytes(pdf, _drawn(figure, format="pdf", metadata={"CreationDate": None}))
        storage.write_bytes(png, _drawn(figure, format="png", dpi=DPI))


def _drawn(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def weight_norm() -> Normalize:
    """Colour scale of weights, the same in every figure."""
    return Normalize(0, 1)


def weight_colour(weight: float) -> tuple[float, float, float, float]:
    """Colour of a weight, the same in every figure."""
    return mpl.colormaps[WEIGHT_MAP](weight_norm()(weight))


def difference_norm(values: np.ndarray) -> Normalize:
    """Colour scale centred at zero that reaches as far as the largest value."""
    largest = np.nanmax(np.abs(values), initial=0.0)
    return Normalize(-largest, largest) if largest > 0 else Normalize(-1, 1)


def colour_bar(axes: Axes, norm: Normalize, colour_map: str, label: str) -> None:
    """Fill axes with a horizontal colour bar."""
    scale = ScalarMappable(norm, colour_map)
    axes.figure.colorbar(scale, cax=axes, orientation="horizontal", label=label, ticks=MaxNLocator(5))


def colour_bar_axes(parent: SubFigure, count: int) -> list[Axes]:
    """Flat axes side by side, for horizontal colour bars."""
    ratios = [1, 3, 1] if count == 1 else [1] * count
    grid = parent.add_gridspec(1, len(ratios), width_ratios=ratios)
    bars = [parent.add_subplot(grid[0, column]) for column in ([1] if count == 1 else range(count))]
    for ax in bars:
        ax.set_box_aspect(0.035)
    return bars


def legend_height(entries: int, columns: int, bar: bool = True) -> float:
    """Height of a legend, in inches.

    Args:
        entries: Number of its entries.
        columns: Number of its columns.
        bar: Whether a colour bar is above it.
    """
    return 0.15 * math.ceil(entries / columns) + 0.1 + (0.52 if bar else 0)


def mark_not_run(axes: Axes) -> None:
    """Hatch the panel of a capacity that was not run. Ticks that it shares with other panels stay."""
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, **HATCHED))
    write_not_run(axes)
    if len(axes.get_shared_x_axes().get_siblings(axes)) == 1:
        axes.set(xticks=[], yticks=[])


def write_not_run(axes: Axes) -> None:
    """Write ``not run`` into the middle of a hatched panel."""
    axes.text(0.5, 0.5, NOT_RUN, transform=axes.transAxes, ha="center", va="center", backgroundcolor="0.93")


def not_run_entry() -> Patch:
    """Legend entry of hatched cells."""
    return Patch(**HATCHED, label=NOT_RUN)


def error_bars(std: pd.Series) -> np.ndarray | None:
    """Lengths of error bars from standard deviations over seeds; None if there is only one seed."""
    return None if std.isna().all() else std.fillna(0.0).to_numpy()
