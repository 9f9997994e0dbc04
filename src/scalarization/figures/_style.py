"""Common looks: sizes for print, colours for colour-blind eyes, words with units, capacity grids, saving."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from scalarization import storage

#: Width of the paper's text, inches.
WIDTH = 5.5
DPI = 200
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.labelsize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "pdf.fonttype": 42,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}
#: Weights p, 0 to 1.
WEIGHT_MAP = "viridis"
#: Differences; blue is good.
DIFFERENCE_MAP = "RdBu"
#: Okabe and Ito's colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
#: Lines at the level of an SD baseline.
LEVEL = {"color": "black", "linewidth": 0.6, "linestyle": "--", "zorder": 0}
ABSENT = {"facecolor": "0.93", "edgecolor": "0.6", "hatch": "////", "linewidth": 0.0}
NOT_RUN = "not run"
#: Word for training several domains, or several tasks, jointly.
JOINT = {"mdl": "MDL", "mtl": "MTL"}
#: Metric -> unit of its values, unit of its differences.
UNITS = {"accuracy": ("%", "percentage points"), "l1": ("L1 loss", "L1 loss")}


def styled(draw: Callable[[pd.DataFrame, dict[str, Any]], Figure]) -> Callable[[pd.DataFrame, dict[str, Any]], Figure]:
    """Run a drawing under the common style, whatever the process has set."""

    @functools.wraps(draw)
    def wrapped(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
        with mpl.style.context(["default", STYLE]):
            return draw(summary, facts)

    return wrapped


def new_figure(height: float) -> Figure:
    """An empty figure as wide as the text, laid out so that nothing overlaps.

    Args:
        height: Inches.
    """
    return Figure(figsize=(WIDTH, height), layout="constrained")


def save(figure: Figure, pdf: Path, png: Path) -> None:
    """Write a figure as PDF (fonts embedded, no date, so that equal figures have equal bytes) and PNG (200 dpi)."""
    with mpl.rc_context(STYLE):
        with storage.replacing(pdf) as temporary:
            figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
        with storage.replacing(png) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)


@dataclass(frozen=True)
class Grid:
    """The capacities of a summary: rows are depths (and shared layers), columns are widths, both increasing.

    Attributes:
        rows: (depth, shared layers or None).
        widths: Widths.
    """

    rows: tuple[tuple[int, int | None], ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, summary: pd.DataFrame) -> Grid:
        """All capacities that a summary speaks of, absent ones too."""
        pairs = summary[["depth", "shared_layers"]].drop_duplicates().itertuples(index=False)
        rows = sorted(((int(d), None if pd.isna(s) else int(s)) for d, s in pairs), key=lambda r: (r[0], r[1] or 0))
        return cls(tuple(rows), tuple(sorted(int(w) for w in summary["width"].unique())))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Row and column number of every capacity, row by row."""
        return ((row, column) for row in range(len(self.rows)) for column in range(len(self.widths)))

    @property
    def row_axis(self) -> str:
        """What tells the rows apart."""
        return "depth" if len({d for d, _ in self.rows}) > 1 or self.rows[0][1] is None else "shared layers"

    def row_name(self, row: int) -> str:
        """Tick label of a row."""
        depth, shared = self.rows[row]
        if shared is None:
            return str(depth)
        return str(shared) if self.row_axis == "shared layers" else f"{depth}, shr {shared}"

    def at(self, summary: pd.DataFrame, row: int, column: int) -> pd.DataFrame:
        """The rows of a summary at one capacity."""
        depth, shared = self.rows[row]
        same = summary["shared_layers"].isna() if shared is None else summary["shared_layers"] == shared
        return summary[(summary["depth"] == depth) & same & (summary["width"] == self.widths[column])]

    def array(self, summary: pd.DataFrame, name: str) -> np.ndarray:
        """One column of a summary with at most one row per capacity, [rows, widths], NaN where there is none."""
        values = np.full((len(self.rows), len(self.widths)), np.nan)
        for row, column in self:
            found = self.at(summary, row, column)[name]
            if len(found):
                values[row, column] = found.iloc[0]
        return values


def capacity_panels(
    parent: SubFigure, grid: Grid, title: str, x_label: str, y_label: str, share: bool = False
) -> np.ndarray:
    """One panel per capacity, depth downwards and width to the right.

    Args:
        parent: What to fill.
        grid: The capacities.
        title: Of the whole block; may be empty.
        x_label: Of all horizontal axes.
        y_label: Of all vertical axes.
        share: Whether all panels have the same scales.

    Returns:
        Axes, [rows, widths].
    """
    axes = parent.subplots(len(grid.rows), len(grid.widths), squeeze=False, sharex=share, sharey=share)
    for column, width in enumerate(grid.widths):
        axes[0, column].set_title(f"width {width}")
    for row in range(len(grid.rows)):
        axes[row, 0].set_ylabel(f"{grid.row_axis} {grid.row_name(row)}")
    if title:
        parent.suptitle(title, fontsize="medium", fontweight="bold")
    parent.supxlabel(x_label)
    parent.supylabel(y_label)
    return axes


def blocks(summary: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(task set, label, rows) of every task set and variant, in the summary's order."""
    several = summary["variant"].nunique() > 1
    for (task_set, variant), rows in summary.groupby(["task_set", "variant"], sort=False):
        yield task_set, f"{task_set}, {variant}" if several else task_set, rows


def members(facts: dict[str, Any], task_set: str) -> list[str]:
    """Members of a task set, the reference domain first."""
    tasks = facts["task_sets"][task_set]
    return sorted(tasks, key=lambda t: t != facts["reference"])


def weight_members(facts: dict[str, Any], task_set: str) -> list[str]:
    """Members whose weights are drawn: of a pair the first, whose weight tells the other's."""
    tasks = members(facts, task_set)
    return tasks[:1] if len(tasks) == 2 else tasks


def metric_of(summary: pd.DataFrame) -> str:
    """The metric that a summary's values are in."""
    return summary["metric"].dropna().iloc[0]


def axis_label(task: str, metric: str) -> str:
    """What is measured of a task on test, with its unit."""
    return f"{task} test accuracy [%]" if metric == "accuracy" else f"{task} test {UNITS[metric][0]}"


def weight_colour(weight: float) -> tuple[float, float, float, float]:
    """Colour of a weight, the same in every figure."""
    return mpl.colormaps[WEIGHT_MAP](weight_norm()(weight))


def weight_norm() -> Normalize:
    """Colours of weights mean the same in every figure."""
    return Normalize(0, 1)


def difference_norm(values: np.ndarray) -> Normalize:
    """Colours centred at zero that reach as far as the largest value."""
    largest = np.nanmax(np.abs(values), initial=0.0)
    return Normalize(-largest, largest) if largest > 0 else Normalize(-1, 1)


def words(values: np.ndarray, write: Callable[[tuple[int, int]], str]) -> np.ndarray:
    """What ``write`` makes of every place of a matrix; empty where the matrix is NaN."""
    found = np.full(values.shape, "", dtype=object)
    for row, column in np.argwhere(~np.isnan(values)):
        found[row, column] = write((int(row), int(column)))
    return found


def with_spread(mean: float, std: float, places: int, sign: bool = False) -> str:
    """A mean with its standard deviation on a second line, if there is one; a difference to itself is a plain 0."""
    if mean == 0 and not (std > 0):
        return "0"
    spread = "" if np.isnan(std) else f"\n±{number(std, places)}"
    return number(mean, places, sign) + spread


def number(value: float, places: int, sign: bool = False) -> str:
    """A number with a proper minus (none before a zero), and a plus if ``sign``."""
    value = round(value, places) + 0.0
    return f"{value:{'+' if sign else ''}.{places}f}".replace("-", "\N{MINUS SIGN}")


def decimals(metric: str, values: np.ndarray) -> int:
    """Decimals with which differences are written."""
    if metric != "accuracy":
        return 3
    return 2 if np.nanmax(np.abs(values), initial=0.0) < 10 else 1


def heatmap(axes: Axes, values: np.ndarray, notes: np.ndarray, norm: Normalize, colours: str, size: float) -> None:
    """Draw an annotated matrix; NaN becomes a hatched grey cell.

    Args:
        axes: Where.
        values: [rows, columns].
        notes: What to write into each cell, [rows, columns].
        norm: Colour scale.
        colours: Colour map.
        size: Font size of the notes, points.
    """
    import seaborn  # here, because its import takes longer than most drawings

    missing = np.isnan(values)
    labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}  # seaborn would remove them
    seaborn.heatmap(
        np.where(missing, norm.vmin, values),
        mask=missing,
        annot=notes,
        fmt="",
        annot_kws={"size": size, "linespacing": 1.1},
        vmin=norm.vmin,
        vmax=norm.vmax,
        cmap=colours,
        cbar=False,
        linewidths=0.5,
        linecolor="white",
        xticklabels=False,
        yticklabels=False,
        ax=axes,
    )
    axes.set(**labels)
    for note in axes.texts:
        column, row = (int(c) for c in note.get_position())
        luminance = seaborn.utils.relative_luminance(mpl.colormaps[colours](norm(values[row, column])))
        note.set_color("black" if luminance > 0.18 else "white")  # where both contrast equally
    for row, column in np.argwhere(missing):
        axes.add_patch(Rectangle((column, row), 1, 1, **ABSENT))


def label_cells(axes: Axes, rows: list[str] | None, columns: list[str] | None, rotation: float = 0) -> None:
    """Tick labels at the cells of a heat map; None leaves a side without labels."""
    if rows is not None:
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows, rotation=0)
    if columns is not None:
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=rotation)
    axes.tick_params(length=0)


def not_run(axes: Axes) -> None:
    """Make a panel say that its capacity was left out. Ticks that it shares with its neighbours stay."""
    axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, **ABSENT))
    say_not_run(axes)
    if len(axes.get_shared_x_axes().get_siblings(axes)) == 1:
        axes.set(xticks=[], yticks=[])


def say_not_run(axes: Axes) -> None:
    """Write it into the middle of a hatched panel."""
    axes.text(0.5, 0.5, NOT_RUN, transform=axes.transAxes, ha="center", va="center", backgroundcolor="0.93")


def not_run_patch() -> Patch:
    """Legend entry of hatched cells."""
    return Patch(**ABSENT, label=NOT_RUN)


def colour_bar(axes: Axes, norm: Normalize, colours: str, label: str) -> None:
    """Fill axes with a horizontal colour bar."""
    scale = ScalarMappable(norm, colours)
    axes.get_figure().colorbar(scale, cax=axes, orientation="horizontal", label=label, ticks=MaxNLocator(5))


def legend_height(entries: int, columns: int, bar: bool = True) -> float:
    """Height of a strip with a legend, and a colour bar above it if ``bar``, in inches."""
    return 0.15 * math.ceil(entries / columns) + 0.1 + (0.52 if bar else 0)


def bar_axes(parent: SubFigure, count: int) -> list[Axes]:
    """Flat axes beside each other for horizontal colour bars."""
    ratios = [1, 3, 1] if count == 1 else [1] * count
    axes = parent.add_gridspec(1, len(ratios), width_ratios=ratios)
    bars = [parent.add_subplot(axes[0, column]) for column in ([1] if count == 1 else range(count))]
    for ax in bars:
        ax.set_box_aspect(0.035)
    return bars


def errors(found: pd.Series) -> np.ndarray | None:
    """Lengths of error bars (standard deviation over seeds); None with one seed, where there are none to draw."""
    return None if found.isna().all() else found.fillna(0.0).to_numpy()
