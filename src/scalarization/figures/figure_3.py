"""Gradient conflicts against the validation metric, one point per run and epoch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalarization.figures import _conflicts, _style

PANEL_HEIGHT = 2.5
COLUMNS = 2
#: Opacity of the first and of the last epoch.
FAINTEST, FULL = 0.25, 0.95


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_3``'s summary: a panel per benchmark and task set."""
    panels = [rows for _, rows in summary.groupby(["benchmark", "task_set"], sort=False)]
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    legends = [_legend(part, narrow=columns > 1) for part in panels]
    figure = _style.new_figure((PANEL_HEIGHT + max(_conflicts.height(*legend) for legend in legends)) * rows)
    parents = np.ravel(figure.subfigures(rows, columns, squeeze=False))
    for parent, part, legend in zip(parents, panels, legends, strict=False):
        _draw_panel(parent.subplots(), part)
        _conflicts.legend(parent, "outside lower center", *legend)
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame) -> None:
    if not rows["present"].any():
        ax.set_title(_conflicts.title(rows))
        _style.not_run(ax)
        return
    points = rows.dropna(subset=["percent", "validation"])
    by_rate = rows["lr"].nunique() > 1
    colours = _conflicts.colours(rows["lr"] if by_rate else rows["width"])
    depths = sorted(rows["depth"].unique())
    sizes = {width: 8.0 + 7.0 * n for n, width in enumerate(sorted(rows["width"].unique()))}
    last = points["epoch"].max()
    for (depth, width, lr), part in points.groupby(["depth", "width", "lr"]):
        ax.scatter(
            part["validation"],
            part["percent"],
            s=sizes[width] if by_rate else 14.0,
            marker=_conflicts.MARKERS[depths.index(depth) % len(_conflicts.MARKERS)],
            color=colours[lr if by_rate else width],
            alpha=FAINTEST + (FULL - FAINTEST) * part["epoch"].to_numpy(dtype=float) / last,
            linewidths=0,
        )
    fit = rows.iloc[0]
    if np.isfinite(fit["slope"]):
        ends = np.array([points["validation"].min(), points["validation"].max()])
        ax.plot(ends, fit["intercept"] + fit["slope"] * ends, color="black", linewidth=1.0)
    ax.set_title(f"{_conflicts.title(rows)}\n{_correlation(fit)}")
    metric = points["metric"].iloc[0]
    ax.set(xlabel=f"validation {metric} [{_style.UNITS[metric][0]}]", ylabel=_conflicts.CONFLICTS_LABEL)


def _correlation(fit: pd.Series) -> str:
    if not np.isfinite(fit["r"]):
        return "nothing varies: no correlation"
    r, low, high = (_style.number(fit[name], 2) for name in ("r", "r_low", "r_high"))
    if not np.isfinite(fit["r_low"]):
        return f"$r$ = {r} ({fit['runs']} runs)"
    return f"$r$ = {r} (95 %: {low} to {high}, {fit['runs']} runs)"


def _legend(rows: pd.DataFrame, narrow: bool) -> list[list[Line2D]]:
    """Columns: what colours mean, sizes, shapes, the line; of a panel that was left out what that is.

    ``narrow``: two columns, for a panel that is not as wide as the page.
    """
    if not rows["present"].any():
        return [_conflicts.not_run(rows)]
    look = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0}
    by_rate = rows["lr"].nunique() > 1
    colours = _conflicts.colours(rows["lr"] if by_rate else rows["width"])
    name = "lr {:g}" if by_rate else "width {}"
    coloured = [Line2D([], [], marker="o", color=c, label=name.format(v), **look) for v, c in colours.items()]
    sized = [
        Line2D([], [], **look | {"markersize": 2.8 + n}, marker="o", color="0.4", label=f"width {width}")
        for n, width in enumerate(sorted(rows["width"].unique()) if by_rate else [])
    ]
    shaped = [
        Line2D([], [], **look, marker=marker, color="0.4", label=f"depth {depth}")
        for depth, marker in zip(sorted(rows["depth"].unique()), itertools.cycle(_conflicts.MARKERS), strict=False)
    ]
    line = Line2D([], [], color="black", linewidth=1.0, label="linear fit")
    last = [line, *_conflicts.not_run(rows)]
    return [coloured + sized, shaped + last] if narrow else [coloured, sized, shaped, last]
