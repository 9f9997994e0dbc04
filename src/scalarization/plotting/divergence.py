"""How figures show runs that diverged: a cross where a value would be, or the word in a cell or panel.

A run that diverged has no value, so there is nothing to draw. It is marked nevertheless: a reader must be able to tell
it from one that was not run, and to see how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D

from scalarization.plotting.labels import DIVERGED, diverged_count, settings_note
from scalarization.plotting.style import Look

CROSS: Look = {"marker": "x", "markersize": 4.5, "markeredgewidth": 1.2, "linestyle": "none", "zorder": 6}
#: Colour of the cross in legends, and of crosses that have no colour of their own.
COLOUR = "0.2"
#: Distance of crosses from the edges of a panel, and between them, as fractions of its size.
MARGIN, DISTANCE = 0.05, 0.07


def cells(values: np.ndarray, diverged: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Texts of the cells of a heat map that have no value because runs diverged.

    Args:
        values: What the heat map shows [rows, columns]; NaN without a value.
        diverged: Number of runs that diverged [rows, columns].
        seeds: Number of runs [rows, columns].

    Returns:
        ``diverged`` and the numbers [rows, columns]; empty texts where there is a value or nothing was run.
    """
    texts = np.full(values.shape, "", dtype=object)
    for row, column in np.argwhere(np.isnan(values) & (np.nan_to_num(diverged) > 0)):
        count = diverged_count(int(diverged[row, column]), int(seeds[row, column]))
        texts[row, column] = f"{DIVERGED}\n{count}".rstrip()
    return texts


def legend_entries(is_needed: Any) -> list[Line2D]:
    """The legend's entry of the cross; none if nothing diverged.

    Args:
        is_needed: Whether anything diverged, as one truth value or an array of them.
    """
    return [Line2D([], [], color=COLOUR, label=DIVERGED, **CROSS)] if np.any(is_needed) else []


def settings_entries(summary: pd.DataFrame) -> list[Line2D]:
    """A line of a legend on weight settings that cannot be p* because they diverged; none without any."""
    note = settings_note(summary, "$p^*$")
    return [Line2D([], [], linestyle="none", label=note)] if note else []


def has_diverged(rows: pd.DataFrame) -> bool:
    """Whether a summary has a run that diverged, by its column ``diverged``: a number of runs or a truth value."""
    return bool((rows["diverged"].fillna(0).astype(int) > 0).any())


def mark_at_bottom(axes: Axes, positions: Iterable[float], colour: Any = COLOUR, line: int = 0) -> None:
    """Draw crosses above the lower edge of a panel.

    Args:
        axes: The panel.
        positions: Where on the horizontal axis, in its unit.
        colour: Of the crosses.
        line: Number of the line of crosses, counted from the edge.
    """
    height = MARGIN + line * DISTANCE
    for position in positions:
        axes.plot(position, height, color=colour, transform=axes.get_xaxis_transform(), **CROSS)


def mark_at(axes: Axes, x: Iterable[float], y: Iterable[float], colour: Any = COLOUR) -> None:
    """Draw crosses at places of a panel, in the units of its axes."""
    for place in zip(x, y, strict=True):
        axes.plot(*place, color=colour, **CROSS)


def mark_in_corner(axes: Axes, colours: Sequence[Any]) -> None:
    """Draw one cross per point without a place, side by side in the lower left corner of a panel.

    Args:
        axes: The panel.
        colours: Colour of each.
    """
    per_line = int((1 - MARGIN) / DISTANCE)
    for number, colour in enumerate(colours):
        line, place = divmod(number, per_line)
        x, y = MARGIN + place * DISTANCE, MARGIN + line * DISTANCE
        axes.plot(x, y, color=colour, transform=axes.transAxes, **CROSS)


def mark_panel(axes: Axes, text: str = DIVERGED) -> None:
    """Write ``diverged``, or another text, into the middle of a panel that has no values, and so no ticks."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
    axes.set_xticks([])
    axes.tick_params(left=False)


def hide_ticks_without_values(axis: Axis, values: pd.Series) -> None:
    """Remove the ticks of an axis on which all runs diverged: matplotlib would number it from its own invention."""
    if values.isna().all():
        axis.set_ticks([])
