"""From files of counted conflicts to one row per run and epoch, and correlations of their numbers (appendix 3).

Epochs of one run depend on each other. So do runs of one condition (an architecture in one variant): learning rate and
architecture set the level of conflicts and of quality, and seeds vary little around both. So the unit of a correlation
is the condition: the jackknife leaves out one condition at a time, with all its seeds and epochs. With one seed of each
condition that is one run. In simulations the 95 % interval covers the true correlation

- in 94 to 98 percent of cases if conditions vary ten times as much as their seeds, with 3 to 12 conditions of 2 or 3
  seeds. If runs were the unit, it would cover 71 percent with 4 conditions of 2 seeds, and 53 percent with 3 seeds;
- in 93 to 97 percent of cases over all epochs, with 4 to 12 conditions of one seed whose epochs depend on each other;
  in 90 to 93 percent if a trend over epochs that all runs share makes up nearly all of the correlation. Without that
  trend, and at the last epoch alone, it covers 94 to 98 percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import result_files, runs
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

    from scalarization.analysis.inference import Estimate

#: Columns of one run at one epoch. ``lr``: peak learning rate; ``tasks``: their number; ``pairs``: pairs of them.
#: ``steps``: summed over pairs, the counted steps in which both gradients existed; ``conflicts`` of them conflicted
#: (``percent``); ``zero``: the counted steps in which one did not exist; ``mean_cosine``: over ``steps``. ``norm``:
#: average over tasks of the mean gradient norm; ``train_loss``: mean over the epoch's batches; ``validation``: average
#: over tasks of ``metric`` on the validation split. ``diverged``: whether the run has diverged
#: by the end of the epoch; then nothing else of the epoch has a value.
EPOCH_TYPES = {
    **runs.CONDITION_TYPES,
    "lr": "float64",
    "tasks": "Int64",
    "seed": "Int64",
    "epoch": "Int64",
    "diverged": "boolean",
    "pairs": "Int64",
    "steps": "Int64",
    "conflicts": "Int64",
    "percent": "float64",
    "zero": "Int64",
    "mean_cosine": "float64",
    "norm": "float64",
    "train_loss": "float64",
    "metric": "string",
    "validation": "float64",
}
#: Columns that tell apart the runs of one benchmark and task set.
RUN = ["architecture", "variant", "seed"]
#: Columns that tell apart their conditions.
CONDITION = ["architecture", "variant"]
#: With fewer conditions a correlation has no interval: they do not show how it varies between conditions.
MIN_CONDITIONS = 3


def epochs(plan: Plan, artifact: str) -> pd.DataFrame:
    """Every epoch of every run that an artifact queries, under :data:`EPOCH_TYPES`.

    A cell that is not selected has one row, with nulls for what is counted.

    Raises:
        ConfigError: ``only:`` selects nothing of them.
        DataError: A file is missing, damaged or incomplete.
    """
    keys = artifacts.conflicts_of(plan, artifact)
    cells = {cell.name: cell for key in keys for cell in plan.conflicts[key]}
    if not any(runs.selected_seeds(plan, cell) for cell in cells.values()):
        raise runs.nothing_selected(plan, artifact)
    return epochs_of(plan, cells.values())


def epochs_of(plan: Plan, cells: Iterable[Cell]) -> pd.DataFrame:
    """Every epoch of every run of some cells, as :func:`epochs`.

    Raises:
        DataError: A file is missing, damaged or incomplete.
    """
    return runs.table((row for cell in cells for row in _rows(plan, cell)), EPOCH_TYPES)


def at_last_epoch(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch of each run, of those runs that did not diverge.

    Args:
        rows: Of one benchmark and task set, under :data:`EPOCH_TYPES`.
    """
    return rows.sort_values("epoch", kind="stable").groupby(RUN).tail(1).dropna(subset=["percent", "validation"])


def correlation(points: pd.DataFrame, *, within_epochs: bool = False) -> Estimate:
    """Pearson's correlation of ``percent`` and ``validation``, the unit being the condition.

    Args:
        points: Runs and epochs of one benchmark and task set that have both, under :data:`EPOCH_TYPES`.
        within_epochs: Whether to subtract the mean over runs at each epoch from both first.

    Returns:
        The correlation on Fisher's scale; NaN if one of both does not vary. Its error is NaN with fewer than
        :data:`MIN_CONDITIONS` conditions.
    """
    xy = points[["validation", "percent"]].to_numpy(dtype=float).T
    condition = points.groupby(CONDITION).ngroup().to_numpy()
    # One epoch for all points: the mean over all of them is subtracted.
    epoch = points["epoch"].to_numpy(dtype=int) if within_epochs else np.zeros(len(condition), dtype=int)
    return correlation_over_conditions(xy, condition, epoch)


def correlation_over_conditions(xy: np.ndarray, condition: np.ndarray, epoch: np.ndarray) -> Estimate:
    """Correlation of two quantities, each less its mean over runs at each epoch.

    Args:
        xy: The quantities, [2, points].
        condition: Number of the condition of each point, from 0, [points].
        epoch: Its epoch, from 0, [points].

    Returns:
        As :func:`correlation`.
    """
    from scalarization.analysis.inference import jackknife

    count = len(np.unique(condition))
    without = [math.nan] * count
    if count >= MIN_CONDITIONS:
        kept = [condition != left_out for left_out in range(count)]
        without = [_pearson(xy[:, keep], epoch[keep]) for keep in kept]
    return jackknife(_pearson(xy, epoch), without, is_correlation=True)


def _pearson(xy: np.ndarray, epoch: np.ndarray) -> float:
    """NaN if one of both quantities does not vary by more than rounding."""
    counts = np.maximum(np.bincount(epoch), 1)
    centred = np.stack([values - (np.bincount(epoch, values) / counts)[epoch] for values in xy])
    (xx, product), (_, yy) = sums = centred @ centred.T
    varies = np.diag(sums) > 1e-24 * (xy * xy).sum(axis=1)
    return float(np.clip(product / math.sqrt(xx * yy), -1, 1)) if varies.all() else math.nan


def _rows(plan: Plan, cell: Cell) -> Iterator[dict[str, Any]]:
    seeds = runs.selected_seeds(plan, cell)
    columns = {
        **runs.condition_columns(cell, bool(seeds)),
        "lr": cell.specification.recipe.lr,
        "tasks": len(cell.tasks),
    }
    if not seeds:
        yield columns
        return
    import pandas as pd

    pairs = len(cell.tasks) * (len(cell.tasks) - 1) // 2
    table = pd.DataFrame(result_files.read_conflicts(plan, cell))
    for (seed, epoch), rows in table[table["seed"].isin(seeds)].groupby(["seed", "epoch"]):
        first = rows.iloc[0]
        diverged = bool(pd.isna(first["validation"]) or pd.isna(first["train_loss"]))
        place = {"seed": seed, "epoch": epoch, "diverged": diverged, "metric": first["metric"], "pairs": pairs}
        yield {**columns, **place, **({} if diverged else _summed(rows))}


def _summed(rows: pd.DataFrame) -> dict[str, Any]:
    """What is counted in one run and epoch, from one row per pair."""
    import pandas as pd

    steps, conflicts = int(rows["steps"].sum()), int(rows["conflicts"].sum())
    # Of T tasks each is in T - 1 pairs, so the mean over both tasks of all pairs is the mean over tasks.
    norms = pd.concat([rows["norm_i"], rows["norm_j"]])
    return {
        "steps": steps,
        "conflicts": conflicts,
        "percent": 100 * conflicts / steps if steps else None,
        "zero": int(rows["zero"].sum()),
        "mean_cosine": (rows["mean_cosine"] * rows["steps"]).sum() / steps if steps else None,
        "norm": norms.mean(),
        "train_loss": rows["train_loss"].iloc[0],
        "validation": rows["validation"].iloc[0],
    }
