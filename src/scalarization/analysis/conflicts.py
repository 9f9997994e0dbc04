"""From files of counted conflicts to one row per run and epoch (appendix 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import result_files, runs
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

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
    return runs.table((row for cell in cells.values() for row in _rows(plan, cell)), EPOCH_TYPES)


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
