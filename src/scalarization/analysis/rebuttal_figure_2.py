"""Rebuttal table 2, right: the weights that a search of three tasks visited, over what the grid reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import names, preconditions, rebuttal_table_2, result_files, runs, searches
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENTS, SEARCHES, ArtifactKind, Source
from scalarization.plan.cells import Cell, Search

if TYPE_CHECKING:
    import pandas as pd

#: Corners of the simplex that is drawn.
NUM_TASKS = 3
TYPES = {
    "part": "string",
    **runs.CONDITION_TYPES,
    **names.METHOD_TYPES,
    "tasks": "object",
    "weight_setting": "Int64",
    "member": "Int64",
    "interval": "Int64",
    "last_epoch": "Int64",
    "weights": "object",
    "weights_before": "object",
    "explored": "boolean",
    "policy": "boolean",
    "metric": "string",
    "score": "float64",
    "test": "float64",
    "diverged": "boolean",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Rows of two parts for every capacity with a grid and a search, both on the same three tasks.

    Returns:
        ``part``, the condition, ``group``, ``method``, ``label``, ``tasks`` and ``weights`` in their order.

        ``grid``: one row per point (``weight_setting``, its number): ``metric``, and of models trained on the whole
        training set ``score``, the validation average over tasks at the last epoch, mean over seeds, and ``test``, the
        test average; ``diverged``, whether one of them diverged, so that there are no such means.

        ``search``: one row per ``member`` of the population and interval (``last_epoch`` is where it ends): ``score``,
        validation average at its end, null if it ``diverged``; ``weights_before``, those of the interval whose state it
        continues, its own or another member's (empty in the first); ``explored``, whether they were changed;
        ``policy``, whether this is part of the policy. If a search is repeated, they are those of the first one; of a
        search of the learning rate there are none.

        What is not selected has one row with ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file or a history is missing, damaged or incomplete.
    """
    groups = rebuttal_table_2.compared(searches.joint_cells(plan, artifact))
    return runs.table((row for group in groups for row in _rows(plan, group)), TYPES)


def _rows(plan: Plan, group: dict[str, Cell]) -> Iterator[dict[str, Any]]:
    for method in sorted(group, key=names.order):
        cell = group[method]
        search = plan.search_of(cell)
        if method == "uniform" or (search and search.varies_lr):
            continue
        present = bool(runs.selected_seeds(plan, cell))
        columns = {
            "part": "search" if search else "grid",
            **runs.condition_columns(cell, present),
            **names.describe(method),
        }
        if not present:
            yield columns
            continue
        for row in _search_rows(plan, searches.of_cell(plan, cell)[0]) if search else _grid_rows(plan, cell):
            yield {**columns, "tasks": list(cell.tasks), **row}


def _grid_rows(plan: Plan, cell: Cell) -> Iterator[dict[str, Any]]:
    grid = rebuttal_table_2.grid_results(plan, cell)
    for number, weights in enumerate(grid.weights):
        yield {
            "weight_setting": number,
            "weights": list(weights),
            "metric": grid.metric,
            "score": grid.validation[number].mean(),
            "test": grid.test[number].mean(),
            "diverged": bool(np.isnan(grid.validation[number]).any()),
        }


def _search_rows(plan: Plan, search: Search) -> Iterator[dict[str, Any]]:
    rows, policy = result_files.read_search(plan, search)
    weights = {(row["interval"], row["member"]): row["weights"] for row in rows}
    on_policy = set(enumerate(policy.lineage, 1)) if policy else set()
    for row in rows:
        yield {
            "member": row["member"],
            "interval": row["interval"],
            "last_epoch": row["epoch"],
            "weights": row["weights"],
            "weights_before": weights[row["interval"] - 1, row["parent"]] if row["interval"] > 1 else [],
            "explored": row["explored"],
            "policy": (row["interval"], row["member"]) in on_policy,
            **searches.scored(row),
        }


def _three_tasks(source: Source) -> str | None:
    """Every task set that is compared has three tasks."""
    for group in rebuttal_table_2.compared(source.cells):
        cell = group["grid"]
        if len(cell.tasks) != NUM_TASKS:
            return f"task set '{cell.task_set}' has {len(cell.tasks)} tasks; the simplex is drawn for {NUM_TASKS}"
    return None


KIND = ArtifactKind(
    "rebuttal_figure_2",
    "figure",
    "runs",
    EXPERIMENTS + SEARCHES,
    summarize,
    (rebuttal_table_2.grid_and_search, preconditions.searches_listed(rebuttal_table_2.trained_with), _three_tasks),
    columns=TYPES,
)
