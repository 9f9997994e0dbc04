"""Main-text figure 2: best weights p*, and how much joint training with them helps, by capacity (appendix 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import preconditions, result_files, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

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
    "weight_by_others": "object",
    "cross_fitted": "boolean",
    "single_mean": "float64",
    "single_std": "float64",
    "joint_mean": "float64",
    "joint_std": "float64",
    **runs.SETTINGS_TYPES,
    **runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity and task.

    p* is the weight setting with the best validation average over tasks, mean over seeds. Its gain is cross-fitted:
    each seed is measured on test at the weight setting that all other seeds choose on validation, because the runs that
    choose a setting are also lucky on test (:mod:`scalarization.analysis.cross_fitting`). With one seed no other seed
    can choose. Of the SD baselines nothing is chosen. Where every weight setting has a diverged run there is no p*: its
    columns are null.

    Returns:
        Columns of the condition (benchmark, task_set, variant, architecture, depth, width, shared_layers, present),
        task, metric; ``method`` and ``weight_setting``: which setting is p*; ``weight``: p* of the task,
        ``weight_by_seed``: what each seed alone would choose (NaN if all of its runs diverged), ``weight_low`` and
        ``weight_high``: the range of that; ``weight_by_others``: what all other seeds choose, at which each seed is
        measured; ``cross_fitted``: false with one seed, which chooses and is measured, so that the gain is too good;
        ``settings``: how many weight settings p* was chosen from, ``settings_diverged``: how many of them have a
        diverged run; ``single_*`` and ``joint_*``: SD and cross-fitted joint training, in percent for accuracy;
        ``mean``, ``std``, ``seeds``, ``diverged`` of them, ``by_seed``: joint - SD, cross-fitted and paired by seed, in
        percentage points, sign flipped for losses; ``low``, ``high``: its interval, which includes what the choice
        adds. A capacity that is not selected has ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    return runs.table(runs.condition_rows(runs.results_by_condition(plan, artifact), _rows), TYPES)


def _rows(results: runs.ConditionResults) -> Iterator[dict[str, Any]]:
    optimum = None if results.optimum is None else results.candidates[results.optimum]
    for number, task in enumerate(results.condition.tasks):
        by_seed = [results.weight(candidate, number) for candidate in results.optimum_by_seed]
        chosen = [weight for weight in by_seed if optimum and not np.isnan(weight)]
        gain = results.cross_fit(results.difference("test")[:, :, number])
        yield {
            **results.condition.columns,
            "task": task,
            "metric": results.metric,
            "method": optimum and optimum.method,
            "weight_setting": optimum and optimum.weight_setting,
            "weight": results.weight(results.optimum, number),
            "weight_low": min(chosen, default=np.nan),
            "weight_high": max(chosen, default=np.nan),
            "weight_by_seed": by_seed,
            "weight_by_others": [results.weight(candidate, number) for candidate in results.other_seeds_choices],
            "cross_fitted": gain.is_cross_fitted,
            **statistics.mean_and_std("single", results.single["test"][:, number]),
            **statistics.mean_and_std("joint", results.cross_fit(results.joint["test"][:, :, number]).values),
            **statistics.settings_columns(results.scores("validation")),
            **gain.spread(result_files.difference_limits(results.metric)),
        }


KIND = ArtifactKind("figure_2", "figure", "runs", EXPERIMENT, summarize, preconditions.JOINT_AND_SINGLE, columns=TYPES)
