"""Main-text figure 3: gradient conflicts against the validation metric, one point per run and epoch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalarization.plotting import conflicts, divergence, labels, style

PANEL_HEIGHT = 2.5
COLUMNS = 2
#: Opacity that a point of epoch 0 would have, and opacity of the last epoch.
FIRST_OPACITY, LAST_OPACITY = 0.25, 0.95


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_3``: one panel per benchmark and task set."""
    panels = [rows for _, rows in summary.groupby(["benchmark", "task_set"], sort=False)]
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    legends = [_legend(rows, narrow=columns > 1) for rows in panels]
    height = PANEL_HEIGHT + max(conflicts.legend_height(*legend) for legend in legends)
    figure = style.new_figure(height * lines)
    parents = np.ravel(figure.subfigures(lines, columns, squeeze=False))
    for parent, rows, legend in zip(parents, panels, legends, strict=False):
        _draw_panel(parent.subplots(), rows)
        conflicts.legend(parent, "outside lower center", *legend)
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame) -> None:
    if not rows["present"].any():
        ax.set_title(conflicts.title(rows))
        style.mark_not_run(ax)
        return
    rows = rows.assign(run=rows.groupby(["architecture", "variant", "seed"], dropna=False).ngroup())
    points = rows.dropna(subset=["percent", "validation"])
    by_rate = rows["lr"].nunique() > 1
    colours = conflicts.colours(rows["lr"] if by_rate else rows["width"])
    depths = sorted(rows["depth"].unique())
    sizes = {width: 8.0 + 7.0 * n for n, width in enumerate(sorted(rows["width"].unique()))}
    last_epoch = points["epoch"].max()
    for (depth, width, lr), part in points.groupby(["depth", "width", "lr"]):
        progress = part["epoch"].to_numpy(dtype=float) / last_epoch
        ax.scatter(
            part["validation"],
            part["percent"],
            s=sizes[width] if by_rate else 14.0,
            marker=conflicts.MARKERS[depths.index(depth) % len(conflicts.MARKERS)],
            color=colours[lr if by_rate else width],
            alpha=FIRST_OPACITY + (LAST_OPACITY - FIRST_OPACITY) * progress,
            linewidths=0,
        )
    failed = points[points["run"].isin(rows.loc[rows["diverged"].fillna(False).astype(bool), "run"])]
    last = failed.sort_values("epoch").groupby("run").tail(1)
    divergence.mark_at(ax, last["validation"], last["percent"])
    fit = rows.iloc[0]
    if np.isfinite(fit["slope"]):
        x = np.array([points["validation"].min(), points["validation"].max()])
        ax.plot(x, fit["intercept"] + fit["slope"] * x, color="black", linewidth=1.0)
    ax.set_title(_title(rows, fit))
    for axis, quantity in ((ax.xaxis, "validation"), (ax.yaxis, "percent")):
        divergence.hide_ticks_without_values(axis, points[quantity])
    metric = labels.metric_of(rows)
    ax.set(xlabel=f"validation {metric} [{labels.UNITS[metric]}]", ylabel=conflicts.CONFLICTS_LABEL)


def _diverged(rows: pd.DataFrame) -> list[str]:
    """How many runs diverged; empty if none did."""
    diverged = rows[rows["present"].astype(bool)].groupby("run")["diverged"].any()
    return [f"{diverged.sum()} of {len(diverged)} runs diverged"] if diverged.any() else []


def _title(rows: pd.DataFrame, fit: pd.Series) -> str:
    """What was counted, in how many runs, and both correlations."""
    runs = {0: "", 1: ", 1 run"}.get(fit["runs"], f", {fit['runs']} runs")
    lines = [conflicts.title(rows) + runs]
    if fit["runs"]:
        lines.append(_correlation(fit["r"], "95 % CI ", fit["r_low"], fit["r_high"]))
    if fit["last_runs"] > 1:
        lines.append("last epoch: " + _correlation(fit["last_r"], "", fit["last_r_low"], fit["last_r_high"]))
    return "\n".join([*lines, *_diverged(rows)])


def _correlation(r: float, interval: str, low: float, high: float) -> str:
    if not np.isfinite(r):
        return "no correlation, all values are equal"
    r_text, low_text, high_text = (labels.format_number(value, 2) for value in (r, low, high))
    return f"$r$ = {r_text}" + (f" ({interval}{low_text} to {high_text})" if np.isfinite(low) else "")


def _legend(rows: pd.DataFrame, narrow: bool) -> list[list[Line2D]]:
    """Columns of the legend: colours, sizes, markers, the line. A panel that was not run has only a note.

    Args:
        rows: Rows of the panel.
        narrow: Whether the panel is narrower than the page. Then the legend has two columns.
    """
    if not rows["present"].any():
        return [conflicts.not_run_entries(rows)]
    look: style.Look = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0}
    by_rate = rows["lr"].nunique() > 1
    colours = conflicts.colours(rows["lr"] if by_rate else rows["width"])
    name = "lr {:g}" if by_rate else "width {}"
    colour_entries = [Line2D([], [], marker="o", color=c, label=name.format(v), **look) for v, c in colours.items()]
    size_entries = [
        Line2D([], [], **look | {"markersize": 2.8 + n}, marker="o", color="0.4", label=f"width {width}")
        for n, width in enumerate(sorted(rows["width"].unique()) if by_rate else [])
    ]
    marker_entries = [
        Line2D([], [], **look, marker=marker, color="0.4", label=f"depth {depth}")
        for depth, marker in zip(sorted(rows["depth"].unique()), itertools.cycle(conflicts.MARKERS), strict=False)
    ]
    fit_entry = Line2D([], [], color="black", linewidth=1.0, label="linear fit")
    diverged_entries = divergence.legend_entries(divergence.has_diverged(rows))
    for entry in diverged_entries:
        entry.set_label("last epoch before a run diverged")
    last_entries = [fit_entry, *diverged_entries, *conflicts.not_run_entries(rows)]
    if narrow:
        return [colour_entries + size_entries, marker_entries + last_entries]
    return [colour_entries, size_entries, marker_entries, last_entries]
