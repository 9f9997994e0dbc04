"""Figure E of the appendix: the weights that each search's policy gives to the tasks, over the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _runs, _searches
from scalarization.experiments import Plan
from scalarization.searches import Search

TYPES = {
    **_searches.TYPES,
    "interval": "Int64",
    "first_epoch": "Int64",
    "last_epoch": "Int64",
    "member": "Int64",
    "copied": "boolean",
    "score": "float64",
    "task": "string",
    "task_number": "Int64",
    "weight": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per search, interval and task.

    Returns:
        Columns of :data:`_searches.TYPES`; ``interval``, counted from 1, which goes from the end of epoch
        ``first_epoch`` to that of ``last_epoch``; ``member`` that was trained in it, the best one's ancestor;
        ``copied``, whether it went on from another member's state; ``score`` at the interval's end, the validation
        average over tasks (percent; of losses the negative); ``task``; ``task_number``, its place among all tasks of
        the benchmark that the artifact's searches have, so that it can have the same colour in all panels; ``weight``
        of the task. A search that was left out has one row with ``present`` false and nulls.

    Raises:
        ConfigError: The artifact names no searches, or ``only:`` left nothing of them.
        DataError: A history is missing, damaged, or not whole.
    """
    searches = _searches.planned(plan, artifact)
    return _runs.table((row for s in searches for row in _rows(plan, s, searches)), TYPES)


def _rows(plan: Plan, search: Search, searches: list[Search]) -> Iterator[dict[str, Any]]:
    known = _searches.describe(plan, search)
    if not known["present"]:
        yield known
        return
    same = (s.cell for s in searches if s.cell.benchmark == search.cell.benchmark)
    numbers = {task: n for n, task in enumerate(dict.fromkeys(t for cell in same for t in cell.tasks))}
    rows, policy = _searches.history(plan, search)
    trained = {(row["interval"], row["member"]): row for row in rows}
    first = 0
    for interval, (member, end, weights) in enumerate(zip(policy.lineage, policy.ends, policy.weights, strict=True), 1):
        row = trained[interval, member]
        for task, weight in zip(search.cell.tasks, weights, strict=True):
            yield {
                **known,
                "interval": interval,
                "first_epoch": first,
                "last_epoch": end,
                "member": member,
                "copied": row["copied"],
                "score": row["score"],
                "task": task,
                "task_number": numbers[task],
                "weight": weight,
            }
        first = end
