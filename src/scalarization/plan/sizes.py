"""What a preset expands to, counted before it is expanded: sizes beyond the limits are refused with their count."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scalarization.config import limits
from scalarization.config.models import Architectures, Grid, SearchOptions
from scalarization.plan import estimates
from scalarization.plan.cells import Cell, Search
from scalarization.plan.problems import Problems


@dataclass
class Tally:
    """Cells and runs of a preset so far.

    Attributes:
        cells: Number of cells.
        runs: Number of runs.
        full: Whether a grid did not fit; that is noted once.
    """

    cells: int = 0
    runs: int = 0
    full: bool = False

    def add(self, key: str, grid: Grid, runs: list[int], problems: Problems) -> bool:
        """Count a grid; returns whether the preset may have so many cells and runs, and notes a problem if not.

        Args:
            key: Where the grid stands.
            grid: The grid.
            runs: Number of runs for each method and task set, at one capacity and in one variant.
            problems: Collects mistakes.
        """
        repeated = _capacities(grid.architectures) * len(grid.variants)
        cells, num_runs = len(runs) * repeated, sum(runs) * repeated
        if self.full:
            return False
        for what, own, before, limit in (
            ("cells", cells, self.cells, limits.CELLS),
            ("runs", num_runs, self.runs, limits.RUNS),
        ):
            if own + before > limit:
                of_all = f", {own + before:,} with those of the keys before it" if before else ""
                problems.add(key, f"{own:,} {what}{of_all}; a preset has at most {limit:,}")
                self.full = True
                return False
        self.cells += cells
        self.runs += num_runs
        return True


def check_search(key: str, options: SearchOptions, epochs: int, problems: Problems) -> bool:
    """Whether the histories of the searches of a key may be so long; notes a problem if not.

    Args:
        key: Where the searches stand.
        options: What the preset says of them.
        epochs: Epochs of a member.
        problems: Collects mistakes.
    """
    searches = _capacities(options.architectures) * options.seeds
    intervals = math.ceil(epochs / options.epochs_ready)
    rows = searches * options.population * intervals
    if rows > limits.RUNS:
        what = f"{searches:,} searches x population {options.population:,} x {intervals:,} intervals"
        problems.add(key, f"{what} are {rows:,} rows of histories; at most {limits.RUNS:,}")
    return rows <= limits.RUNS


def check_images(cells: Iterable[Cell], searches: Iterable[Search], problems: Problems) -> None:
    """Note a preset that trains on more images than anybody can, as a slip of the keyboard makes it."""
    images = sum(len(cell.runs) * estimates.images(cell) for cell in cells)
    images += sum(search.population * estimates.images(search.cell) for search in searches)
    if images > limits.IMAGES:
        problems.add("experiments", f"all runs together are trained on {images:,} images; at most {limits.IMAGES:,}")


def _capacities(grid: Architectures) -> int:
    return len(grid.depth) * len(grid.width) * len(grid.shared_layers or [None])
