"""Figure D of the appendix: the difference to the SD baseline at training time and at test time (appendix 2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import preconditions, result_files, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

TYPES = {**runs.CONDITION_TYPES, **runs.CANDIDATE_TYPES, "split": "string", "metric": "string", **runs.SPREAD_TYPES}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, weight setting, task and split (train, test).

    Returns:
        Columns of the condition; ``method``, ``weight_setting``, ``heuristic``, ``optimum`` (whether it is p*, chosen
        on validation), ``task``, ``weight`` (p of the task), ``split``, ``metric``; ``mean``, ``std``, ``low``,
        ``high``, ``seeds``, ``diverged``, ``by_seed``: joint - SD at the last epoch, paired by seed, in percentage
        points for accuracy, sign flipped for losses. A capacity that is not selected has one row per task with
        ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    return runs.table(runs.condition_rows(runs.results_by_condition(plan, artifact), _rows), TYPES)


def _rows(results: runs.ConditionResults) -> Iterator[dict[str, Any]]:
    for split in ("train", "test"):
        difference, limits = results.difference(split), result_files.difference_limits(results.metric)
        for number in range(len(results.condition.tasks)):
            for candidate in range(len(results.candidates)):
                yield {
                    **results.columns(candidate, number),
                    "split": split,
                    "metric": results.metric,
                    **statistics.spread(difference[candidate, :, number], limits),
                }


KIND = ArtifactKind("figure_d", "figure", "runs", EXPERIMENT, summarize, preconditions.JOINT_AND_SINGLE, columns=TYPES)
