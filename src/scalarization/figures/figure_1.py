"""Figure 1: peak memory against the number of tasks, a line per method."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from scalarization.figures import _style

HEIGHT = 2.6
#: Group -> line; methods of a group differ in colour and marker.
LINES = {"Scalarization": "-", "MTO, loss-based": "--", "MTO, gradient-based": "-"}
OTHER_LINE = ":"
MARKERS = "osD^vP<>X*hp"
#: Black is uniform's, and yellow cannot be seen on white.
COLOURS = (*_style.COLOURS[:6], "0.55")


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_1``'s summary: a panel per benchmark, architecture and batch size."""
    panels = list(summary.groupby(["benchmark", "architecture", "batch_size"], sort=False))
    looks = _looks(summary)
    figure = _style.new_figure(HEIGHT * len(panels))
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for ax, (place, rows) in zip(axes, panels, strict=True):
        _draw_panel(ax, rows, looks)
        ax.set_title("{}, {}, batches of {}".format(*place))
        ax.set_ylabel("peak memory [MiB]")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.35)
    axes[-1].set_xlabel("number of tasks")
    return figure


def _draw_panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    found = [part.sort_values("tasks") for _, part in rows.groupby("method", sort=False)]
    # The legend lists lines from top to bottom as they end.
    for part in sorted(found, key=lambda part: -part["peak_mib"].iloc[-1]):
        ax.plot(
            part["tasks"].astype(float),
            part["peak_mib"],
            label=part["label"].iloc[0],
            linewidth=1.0,
            markersize=3.5,
            **looks[part["method"].iloc[0]],
        )
    ticks = sorted(rows["tasks"].unique())
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator([float(t) for t in ticks]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(bottom=0)
    ax.margins(x=0.04)


def _looks(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    methods = summary.drop_duplicates("method")
    groups = dict(zip(methods["method"], methods["group"], strict=True))
    others = [method for method in groups if method != "uniform"]
    return {
        method: {
            "color": COLOURS[others.index(method) % len(COLOURS)] if method in others else "black",
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": LINES.get(group, OTHER_LINE),
        }
        for number, (method, group) in enumerate(groups.items())
    }
