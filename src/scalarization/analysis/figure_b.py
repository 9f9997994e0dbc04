"""Figure B of the appendix: quality on one task against quality on the other, for every weight setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import preconditions, result_files, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **runs.CONDITION_TYPES,
    **runs.CANDIDATE_TYPES,
    "metric": "string",
    "validation": "float64",
    **runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, weight setting and task, and one per SD baseline.

    Returns:
        Columns of the condition; ``method`` (``single`` for SD), ``weight_setting``, ``heuristic``, ``optimum``
        (whether it is p*, chosen on validation), ``task``, ``weight`` (p of the task), ``metric``; ``validation``:
        validation average over tasks, mean over seeds (what p* is chosen by; for SD of its own task); ``mean``,
        ``std``, ``low``, ``high``, ``seeds``, ``diverged`` of them, ``by_seed``: test value over seeds, in percent for
        accuracy. A capacity that is not selected has one row per task with ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    return runs.table(runs.condition_rows(runs.results_by_condition(plan, artifact), rows), TYPES)


def rows(results: runs.ConditionResults) -> Iterator[dict[str, Any]]:
    """Rows of one condition."""
    validation = results.joint["validation"].mean(axis=(1, 2))
    limits = result_files.limits(results.metric)
    for number, task in enumerate(results.condition.tasks):
        yield {
            **results.condition.columns,
            "method": "single",
            "weight_setting": 0,
            "optimum": False,
            "task": task,
            "weight": 1.0,
            "metric": results.metric,
            "validation": results.single["validation"][:, number].mean(),
            **statistics.spread(results.single["test"][:, number], limits),
        }
        for candidate in range(len(results.candidates)):
            yield {
                **results.columns(candidate, number),
                "metric": results.metric,
                "validation": validation[candidate],
                **statistics.spread(results.joint["test"][candidate, :, number], limits),
            }


KIND = ArtifactKind("figure_b", "figure", "runs", EXPERIMENT, summarize, preconditions.JOINT_AND_SINGLE, columns=TYPES)
