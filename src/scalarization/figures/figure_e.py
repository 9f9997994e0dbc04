"""Appendix figure E: policies as stacked areas over epochs; columns are methods and widths, rows are depths."""

from __future__ import annotations

import functools
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from scalarization.analysis import names
from scalarization.plotting import divergence, style
from scalarization.plotting.labels import DIVERGED
from scalarization.plotting.style import Look

PANEL_HEIGHT = 1.25
#: Height of the axis label and of the title of a block.
LABEL_HEIGHT = 0.4
#: With more columns than this, titles have two lines.
MOST_ONE_LINE_COLUMNS = 3
#: The common colours, but grey instead of black, which as an area would hide the boundaries of intervals.
AREA_COLOURS = tuple("0.55" if colour == "#000000" else colour for colour in style.COLOURS)
LEGEND_COLUMNS = 6
#: Width in inches of a legend entry without its name, and of one letter of the name.
ENTRY_WIDTH, LETTER_WIDTH = 0.35, 0.06
#: With at most this many ends of intervals, each has a tick.
MOST_TICKS = 7
BOUNDARY: Look = {"color": "white", "linewidth": 0.5, "alpha": 0.7}


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_e``: one block per benchmark and task set, one panel per search."""
    task_counts = summary.groupby("benchmark")["task_number"].max().fillna(-1).astype(int) + 1
    colours = {benchmark: _task_colours(count) for benchmark, count in task_counts.items()}
    blocks = {
        f"{benchmark}, {task_set}": TaskSetPanels(rows, colours[benchmark])
        for (benchmark, task_set), rows in summary.groupby(["benchmark", "task_set"], sort=False)
    }
    heights = [block.height for block in blocks.values()]
    figure = style.new_figure(sum(heights))
    for parent, (title, block) in zip(style.stack(figure, heights), blocks.items(), strict=True):
        block.draw(parent, title if len(blocks) > 1 else "")
    return figure


class TaskSetPanels:
    """The panels of one task set.

    A row is a depth and a number of shared layers. A column is a method, a setting of the search, a width and, of a
    search that is repeated, a seed.
    """

    def __init__(self, summary: pd.DataFrame, colours: list[Any]) -> None:
        searches = [rows for _, rows in summary.groupby(["search", "architecture", "search_seed"], sort=False)]
        self.panels: dict[tuple[tuple, tuple], pd.DataFrame] = {}
        for rows in searches:
            first = rows.iloc[0]
            row = (first["depth"], 0 if pd.isna(first["shared_layers"]) else first["shared_layers"])
            column = (names.order(first["method"]), *_setting(first), first["width"])
            # Searches that differ only in something that has no column, or in their seed, get a number.
            number = sum((row, (*column, n)) in self.panels for n in range(len(searches)))
            self.panels[row, (*column, number)] = rows
        self.rows = sorted({row for row, _ in self.panels})
        self.columns = sorted({column for _, column in self.panels})
        present = summary[summary["task"].notna()].sort_values("task_number", kind="stable")
        task_numbers = zip(present["task"], present["task_number"].astype(int), strict=True)
        #: Task -> colour.
        self.colours = {task: colours[number] for task, number in task_numbers}
        repeated = (summary["repetitions"] > 1).any()
        several = summary.groupby("method")[["population", "epochs_ready", "quantile"]].nunique().gt(1).any(axis=None)
        two_lines = len(self.columns) > MOST_ONE_LINE_COLUMNS or several or repeated
        self.title = functools.partial(_panel_title, with_setting=several, two_lines=two_lines)
        entry = ENTRY_WIDTH + LETTER_WIDTH * max(map(len, self.colours), default=0)
        self.legend_columns = max(1, min(LEGEND_COLUMNS, int(style.TEXT_WIDTH / entry)))
        self.legend_height = style.legend_height(len(self.colours), self.legend_columns, bar=False)
        #: Inches.
        self.height = len(self.rows) * PANEL_HEIGHT + LABEL_HEIGHT + self.legend_height

    def draw(self, parent: SubFigure, title: str) -> None:
        """Draw all panels and the legend."""
        panels, bottom = style.stack(parent, [self.height - self.legend_height, self.legend_height])
        axes = panels.subplots(len(self.rows), len(self.columns), squeeze=False, sharey=True)
        for (row, column), rows in self.panels.items():
            ax = axes[self.rows.index(row), self.columns.index(column)]
            _draw_panel(ax, rows, self.colours)
            ax.set_title(self.title(rows.iloc[0]))
        for row, line in zip(self.rows, axes, strict=True):
            for column, ax in zip(self.columns, line, strict=True):
                if (row, column) not in self.panels:
                    ax.set_axis_off()
            next(ax for ax in line if ax.axison).tick_params(labelleft=True)
        panels.supxlabel("epoch of the search")
        panels.supylabel("weight $p$, stacked")
        if title:
            panels.suptitle(title, fontsize="medium", fontweight="bold")
        bottom.legend(
            handles=[Patch(color=colour, label=task.replace("_", " ")) for task, colour in self.colours.items()],
            loc="outside upper center",
            ncols=self.legend_columns,
            columnspacing=1.2,
            handlelength=1.0,
        )


def _draw_panel(ax: Axes, rows: pd.DataFrame, colours: dict[str, Any]) -> None:
    ax.set(ylim=(0, 1), yticks=[0, 0.5, 1])
    if not rows["present"].all():
        style.mark_not_run(ax)
        return
    if rows["diverged"].any():
        divergence.mark_panel(ax, f"all members {DIVERGED}")
        return
    interval_ends = [0, *rows.drop_duplicates("interval")["last_epoch"].astype(int)]
    weights = rows.pivot(index="interval", columns="task", values="weight")
    order = [task for task in reversed(colours) if task in weights]  # the first task of the legend is on top
    # The weights of an interval hold from its start to its end, so the last ones are repeated for the last end.
    areas = [[*weights[task], weights[task].iloc[-1]] for task in order]
    ax.stackplot(interval_ends, areas, step="post", colors=[colours[task] for task in order], linewidth=0)
    for end in interval_ends[1:-1]:
        ax.axvline(end, **BOUNDARY)
    ax.set_xlim(0, interval_ends[-1])
    few = len(interval_ends) <= MOST_TICKS
    ax.xaxis.set_major_locator(FixedLocator(interval_ends) if few else MaxNLocator(4, integer=True))


def _setting(search: pd.Series) -> tuple[int, int, float]:
    """N, E and Q; Q is 0 if the search has none."""
    quantile = 0.0 if pd.isna(search["quantile"]) else float(search["quantile"])
    return int(search["population"]), int(search["epochs_ready"]), quantile


def _panel_title(search: pd.Series, with_setting: bool, two_lines: bool) -> str:
    shared = "" if pd.isna(search["shared_layers"]) else f", shr {int(search['shared_layers'])}"
    capacity = f"depth {search['depth']}{shared}, width {search['width']}"
    name = search["label"]
    if with_setting:
        population, epochs, quantile = _setting(search)
        name += f", N={population}, E={epochs}" + (f", Q={quantile:g}" if quantile else "")
    if search["repetitions"] > 1:
        name += f", seed {search['search_seed']}"
    return f"{name}\n{capacity}" if two_lines else f"{name}, {capacity}"


def _task_colours(count: int) -> list[Any]:
    """One colour per task: the common ones first, then colours spread over a colour map."""
    more = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, max(0, count - len(AREA_COLOURS))))
    return [*AREA_COLOURS[:count], *more]
