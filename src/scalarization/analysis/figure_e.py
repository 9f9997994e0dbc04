"""Figure E of the appendix: the weights that each search's policy gives to the tasks, over the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import result_files, runs, searches
from scalarization.plan import Plan
from scalarization.plan.artifacts import SEARCHES, ArtifactKind, Source
from scalarization.plan.cells import Search

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **searches.TYPES,
    "interval": "Int64",
    "first_epoch": "Int64",
    "last_epoch": "Int64",
    "member": "Int64",
    "copied": "boolean",
    "score": "float64",
    "diverged": "boolean",
    "task": "string",
    "task_number": "Int64",
    "weight": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per search, interval and task.

    Returns:
        Columns of :data:`searches.TYPES`; ``interval``, counted from 1, which goes from the end of epoch
        ``first_epoch`` to that of ``last_epoch``; ``member`` of the population that was trained in it: the best
        member at the end, or the member whose state it descends from; ``copied``, whether that member took over
        another member's state; ``score`` at the interval's end, the validation average over tasks (percent; of losses
        the negative); ``task``; ``task_number``, its place among all tasks of the benchmark that the artifact's
        searches have, so that it can have the same colour in all panels; ``weight`` of the task. A search that is not
        selected has one row with ``present`` false and nulls. One all of whose members diverged has no policy: one row
        with ``diverged`` true and nulls.

    Raises:
        ConfigError: ``only:`` selects none of the searches.
        DataError: A history is missing, damaged or incomplete.
    """
    planned = searches.planned(plan, artifact)
    return runs.table((row for search in planned for row in _rows(plan, search, planned)), TYPES)


def _rows(plan: Plan, search: Search, planned: list[Search]) -> Iterator[dict[str, Any]]:
    columns = searches.columns(plan, search)
    if not columns["present"]:
        yield columns
        return
    cells = (other.cell for other in planned if other.cell.benchmark == search.cell.benchmark)
    numbers = {task: n for n, task in enumerate(dict.fromkeys(t for cell in cells for t in cell.tasks))}
    rows, policy = result_files.read_search(plan, search)
    if policy is None:
        yield {**columns, "diverged": True}
        return
    trained = {(row["interval"], row["member"]): row for row in rows}
    first_epoch = 0
    for interval, (member, weights) in enumerate(zip(policy.lineage, policy.weights, strict=True), 1):
        row = trained[interval, member]
        for task, weight in zip(search.cell.tasks, weights, strict=True):
            yield {
                **columns,
                "interval": interval,
                "first_epoch": first_epoch,
                "last_epoch": row["epoch"],
                "member": member,
                "copied": row["copied"],
                "score": row["score"],
                "diverged": False,
                "task": task,
                "task_number": numbers[task],
                "weight": weight,
            }
        first_epoch = row["epoch"]


def _searched_weights(source: Source) -> str | None:
    """All of its searches determine weights."""
    for search in source.searches:
        if search.varies_lr:
            return (
                f"search '{search.key}' is one of the learning rate, and all of its weights are uniform; leave it out"
            )
    return None


KIND = ArtifactKind("figure_e", "figure", "runs", SEARCHES, summarize, (_searched_weights,), columns=TYPES)
