"""Main-text tables 1 and 2: the average over tasks of every method, on several benchmarks and capacities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _methods, _names, _reported, _runs, _statistics
from scalarization.experiments import Plan


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """As ``table_methods``, of several experiments, the rows of ``average`` only, and of each method one.

    Of searched weights that is what the paper's tables have: the whole policy of a search on the very architecture.

    Returns:
        The columns of ``table_methods``. Of a benchmark of the paper, rows without an ``architecture`` hold what the
        authors' poster reports (``reported_mean``, ``reported_std``); it does not state the capacity.

    Raises:
        ConfigError: Nothing is trained jointly, or ``only:`` left nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    return _runs.table(_rows(plan, artifact), _methods.TYPES)


def _rows(plan: Plan, artifact: str) -> Iterator[dict[str, Any]]:
    found = _methods.places(plan, artifact)
    for place in found:
        place.joint = {line: cell for line, cell in place.joint.items() if not line[1]} or place.joint
        yield from (row for row in _methods.rows(plan, place) if row["task"] == _names.AVERAGE)
    cells = [cell for place in found for cell in place.joint.values()]
    for benchmark in dict.fromkeys(cell.benchmark for cell in cells):
        if not plan.info(benchmark).reported:
            continue
        for method, theirs in _reported.poster().get(benchmark, {}).items():
            yield {
                "benchmark": benchmark,
                "present": True,
                **_names.describe(method),
                "task": _names.AVERAGE,
                "metric": "accuracy",
                **_statistics.spread([]),
                "reported_mean": theirs.mean,
                "reported_std": theirs.std,
            }
