"""From files of counted conflicts to one row per run and epoch (appendix 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import runs
from scalarization.errors import DataError
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

#: Columns of one run at one epoch. ``lr``: peak learning rate; ``tasks``: their number; ``pairs``: pairs of them.
#: ``steps``: summed over pairs, the counted steps in which both gradients existed; ``conflicts`` of them conflicted
#: (``percent``); ``zero``: the counted steps in which one did not exist; ``mean_cosine``: over ``steps``. ``norm``:
#: average over tasks of the mean gradient norm; ``train_loss``: mean over the epoch's batches; ``validation``: average
#: over tasks of ``metric`` on the validation split.
EPOCH_TYPES = {
    **runs.CONDITION_TYPES,
    "lr": "float64",
    "tasks": "Int64",
    "seed": "Int64",
    "epoch": "Int64",
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
    pairs = len(cell.tasks) * (len(cell.tasks) - 1) // 2
    for (seed, epoch), rows in _read(plan, cell, seeds, pairs).groupby(["seed", "epoch"]):
        yield {**columns, "seed": seed, "epoch": epoch, "pairs": pairs, **_summed(rows)}


def _read(plan: Plan, cell: Cell, seeds: list[int], pairs: int) -> pd.DataFrame:
    """Rows of some seeds of a cell, one per seed, epoch and pair."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from scalarization import storage

    path, num_epochs = plan.paths.run_file(cell), cell.specification.epochs
    table = storage.read_conflict_file(path)
    table = table.filter(pc.is_in(table["seed"], pa.array(seeds, pa.int32())))
    if len(table) != len(seeds) * num_epochs * pairs:
        raise DataError(
            f"{path}: has {len(table)} rows for {len(seeds)} seeds, {num_epochs} epochs and {pairs} pairs; delete it "
            "and run snakemake again"
        )
    return table.to_pandas()


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
        "metric": rows["metric"].iloc[0],
        "validation": rows["validation"].iloc[0],
    }
