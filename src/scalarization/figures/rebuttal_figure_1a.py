"""Rebuttal figure 1a: gradient conflicts and training loss over epochs."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from scalarization.plotting import conflicts, divergence, style

PANEL_HEIGHT = 2.2
CAPACITY_COLUMNS = 3
#: One line style per capacity; they repeat with another marker if there are more capacities.
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("", "o", "s", "^")
#: Column of the summary -> label of its axis.
QUANTITIES = {"percent": conflicts.CONFLICTS_LABEL, "train_loss": "training loss [nats]"}

#: Architecture -> look of its lines.
Looks = dict[str, style.Look]


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.rebuttal_figure_1a``: two panels per benchmark and task set."""
    blocks = [rows for _, rows in summary.groupby(["benchmark", "task_set"], sort=False)]
    colours, looks = conflicts.colours(summary["lr"]), _capacity_looks(summary)
    legend = _legend(summary, colours, looks)
    heights = [PANEL_HEIGHT] * len(blocks) + [conflicts.legend_height(*legend)]
    figure = style.new_figure(sum(heights))
    *parents, bottom = style.stack(figure, heights)
    for parent, rows in zip(parents, blocks, strict=True):
        parent.suptitle(conflicts.title(rows), fontsize="medium")
        for ax, (quantity, label) in zip(parent.subplots(1, 2), QUANTITIES.items(), strict=True):
            _draw_lines(ax, rows, quantity, colours, looks)
            ax.set(xlabel="epoch", ylabel=label)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            if rows["present"].any():
                divergence.hide_ticks_without_values(ax.yaxis, rows[quantity])
    conflicts.legend(bottom, "center", *legend)
    return figure


def _draw_lines(ax: Axes, rows: pd.DataFrame, quantity: str, colours: dict[float, str], looks: Looks) -> None:
    """Draw means over seeds, and bands of one standard deviation if there are several seeds."""
    for (architecture, lr), runs in rows[rows["present"]].groupby(["architecture", "lr"]):
        # A mean over seeds ends where one of them diverged; the mean of the rest would be of other runs.
        diverged = runs.groupby("epoch")["diverged"].any()
        values = runs.groupby("epoch")[quantity].agg(["mean", "std"]).where(~diverged)
        divergence.mark_at_bottom(ax, diverged.index[diverged][:1], colours[lr])
        ax.plot(values.index, values["mean"], color=colours[lr], linewidth=1.0, **looks[architecture])
        if values["std"].notna().any():
            low, high = values["mean"] - values["std"], values["mean"] + values["std"]
            ax.fill_between(values.index, low, high, color=colours[lr], alpha=0.15, linewidth=0)


def _capacity_looks(summary: pd.DataFrame) -> Looks:
    """Architecture -> line style and marker."""
    return {
        name: {
            "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
            "marker": MARKERS[number // len(LINE_STYLES) % len(MARKERS)],
            "markersize": 3,
        }
        for number, name in enumerate(conflicts.capacities(summary)["architecture"])
    }


def _legend(summary: pd.DataFrame, colours: dict[float, str], looks: Looks) -> list[list[Line2D]]:
    """Columns of the legend: learning rates, then capacities. Capacities that were not run are last."""
    rates = [Line2D([], [], color=colour, linewidth=1.5, label=f"lr {lr:g}") for lr, colour in colours.items()]
    architectures = conflicts.capacities(summary)
    lines = [
        Line2D([], [], color="0.3", linewidth=1.0, label=label, **looks[name])
        for name, label in zip(architectures["architecture"], architectures["label"], strict=True)
    ]
    for entry in divergence.legend_entries(divergence.has_diverged(summary)):
        entry.set_label("a run diverged")
        lines.append(entry)
    lines += conflicts.not_run_entries(summary)
    longest = max(len(rates), math.ceil(len(lines) / CAPACITY_COLUMNS))
    return [rates, *(lines[first : first + longest] for first in range(0, len(lines), longest))]
