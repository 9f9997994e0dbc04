"""Figure D (paper A 2.2): the difference to the SD baseline at training time beside the one at test time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _runs, _statistics
from scalarization.experiments import Plan

TYPES = {**_runs.PLACE_TYPES, **_runs.CANDIDATE_TYPES, "split": "string", "metric": "string", **_runs.SPREAD_TYPES}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, weight setting, task and split (train, test).

    Returns:
        Columns of the place; ``method``, ``member``, ``heuristic``, ``optimum`` (whether it is p*, chosen on
        validation), ``task``, ``weight`` (p of the task), ``split``, ``metric``; ``mean``, ``std``, ``low``,
        ``high``, ``by_seed``: joint - SD at the last epoch, paired by seed, in percentage points for accuracy, sign
        flipped for losses. A capacity that was left out has one row per task with ``present`` false and nulls.

    Raises:
        ConfigError: The experiment has no SD baselines, or no joint training with constant weights, or ``only:`` left
            nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    return _runs.table(_runs.place_rows(_runs.comparisons(plan, artifact), _rows), TYPES)


def _rows(found: _runs.Comparison) -> Iterator[dict[str, Any]]:
    for split in ("train", "test"):
        difference = found.difference(split)
        for number in range(len(found.place.tasks)):
            for candidate in range(len(found.candidates)):
                yield {
                    **found.describe(candidate, number),
                    "split": split,
                    "metric": found.metric,
                    **_statistics.spread(difference[candidate, :, number]),
                }
