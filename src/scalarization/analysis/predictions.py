"""Dense predictions for a few test images: what the numbers of main-text figure 2 and figure C look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import preconditions, result_files, runs
from scalarization.benchmarks.base import MapLabels
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

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
    "diverged": "boolean",
    "shape": "object",
    "values": "object",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Images, targets and predictions at the last selected capacity of the experiment.

    Returns:
        One row per test image (``example``) and map: columns of the condition; ``content``: ``image`` (0 to 255,
        without task), ``target``, ``single`` (SD) or ``joint`` (at p*, chosen on validation); ``task``; of predictions
        ``seed`` (the first selected one), ``weight``, p of the task, and ``l1``, the mean absolute error over the
        pixels whose target is known; ``diverged``: whether there is no prediction, because the SD model diverged or
        every weight setting has a diverged run; ``shape`` [H, W, C] and ``values``, row by row, in standard deviations
        of the train split, NaN where not known.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A file is missing, damaged or incomplete.
    """
    condition = [condition for condition in runs.conditions(plan, artifact) if condition.present][-1]
    results = runs.read_results(plan, condition)
    optimum = None if results.optimum is None else results.candidates[results.optimum]
    joint = next(cell for cell in condition.joint if optimum is None or cell.method == optimum.method)
    setting = None if optimum is None else optimum.weight_setting
    seed = runs.selected_seeds(plan, joint)[0]
    files = {cell.name: result_files.read_examples(plan, cell) for cell in (joint, *condition.single)}
    given = [row for row in files[joint.name] if row["content"] != "prediction"]
    rows = [_row(row, row["content"]) for row in given]
    targets = {(row["example"], row["task"]): row["values"] for row in rows}
    for number, (cell, task) in enumerate(zip(condition.single, condition.tasks, strict=True)):
        diverged = bool(np.isnan(results.single["test"][0, number]))
        for content, of_cell, weight_setting, weight in (
            ("single", cell, None if diverged else 0, 1.0),
            ("joint", joint, setting, results.weight(results.optimum, number)),
        ):
            place = {"content": content, "task": task, "seed": seed, "weight": weight}
            if weight_setting is None:
                rows += [{**place, "example": example, "diverged": True} for example, t in targets if t == task]
                continue
            for row in files[of_cell.name]:
                if (row["weight_setting"], row["seed"], row["task"]) != (weight_setting, seed, task):
                    continue
                if row["content"] == "prediction":
                    predicted = _row(row, content)
                    error = _error(predicted["values"], targets[row["example"], task])
                    rows.append({**predicted, **place, "l1": error, "diverged": not np.isfinite(error)})
    return runs.table(({**condition.columns, **row} for row in rows), TYPES)


def _row(row: dict[str, Any], content: str) -> dict[str, Any]:
    values = np.array(row["values"], dtype=np.float32)
    return {"example": row["example"], "content": content, "task": row["task"], "shape": row["shape"], "values": values}


def _error(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute error over the pixels whose target is known; NaN if a prediction of them is."""
    known = ~np.isnan(target)
    return float(abs(predicted - target)[known].mean())


KIND = ArtifactKind(
    "predictions",
    "figure",
    "examples",
    EXPERIMENT,
    summarize,
    (
        preconditions.benchmark_with(
            MapLabels, "predictions are of dense tasks, '{benchmark}' has none; name an experiment on dense tasks"
        ),
        preconditions.single_baselines,
        preconditions.constant_weights,
    ),
    columns=TYPES,
)
