"""Heat maps with a text in each cell; cells that were not run are hatched, those of diverged runs say so."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from scalarization.plotting import style
from scalarization.plotting.style import Look

#: Luminance of a background on which black and white text have the same contrast.
EQUAL_CONTRAST = 0.18
#: Frame of a cell whose runs diverged.
DIVERGED_CELL: Look = {"facecolor": "white", "edgecolor": "0.6", "linewidth": 0.6, "clip_on": True}
#: Largest size of the text in it, points: the word is longer than a number.
MOST_DIVERGED_SIZE = 5.5


def cell_texts(values: np.ndarray, text_of: Callable[[tuple[int, int]], str]) -> np.ndarray:
    """Texts of a heat map's cells.

    Args:
        values: [rows, columns].
        text_of: (row, column) -> text; not called where the value is NaN.

    Returns:
        [rows, columns], empty texts where the value is NaN.
    """
    texts = np.full(values.shape, "", dtype=object)
    for row, column in np.argwhere(~np.isnan(values)):
        texts[row, column] = text_of((int(row), int(column)))
    return texts


def draw_heatmap(
    axes: Axes,
    values: np.ndarray,
    texts: np.ndarray,
    norm: Normalize,
    colour_map: str,
    font_size: float,
    diverged: np.ndarray,
) -> None:
    """Draw a matrix with a text in each cell; cells that are NaN are hatched, unless their runs diverged.

    Args:
        axes: Where to draw.
        values: [rows, columns].
        texts: [rows, columns].
        norm: Colour scale.
        colour_map: Name of the colour map.
        font_size: Of the texts, points.
        diverged: [rows, columns], texts of cells that are NaN because runs diverged; empty elsewhere.
    """
    import seaborn  # importing it takes longer than most drawings, so only heat maps do

    missing = np.isnan(values)
    labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}  # seaborn would remove them
    seaborn.heatmap(
        np.where(missing, 0.0, values),
        mask=missing,
        annot=texts,
        fmt="",
        annot_kws={"size": font_size, "linespacing": 1.1},
        vmin=norm.vmin,
        vmax=norm.vmax,
        cmap=colour_map,
        cbar=False,
        linewidths=0.5,
        linecolor="white",
        xticklabels=False,
        yticklabels=False,
        ax=axes,
    )
    axes.set(**labels)
    for text in axes.texts:
        column, row = (int(c) for c in text.get_position())
        luminance = seaborn.utils.relative_luminance(mpl.colormaps[colour_map](norm(values[row, column])))
        text.set_color("black" if luminance > EQUAL_CONTRAST else "white")
    for row, column in np.argwhere(missing & (diverged == "")):
        axes.add_patch(Rectangle((column, row), 1, 1, **style.HATCHED))
    for row, column in np.argwhere(diverged != ""):
        axes.add_patch(Rectangle((column, row), 1, 1, **DIVERGED_CELL))
        size = min(font_size, MOST_DIVERGED_SIZE)
        axes.text(column + 0.5, row + 0.5, diverged[row, column], ha="center", va="center", fontsize=size)


def label_cells(axes: Axes, rows: list[str] | None, columns: list[str] | None, rotation: float = 0) -> None:
    """Set tick labels at the cells of a heat map.

    Args:
        axes: Axes of the heat map.
        rows: Labels of the rows; None: no labels.
        columns: Labels of the columns; None: no labels.
        rotation: Of the labels of the columns, degrees.
    """
    if rows is not None:
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows, rotation=0)
    if columns is not None:
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=rotation)
    axes.tick_params(length=0)
