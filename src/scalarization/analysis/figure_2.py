"""Figure 2 (paper A 2.1): best weights p*, and how much joint training with them helps, at every capacity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _runs, _statistics
from scalarization.experiments import Plan

TYPES = {
    **_runs.PLACE_TYPES,
    "task": "string",
    "metric": "string",
    "method": "string",
    "member": "Int64",
    "weight": "float64",
    "weight_low": "float64",
    "weight_high": "float64",
    "weight_by_seed": "object",
    "single_mean": "float64",
    "single_std": "float64",
    "joint_mean": "float64",
    "joint_std": "float64",
    **_runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity and task.

    p* is the weight setting with the best validation average over tasks, mean over seeds; everything else is test.

    Returns:
        Columns of the place (benchmark, task_set, variant, architecture, depth, width, shared_layers, present), task,
        metric; ``method`` and ``member``: which setting is p*; ``weight``: p* of the task, ``weight_by_seed``: what
        each seed alone would choose, ``weight_low`` and ``weight_high``: the range of that; ``single_*`` and
        ``joint_*``: SD and joint training at p*, in percent for accuracy; ``mean``, ``std``, ``low``, ``high``,
        ``by_seed``: joint - SD paired by seed in percentage points, sign flipped for losses. A capacity that was
        left out has ``present`` false and nulls.

    Raises:
        ConfigError: The experiment has no SD baselines, or no joint training with constant weights, or ``only:`` left
            nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    return _runs.table(_runs.place_rows(_runs.comparisons(plan, artifact), _rows), TYPES)


def _rows(found: _runs.Comparison) -> Iterator[dict[str, Any]]:
    chosen = found.candidates[found.optimum]
    for number, task in enumerate(found.place.tasks):
        by_seed = [found.candidates[c].weights[number] for c in found.optimum_by_seed]
        yield {
            **found.place.key,
            "task": task,
            "metric": found.metric,
            "method": chosen.method,
            "member": chosen.member,
            "weight": chosen.weights[number],
            "weight_low": min(by_seed),
            "weight_high": max(by_seed),
            "weight_by_seed": by_seed,
            **_statistics.named("single", found.single["test"][:, number]),
            **_statistics.named("joint", found.joint["test"][found.optimum, :, number]),
            **_statistics.spread(found.difference("test")[found.optimum, :, number]),
        }
