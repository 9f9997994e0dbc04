"""Rebuttal figure 1a: gradient conflicts and training loss over epochs."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scalarization.figures import _conflicts, _style

HEIGHT = 2.2
CAPACITY_COLUMNS = 3
#: One per capacity, repeated with another mark if there are more.
LINES = ("-", "--", ":", "-.")
MARKERS = ("", "o", "s", "^")
QUANTITIES = {"percent": _conflicts.CONFLICTS_LABEL, "train_loss": "training loss [nats]"}


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.rebuttal_figure_1a``'s summary: a row of two panels per benchmark and task set."""
    blocks = [rows for _, rows in summary.groupby(["benchmark", "task_set"], sort=False)]
    colours, looks = _conflicts.colours(summary["lr"]), _looks(summary)
    legend = _legend(summary, colours, looks)
    heights = [HEIGHT] * len(blocks) + [_conflicts.height(*legend)]
    figure = _style.new_figure(sum(heights))
    *parents, bottom = figure.subfigures(len(heights), 1, height_ratios=heights)
    for parent, rows in zip(parents, blocks, strict=True):
        parent.suptitle(_conflicts.title(rows), fontsize="medium")
        for ax, (name, label) in zip(parent.subplots(1, 2), QUANTITIES.items(), strict=True):
            _draw_lines(ax, rows, name, colours, looks)
            ax.set(xlabel="epoch", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _conflicts.legend(bottom, "center", *legend)
    return figure


def _draw_lines(
    ax: Axes, rows: pd.DataFrame, name: str, colours: dict[float, str], looks: dict[str, dict[str, Any]]
) -> None:
    for (architecture, lr), part in rows[rows["present"]].groupby(["architecture", "lr"]):
        values = part.groupby("epoch")[name].agg(["mean", "std"])
        ax.plot(values.index, values["mean"], color=colours[lr], linewidth=1.0, **looks[architecture])
        if values["std"].notna().any():
            low, high = values["mean"] - values["std"], values["mean"] + values["std"]
            ax.fill_between(values.index, low, high, color=colours[lr], alpha=0.15, linewidth=0)


def _looks(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "linestyle": LINES[number % len(LINES)],
            "marker": MARKERS[number // len(LINES) % len(MARKERS)],
            "markersize": 3,
        }
        for number, name in enumerate(_conflicts.capacities(summary)["architecture"])
    }


def _legend(summary: pd.DataFrame, colours: dict[float, str], looks: dict[str, dict[str, Any]]) -> list[list[Line2D]]:
    """Columns: learning rates, then capacities, what was not run last."""
    rates = [Line2D([], [], color=colour, linewidth=1.5, label=f"lr {lr:g}") for lr, colour in colours.items()]
    found = _conflicts.capacities(summary)
    lines = [
        Line2D([], [], color="0.3", linewidth=1.0, label=label, **looks[name])
        for name, label in zip(found["architecture"], found["label"], strict=True)
    ]
    lines += _conflicts.not_run(summary)
    longest = max(len(rates), math.ceil(len(lines) / CAPACITY_COLUMNS))
    return [rates, *(lines[first : first + longest] for first in range(0, len(lines), longest))]
