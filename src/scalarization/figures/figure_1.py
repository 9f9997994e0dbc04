"""Main-text figure 1: peak memory against the number of tasks, one line per method."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from scalarization.methods.info import GRADIENT_BASED, LOSS_BASED, SCALARIZATION
from scalarization.plotting import style

PANEL_HEIGHT = 2.6
REFERENCE = "uniform"
#: Group of methods -> line style. Methods of one group differ in colour and marker.
LINE_STYLES = {SCALARIZATION: "-", LOSS_BASED: "--", GRADIENT_BASED: "-"}
OTHER_LINE_STYLE = ":"
#: More markers than colours, so that methods whose colours repeat differ in their markers.
MARKERS = "osD^vP<>X*hp"
#: Black is the colour of uniform scalarization, and yellow is invisible on white.
COLOURS = (*style.COLOURS[:6], "0.55")


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_1``: one panel per benchmark, architecture and batch size."""
    panels = list(summary.groupby(["benchmark", "architecture", "batch_size"], sort=False))
    looks = method_looks(summary)
    figure = style.new_figure(PANEL_HEIGHT * len(panels))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for ax, ((benchmark, architecture, batch_size), rows) in zip(axes, panels, strict=True):
        _draw_panel(ax, rows, looks)
        ax.set_title(f"{benchmark}, {architecture}, batches of {batch_size}")
        ax.set_ylabel("peak memory [MiB]")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.35)
    axes[-1].set_xlabel("number of tasks")
    return figure


def method_looks(summary: pd.DataFrame) -> dict[str, style.Look]:
    """Method -> colour, marker and line style, for any number of methods."""
    methods = summary.drop_duplicates("method")
    groups = dict(zip(methods["method"], methods["group"], strict=True))
    others = [method for method in groups if method != REFERENCE]
    return {
        method: {
            "color": COLOURS[others.index(method) % len(COLOURS)] if method in others else "black",
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": LINE_STYLES.get(group, OTHER_LINE_STYLE),
        }
        for number, (method, group) in enumerate(groups.items())
    }


def _draw_panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    lines = [line.sort_values("tasks") for _, line in rows.groupby("method", sort=False)]
    # The legend lists the lines from top to bottom in the order in which they end at the right.
    for line in sorted(lines, key=lambda line: -line["peak_mib"].iloc[-1]):
        ax.plot(
            line["tasks"].astype(float),
            line["peak_mib"],
            label=line["label"].iloc[0],
            linewidth=1.0,
            markersize=3.5,
            **looks[line["method"].iloc[0]],
        )
    ticks = sorted(rows["tasks"].unique())
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator([float(t) for t in ticks]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=0)
    ax.margins(x=0.04)
