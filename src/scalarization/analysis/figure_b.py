"""Figures B and C (paper A 2.1): quality on one member against quality on the other, for every weight setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _runs, _statistics
from scalarization.experiments import Plan

TYPES = {
    **_runs.PLACE_TYPES,
    **_runs.CANDIDATE_TYPES,
    "metric": "string",
    "validation": "float64",
    **_runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, weight setting and task, and one per SD baseline.

    Returns:
        Columns of the place; ``method`` (``single`` for SD), ``member``, ``heuristic``, ``optimum`` (whether it is
        p*, chosen on validation), ``task``, ``weight`` (p of the task), ``metric``; ``validation``: validation
        average over tasks, mean over seeds (what p* is chosen by; SD: of its own task); ``mean``, ``std``, ``low``,
        ``high``, ``by_seed``: test value over seeds, in percent for accuracy. A capacity that was left out has one
        row per task with ``present`` false and nulls.

    Raises:
        ConfigError: The experiment has no SD baselines, or no joint training with constant weights, or ``only:`` left
            nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    return _runs.table(_runs.place_rows(_runs.comparisons(plan, artifact), rows), TYPES)


def rows(found: _runs.Comparison) -> Iterator[dict[str, Any]]:
    """Rows of one place that was run."""
    validation = found.joint["validation"].mean(axis=(1, 2))
    for number, task in enumerate(found.place.tasks):
        yield {
            **found.place.key,
            "method": "single",
            "member": 0,
            "optimum": False,
            "task": task,
            "weight": 1.0,
            "metric": found.metric,
            "validation": found.single["validation"][:, number].mean(),
            **_statistics.spread(found.single["test"][:, number]),
        }
        for candidate in range(len(found.candidates)):
            yield {
                **found.describe(candidate, number),
                "metric": found.metric,
                "validation": validation[candidate],
                **_statistics.spread(found.joint["test"][candidate, :, number]),
            }
