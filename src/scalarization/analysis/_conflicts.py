"""From files of counted conflicts to one row per run and epoch (paper A 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from scalarization import storage
from scalarization.analysis import _runs
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Cell, Plan

#: Columns of one run at one epoch. ``lr``: peak learning rate; ``pairs``: pairs of tasks; ``steps``: pairs times
#: counted steps in which both gradients were there, of which ``conflicts`` conflicted (``percent`` of them); ``zero``:
#: those in which one was not; ``mean_cosine``, over ``steps``; ``norm``: average over tasks of the mean gradient norm;
#: ``train_loss``: mean over the epoch's batches; ``validation``: average over tasks of ``metric``, validation split.
EPOCH_TYPES = {
    **_runs.PLACE_TYPES,
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

    A cell that ``only:`` left out has one row, with nulls for what was not counted.

    Raises:
        ConfigError: The artifact names no counting of conflicts, or ``only:`` left nothing of it.
        DataError: A file is missing, damaged or incomplete.
    """
    names = plan.artifact_conflicts(artifact)
    if not names:
        raise ConfigError(f"{plan.config.preset_file}: artifacts.{artifact}: key 'conflicts' is missing")
    asked = {cell.name: cell for name in names for cell in plan.conflict_cells[name]}
    rows = [row for cell in asked.values() for row in _rows(plan, cell)]
    if not any(row["present"] for row in rows):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only}: nothing of artifact '{artifact}' is left")
    return _runs.table(rows, EPOCH_TYPES)


def _rows(plan: Plan, cell: Cell) -> Iterator[dict[str, Any]]:
    selected = plan.counted[cell.name].members if cell.name in plan.counted else ()
    seeds = sorted({m.seed for m in cell.members} & {m.seed for m in selected})
    facts = {
        **_runs.key(cell, cell.task_set, bool(seeds)),
        "lr": cell.specification["recipe"]["lr"],
        "tasks": len(cell.tasks),
    }
    if not seeds:
        yield facts
        return
    path = plan.run_file(cell)
    found = storage.read_conflict_file(path)
    found = found.filter(pa.compute.is_in(found["seed"], pa.array(seeds, pa.int32()))).to_pandas()
    pairs = len(cell.tasks) * (len(cell.tasks) - 1) // 2
    if len(found) != len(seeds) * cell.specification["epochs"] * pairs:
        raise DataError(
            f"{path}: has {len(found)} rows for {len(seeds)} seeds, {cell.specification['epochs']} epochs and {pairs} "
            "pairs; delete it and run snakemake again"
        )
    for (seed, epoch), part in found.groupby(["seed", "epoch"]):
        steps, conflicts = int(part["steps"].sum()), int(part["conflicts"].sum())
        # Of T tasks each stands in T - 1 pairs, so the mean over both ends of all pairs is the mean over tasks.
        norms = pd.concat([part["norm_i"], part["norm_j"]])
        yield {
            **facts,
            "seed": seed,
            "epoch": epoch,
            "pairs": pairs,
            "steps": steps,
            "conflicts": conflicts,
            "percent": 100 * conflicts / steps if steps else None,
            "zero": int(part["zero"].sum()),
            "mean_cosine": (part["mean_cosine"] * part["steps"]).sum() / steps if steps else None,
            "norm": norms.mean(),
            "train_loss": part["train_loss"].iloc[0],
            "metric": part["metric"].iloc[0],
            "validation": part["validation"].iloc[0],
        }
