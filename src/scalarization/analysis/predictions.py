"""Dense predictions for a few test images: what the numbers of main-text figure 2 and figure C look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import preconditions, runs
from scalarization.benchmarks.base import MapLabels
from scalarization.errors import DataError
from scalarization.plan import Plan
from scalarization.plan.artifacts import ArtifactKind
from scalarization.plan.cells import Cell, Shard

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **runs.CONDITION_TYPES,
    "example": "Int64",
    "content": "string",
    "task": "string",
    "seed": "Int64",
    "weight": "float64",
    "l1": "float64",
    "shape": "object",
    "values": "object",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Images, targets and predictions at the last selected capacity of the experiment.

    Returns:
        One row per test image (``example``) and map: columns of the condition; ``content``: ``image`` (0 to 255,
        without task), ``target``, ``single`` (SD) or ``joint`` (at p*, chosen on validation); ``task``; of predictions
        ``seed`` (the first selected one), ``weight``, p of the task, and ``l1``, the mean absolute error over the
        pixels whose target is known; ``shape`` [H, W, C] and ``values``, row by row, in standard deviations of the
        train split, NaN where not known.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A file is missing, damaged or incomplete.
    """
    condition = [condition for condition in runs.conditions(plan, artifact) if condition.present][-1]
    results = runs.read_results(plan, condition)
    optimum = results.candidates[results.optimum]
    joint = next(cell for cell in condition.joint if cell.method == optimum.method)
    seed = runs.selected_seeds(plan, joint)[0]
    rows, joint_predictions = _read(plan, joint, optimum.weight_setting, seed)
    targets = {(row["example"], row["task"]): row["values"] for row in rows}
    predictions: list[dict[str, Any]] = []
    for cell, task, weight in zip(condition.single, condition.tasks, optimum.weights, strict=True):
        _, single_predictions = _read(plan, cell, 0, seed)
        predictions += [{**row, "content": "single", "weight": 1.0} for row in single_predictions]
        of_task = [row for row in joint_predictions if row["task"] == task]
        predictions += [{**row, "content": "joint", "weight": weight} for row in of_task]
    for row in predictions:
        error = np.nanmean(abs(row["values"] - targets[row["example"], row["task"]]))
        rows.append({**row, "seed": seed, "l1": float(error)})
    return runs.table(({**condition.columns, **row} for row in rows), TYPES)


def _read(plan: Plan, cell: Cell, weight_setting: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images and targets of a cell's file, and the predictions of one of its runs."""
    import pyarrow.compute as pc

    from scalarization import storage

    file = plan.paths.examples_file(Shard(cell))
    assert file is not None  # its tasks are dense
    table = storage.read_example_file(file)
    is_prediction = pc.equal(table["content"], "prediction")
    of_run = pc.and_(pc.equal(table["weight_setting"], weight_setting), pc.equal(table["seed"], seed))
    given = _rows(table.filter(pc.invert(is_prediction)).to_pylist())
    predicted = _rows(table.filter(pc.and_(is_prediction, of_run)).to_pylist())
    if not given or not predicted:
        raise DataError(
            f"{file}: has no predictions of weight setting {weight_setting}, seed {seed}; delete it and run snakemake "
            "again"
        )
    return given, predicted


def _rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = ("example", "content", "task", "shape")
    return [{k: row[k] for k in kept} | {"values": np.array(row["values"], dtype=np.float32)} for row in rows]


KIND = ArtifactKind(
    "predictions",
    "figure",
    "examples",
    summarize,
    (
        preconditions.one_experiment,
        preconditions.benchmark_with(
            MapLabels, "predictions are of dense tasks, '{benchmark}' has none; name an experiment on dense tasks"
        ),
        preconditions.single_baselines,
        preconditions.constant_weights,
    ),
)
