"""Figure E: policies as areas stacked over epochs, widths and methods beside each other, depths below each other."""

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

from scalarization.analysis import _names
from scalarization.figures import _style

PANEL_HEIGHT = 1.25
#: Room for the label of the axis, and the title of a block.
AXIS_HEIGHT = 0.4
#: More columns than this have titles of two lines.
WIDE = 3
#: The common colours; as an area black would cover everything else.
AREAS = tuple("0.55" if colour == "#000000" else colour for colour in _style.COLOURS)
LEGEND_COLUMNS = 6
#: Inches of an entry of the legend, without its name, and of a letter of it.
LEGEND_ENTRY, LEGEND_LETTER = 0.35, 0.06
#: Up to so many ends of intervals are labelled each.
TICKS = 7
BOUNDARY = {"color": "white", "linewidth": 0.5, "alpha": 0.7}


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_e``'s summary: a block per benchmark and task set, a panel per search."""
    counts = summary.groupby("benchmark")["task_number"].max().fillna(-1).astype(int) + 1
    colours = {benchmark: _colours(count) for benchmark, count in counts.items()}
    blocks = [
        (place, _Block(rows, colours[place[0]]))
        for place, rows in summary.groupby(["benchmark", "task_set"], sort=False)
    ]
    heights = [block.height for _, block in blocks]
    figure = _style.new_figure(sum(heights))
    parents = np.atleast_1d(figure.subfigures(len(blocks), 1, height_ratios=heights))
    for parent, (place, block) in zip(parents, blocks, strict=True):
        block.draw(parent, ", ".join(place) if len(blocks) > 1 else "")
    return figure


class _Block:
    """Panels of one task set: rows are depths, columns are methods (and settings of the search) and their widths."""

    def __init__(self, summary: pd.DataFrame, colours: list[Any]) -> None:
        searches = [rows for _, rows in summary.groupby(["search", "architecture"], sort=False)]
        self.panels: dict[tuple[tuple, tuple], pd.DataFrame] = {}
        for rows in searches:
            first = rows.iloc[0]
            row = (first["depth"], 0 if pd.isna(first["shared_layers"]) else first["shared_layers"])
            column = (_names.order(first["method"]), *_setting(first), first["width"])
            # Searches that differ in something else stand beside each other.
            number = sum((row, (*column, n)) in self.panels for n in range(len(searches)))
            self.panels[row, (*column, number)] = rows
        self.rows = sorted({row for row, _ in self.panels})
        self.columns = sorted({column for _, column in self.panels})
        ran = summary[summary["present"].astype(bool)].sort_values("task_number", kind="stable")
        #: Task -> colour.
        self.colours = {t: colours[n] for t, n in zip(ran["task"], ran["task_number"].astype(int), strict=True)}
        several = summary.groupby("method")[["population", "epochs_ready", "quantile"]].nunique().gt(1).any(axis=None)
        self.title = functools.partial(_title, setting=several, lines=len(self.columns) > WIDE or several)
        entry = LEGEND_ENTRY + LEGEND_LETTER * max(map(len, self.colours), default=0)
        self.legend_columns = max(1, min(LEGEND_COLUMNS, int(_style.WIDTH / entry)))
        self.legend_height = _style.legend_height(len(self.colours), self.legend_columns, bar=False)
        self.height = len(self.rows) * PANEL_HEIGHT + AXIS_HEIGHT + self.legend_height

    def draw(self, parent: SubFigure, title: str) -> None:
        panels, bottom = parent.subfigures(2, 1, height_ratios=[self.height - self.legend_height, self.legend_height])
        axes = panels.subplots(len(self.rows), len(self.columns), squeeze=False, sharey=True)
        for (row, column), rows in self.panels.items():
            _draw_panel(axes[self.rows.index(row), self.columns.index(column)], rows, self.colours)
            axes[self.rows.index(row), self.columns.index(column)].set_title(self.title(rows.iloc[0]))
        for row, column in np.ndindex(axes.shape):
            if (self.rows[row], self.columns[column]) not in self.panels:
                axes[row, column].set_axis_off()
        for line in axes:
            next(ax for ax in line if ax.axison).tick_params(labelleft=True)
        panels.supxlabel("epoch of the search")
        panels.supylabel("weight $p$, cumulative")
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
        _style.not_run(ax)
        return
    edges = [0, *rows.drop_duplicates("interval")["last_epoch"].astype(int)]
    found = rows.pivot(index="interval", columns="task", values="weight")
    # Weights change at the ends of intervals only.
    order = [task for task in reversed(colours) if task in found]  # the legend's first on top
    stacked = [[*found[task], found[task].iloc[-1]] for task in order]
    ax.stackplot(edges, stacked, step="post", colors=[colours[task] for task in order], linewidth=0)
    for edge in edges[1:-1]:
        ax.axvline(edge, **BOUNDARY)
    ax.set_xlim(0, edges[-1])
    ax.xaxis.set_major_locator(FixedLocator(edges) if len(edges) <= TICKS else MaxNLocator(4, integer=True))


def _setting(search: pd.Series) -> tuple[float, float, float]:
    """N, E and Q."""
    quantile = 0.0 if pd.isna(search["quantile"]) else float(search["quantile"])
    return int(search["population"]), int(search["epochs_ready"]), quantile


def _title(search: pd.Series, setting: bool, lines: bool) -> str:
    shared = "" if pd.isna(search["shared_layers"]) else f", shr {int(search['shared_layers'])}"
    place = f"depth {search['depth']}{shared}, width {search['width']}"
    name = search["label"]
    if setting:
        population, epochs, quantile = _setting(search)
        name += f", N={population}, E={epochs}" + (f", Q={quantile:g}" if quantile else "")
    return f"{name}\n{place}" if lines else f"{name}, {place}"


def _colours(count: int) -> list[Any]:
    """A colour for each of so many tasks: the common ones, then a spread of others."""
    more = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, max(0, count - len(AREAS))))
    return [*AREAS[:count], *more]
