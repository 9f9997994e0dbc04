"""Affinity and diversity of domains (appendix 2.2): SD models on every domain, and the gain of joint training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from scalarization.plotting import divergence, heatmaps, labels, style
from scalarization.plotting.capacities import CapacityGrid, capacity_panels

#: One marker per depth; they repeat if there are more depths.
MARKERS = "osD^vP"
ACCURACY_MAP = "cividis"
ACCURACY_NORM = Normalize(0, 100)
SCATTER_HEIGHT = 2.15
LEGEND_COLUMNS = 3
#: Height of a note above the legend, inches.
NOTE_HEIGHT = 0.15
X_LABELS = {
    "affinity": "affinity of the added domain\n(accuracy on added / own domain)",
    "diversity": "diversity of the added domain\n(final training loss of its SD model [nats])",
}


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.affinity``: gains over affinity and diversity, and accuracies on all domains."""
    grid = CapacityGrid.from_summary(summary)
    evaluation = summary[summary["part"] == "evaluation"]
    benefit = summary[summary["part"] == "benefit"]
    trained, evaluated = (list(evaluation[name].unique()) for name in ("task", "evaluated"))
    colours = {domain: style.COLOURS[n % len(style.COLOURS)] for n, domain in enumerate(benefit["task"].unique())}
    cell_height = 0.3 if len(evaluated) <= 3 else 0.22
    matrices_height = (cell_height * len(trained) + 0.25) * len(grid.rows) + 0.85
    variants = list(summary["variant"].unique())
    legend = _legend(grid, colours, divergence.has_diverged(summary))
    note = labels.settings_note(benefit, "$p^*$")
    bottom_height = style.legend_height(len(legend), LEGEND_COLUMNS) + (NOTE_HEIGHT if note else 0)
    heights = [SCATTER_HEIGHT, matrices_height] * len(variants) + [bottom_height]
    figure = style.new_figure(sum(heights))
    *parents, bottom = style.stack(figure, heights)
    for number, variant in enumerate(variants):
        scatter, matrices = parents[2 * number : 2 * number + 2]
        if len(variants) > 1:
            scatter.suptitle(variant, fontsize="medium", fontweight="bold")
        gains = benefit[benefit["variant"] == variant]
        _draw_gains(scatter, grid, gains, colours, labels.JOINT[metadata["setting"]])
        _draw_accuracies(matrices, grid, evaluation[evaluation["variant"] == variant], trained, evaluated)
    (bar,) = style.colour_bar_axes(bottom, 1)
    style.colour_bar(bar, ACCURACY_NORM, ACCURACY_MAP, "test accuracy of the SD model [%]")
    bottom.legend(
        handles=legend, loc="outside lower center", ncols=LEGEND_COLUMNS, columnspacing=1.2, title=note or None
    ).get_title().set_fontsize(7)
    return figure


def _draw_gains(
    parent: SubFigure, grid: CapacityGrid, benefit: pd.DataFrame, colours: dict[str, str], joint: str
) -> None:
    """Draw the gain of every domain against the affinity and against the diversity of what is added to it."""
    axes: tuple[Axes, Axes] = parent.subplots(1, 2, sharey=True)
    for ax, (quantity, x_label) in zip(axes, X_LABELS.items(), strict=True):
        diverged: list[str] = []
        for row, column in grid:
            rows = grid.rows_at(benefit, row, column)
            for point in rows[rows["present"].astype(bool)].itertuples():
                x = getattr(point, f"{quantity}_mean")
                if np.isnan(x) or np.isnan(point.mean):
                    diverged.append(colours[point.task])
                    continue
                ax.errorbar(
                    x,
                    point.mean,
                    xerr=_error_bar(getattr(point, f"{quantity}_std")),
                    yerr=_error_bar(point.std),
                    color=colours[point.task],
                    elinewidth=0.6,
                    **_marker(row, column),
                )
        divergence.mark_in_corner(ax, diverged)
        drawn = benefit[benefit["mean"].notna()]
        divergence.hide_ticks_without_values(ax.xaxis, drawn[f"{quantity}_mean"])
        divergence.hide_ticks_without_values(ax.yaxis, drawn[f"{quantity}_mean"])
        ax.axhline(0, color="black", linewidth=0.6, zorder=0)
        ax.set_xlabel(x_label)
    axes[0].set_ylabel(f"{joint} at $p^*$ $-$ SD\n[percentage points]")


def _draw_accuracies(
    parent: SubFigure, grid: CapacityGrid, evaluation: pd.DataFrame, trained: list[str], evaluated: list[str]
) -> None:
    """Draw one matrix per capacity: domains trained on by domains evaluated on."""
    rotation = 90 if len(evaluated) * len(grid.widths) > 6 else 0
    axes = capacity_panels(parent, grid, "", "evaluated on", "SD model trained on")
    for row, column in grid:
        ax = axes[row, column]
        rows = grid.rows_at(evaluation, row, column)
        values, diverged = (
            rows.pivot(index="task", columns="evaluated", values=name)
            .reindex(trained, columns=evaluated)
            .to_numpy(dtype=float, na_value=np.nan)
            for name in ("mean", "diverged")
        )
        font_size = 6.5 if len(evaluated) <= 3 else 5
        crosses = np.where(diverged > 0, labels.TIMES, "")
        texts = _accuracy_texts(values)
        heatmaps.draw_heatmap(ax, values, texts, ACCURACY_NORM, ACCURACY_MAP, font_size, crosses)
        if not rows["present"].all():
            style.write_not_run(ax)
        heatmaps.label_cells(
            ax, trained if column == 0 else None, evaluated if row == len(grid.rows) - 1 else None, rotation
        )


def _accuracy_texts(values: np.ndarray) -> np.ndarray:
    return heatmaps.cell_texts(values, lambda cell: labels.format_number(values[cell], 0))


def _marker(row: int, column: int) -> style.Look:
    """Look of a capacity's marker: its shape tells the depth, its size the width."""
    return {
        "marker": MARKERS[row % len(MARKERS)],
        "markersize": 3.5 + 1.1 * column,
        "markeredgecolor": "white",
        "markeredgewidth": 0.3,
    }


def _error_bar(std: float) -> float | None:
    return None if np.isnan(std) else std


def _legend(grid: CapacityGrid, colours: dict[str, str], diverged: bool) -> list[Line2D]:
    """Entries in three columns of equal length: domains, depths, widths."""
    look: style.Look = {"linestyle": "none", "color": "0.4"}
    columns = [
        [
            Line2D([], [], **look | _marker(0, 2) | {"color": colour}, label=f"gain of {domain}")
            for domain, colour in colours.items()
        ],
        [
            Line2D([], [], **look, **_marker(row, 2), label=f"{grid.row_quantity} {label}")
            for row, label in enumerate(grid.row_labels())
        ],
        [
            Line2D([], [], **look, **_marker(0, column), label=f"width {width}")
            for column, width in enumerate(grid.widths)
        ]
        + divergence.legend_entries(diverged),
    ]
    longest = max(len(column) for column in columns)
    blank = Line2D([], [], linestyle="none", label=" ")
    return [handle for column in columns for handle in column + [blank] * (longest - len(column))]
