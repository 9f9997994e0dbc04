"""Grids of capacities: rows are depths or numbers of shared layers, columns are widths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import SubFigure


@dataclass(frozen=True)
class CapacityGrid:
    """All capacities of a summary, rows and columns both in increasing order.

    Attributes:
        rows: One pair per row: depth, and number of shared layers or None.
        widths: One width per column.
    """

    rows: tuple[tuple[int, int | None], ...]
    widths: tuple[int, ...]

    @classmethod
    def from_summary(cls, summary: pd.DataFrame) -> CapacityGrid:
        """All capacities that a summary names, including those that were not run."""
        pairs = summary[["depth", "shared_layers"]].drop_duplicates().itertuples(index=False)
        rows = sorted(((int(d), None if pd.isna(s) else int(s)) for d, s in pairs), key=lambda r: (r[0], r[1] or 0))
        return cls(tuple(rows), tuple(sorted(int(w) for w in summary["width"].unique())))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Row number and column number of every capacity, row by row."""
        return ((row, column) for row in range(len(self.rows)) for column in range(len(self.widths)))

    @property
    def row_quantity(self) -> str:
        """The quantity that differs between rows: ``depth`` or ``shared layers``."""
        return "depth" if len({depth for depth, _ in self.rows}) > 1 or self.rows[0][1] is None else "shared layers"

    def row_label(self, row: int) -> str:
        """Tick label of a row."""
        depth, shared = self.rows[row]
        if shared is None:
            return str(depth)
        return str(shared) if self.row_quantity == "shared layers" else f"{depth}, shr {shared}"

    def row_labels(self) -> list[str]:
        """Tick labels of all rows."""
        return [self.row_label(row) for row in range(len(self.rows))]

    def rows_at(self, summary: pd.DataFrame, row: int, column: int) -> pd.DataFrame:
        """The rows of a summary at one capacity."""
        depth, shared = self.rows[row]
        same_shared = summary["shared_layers"].isna() if shared is None else summary["shared_layers"] == shared
        return summary[(summary["depth"] == depth) & same_shared & (summary["width"] == self.widths[column])]

    def matrix(self, summary: pd.DataFrame, column_name: str) -> np.ndarray:
        """One column of a summary that has at most one row per capacity, [rows, widths]; NaN where it has no row."""
        values = np.full((len(self.rows), len(self.widths)), np.nan)
        for row, column in self:
            entries = self.rows_at(summary, row, column)[column_name]
            if len(entries):
                values[row, column] = entries.iloc[0]
        return values


def capacity_panels(
    parent: SubFigure, grid: CapacityGrid, title: str, x_label: str, y_label: str, share_axes: bool = False
) -> np.ndarray:
    """One panel per capacity, with depths from top to bottom and widths from left to right.

    Args:
        parent: What to fill.
        grid: The capacities.
        title: Title above all panels; may be empty.
        x_label: Common label of all horizontal axes.
        y_label: Common label of all vertical axes.
        share_axes: Whether all panels have the same scales.

    Returns:
        Axes, [rows, widths].
    """
    axes = parent.subplots(len(grid.rows), len(grid.widths), squeeze=False, sharex=share_axes, sharey=share_axes)
    for column, width in enumerate(grid.widths):
        axes[0, column].set_title(f"width {width}")
    for row in range(len(grid.rows)):
        axes[row, 0].set_ylabel(f"{grid.row_quantity} {grid.row_label(row)}")
    if title:
        parent.suptitle(title, fontsize="medium", fontweight="bold")
    parent.supxlabel(x_label)
    parent.supylabel(y_label)
    return axes
