"""Dense predictions for a few test images: what the numbers of figures 2 and C look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scalarization.analysis import _runs
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Cell, Plan, Share

TYPES = {
    **_runs.PLACE_TYPES,
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
    """Images, targets and predictions at the last capacity that was run of the experiment's first task set.

    Returns:
        One row per test image (``example``) and map: columns of the place; ``content``: ``image`` (0 to 255, without
        task), ``target``, ``single`` (SD) or ``joint`` (at p*, chosen on validation); ``task``; of predictions
        ``seed`` (the first of those run), ``weight``, p of the task, and ``l1``, the mean absolute error over the
        pixels whose target is known; ``shape`` [H, W, C] and ``values``, row by row, in standard deviations of the
        train split, NaN where not known.

    Raises:
        ConfigError: The benchmark has no dense tasks; or the experiment has no SD baselines or no joint training with
            constant weights, or ``only:`` left nothing of it.
        DataError: A file is missing, damaged or incomplete.
    """
    benchmark = plan.config.preset["experiments"][_runs.experiment_name(plan, artifact)]["benchmark"]
    if not plan.info(benchmark).maps:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: predictions are of dense tasks, '{benchmark}' has none; "
            "name an experiment on dense tasks"
        )
    place = [p for p in _runs.places(plan, artifact) if p.present][-1]
    found = _runs.compare(plan, place)
    chosen = found.candidates[found.optimum]
    joint = next(c for c in place.joint if c.method == chosen.method)
    seed = _runs.selected_seeds(plan, joint)[0]
    common, predicted = _read(plan, joint, chosen.member, seed)
    rows: list[dict[str, Any]] = list(common)
    targets = {(row["example"], row["task"]): row["values"] for row in common}
    for cell, task in zip(place.single, place.tasks, strict=True):
        rows += [{**row, "content": "single", "weight": 1.0, "seed": seed} for row in _read(plan, cell, 0, seed)[1]]
        weight = chosen.weights[place.tasks.index(task)]
        rows += [{**r, "content": "joint", "weight": weight, "seed": seed} for r in predicted if r["task"] == task]
    for row in rows:
        if row["content"] in ("single", "joint"):
            row["l1"] = float(np.nanmean(abs(row["values"] - targets[row["example"], row["task"]])))
    return _runs.table(({**place.key, **row} for row in rows), TYPES)


def _read(plan: Plan, cell: Cell, member: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images and targets of a cell's file, and the predictions of one of its runs."""
    file = plan.examples_file(Share(cell))
    try:
        table = pq.read_table(file)
    except (FileNotFoundError, pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not readable ({error}); delete it and run snakemake again") from None
    is_prediction = pc.equal(table["content"], "prediction")
    of_run = pc.and_(pc.equal(table["member"], member), pc.equal(table["seed"], seed))
    parts = [
        [
            {k: row[k] for k in ("example", "content", "task", "shape")}
            | {"values": np.array(row["values"], dtype=np.float32)}
            for row in table.filter(mask).to_pylist()
        ]
        for mask in (pc.invert(is_prediction), pc.and_(is_prediction, of_run))
    ]
    if not all(parts):
        raise DataError(f"{file}: has no predictions of weight setting {member}, seed {seed}; delete it and run again")
    return parts[0], parts[1]
