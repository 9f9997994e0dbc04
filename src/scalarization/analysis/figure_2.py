"""Main-text figure 2: best weights p*, and how much joint training with them helps, by capacity (appendix 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import preconditions, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **runs.CONDITION_TYPES,
    "task": "string",
    "metric": "string",
    "method": "string",
    "weight_setting": "Int64",
    "weight": "float64",
    "weight_low": "float64",
    "weight_high": "float64",
    "weight_by_seed": "object",
    "single_mean": "float64",
    "single_std": "float64",
    "joint_mean": "float64",
    "joint_std": "float64",
    **runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity and task.

    p* is the weight setting with the best validation average over tasks, mean over seeds; everything else is measured
    on test.

    Returns:
        Columns of the condition (benchmark, task_set, variant, architecture, depth, width, shared_layers, present),
        task, metric; ``method`` and ``weight_setting``: which setting is p*; ``weight``: p* of the task,
        ``weight_by_seed``: what each seed alone would choose, ``weight_low`` and ``weight_high``: the range of that;
        ``single_*`` and ``joint_*``: SD and joint training at p*, in percent for accuracy; ``mean``, ``std``, ``low``,
        ``high``, ``by_seed``: joint - SD paired by seed in percentage points, sign flipped for losses. A capacity that
        is not selected has ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    return runs.table(runs.condition_rows(runs.results_by_condition(plan, artifact), _rows), TYPES)


def _rows(results: runs.ConditionResults) -> Iterator[dict[str, Any]]:
    optimum = results.candidates[results.optimum]
    for number, task in enumerate(results.condition.tasks):
        by_seed = [results.candidates[candidate].weights[number] for candidate in results.optimum_by_seed]
        yield {
            **results.condition.columns,
            "task": task,
            "metric": results.metric,
            "method": optimum.method,
            "weight_setting": optimum.weight_setting,
            "weight": optimum.weights[number],
            "weight_low": min(by_seed),
            "weight_high": max(by_seed),
            "weight_by_seed": by_seed,
            **statistics.mean_and_std("single", results.single["test"][:, number]),
            **statistics.mean_and_std("joint", results.joint["test"][results.optimum, :, number]),
            **statistics.spread(results.difference("test")[results.optimum, :, number]),
        }


KIND = ArtifactKind("figure_2", "figure", "runs", summarize, preconditions.JOINT_AND_SINGLE)
