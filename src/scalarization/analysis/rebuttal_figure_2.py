"""R table 2, right: the weights that a search of three tasks visited, over what the grid reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _names, _runs, _searches, rebuttal_table_2
from scalarization.errors import ConfigError
from scalarization.experiments import Cell, Plan

#: Corners of the picture.
TASKS = 3
TYPES = {
    "part": "string",
    **_runs.PLACE_TYPES,
    **_names.METHOD_TYPES,
    "tasks": "object",
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
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Rows of two parts for every place with a grid and a search, both on the same three tasks.

    Returns:
        ``part``, the place, ``group``, ``method``, ``label``, ``tasks`` and ``weights`` in their order.

        ``grid``: one row per point (``member``, its number): ``metric``, and of models trained on the whole training
        set ``score``, the validation average over tasks at the last epoch, mean over seeds, and ``test``, the test
        average.

        ``search``: one row per member of the search and interval (``last_epoch`` is where it ends): ``score``,
        validation average at its end; ``weights_before``, those of the interval it goes on from, its own or another
        member's (empty in the first); ``explored``, whether they were changed; ``policy``, whether this is part of the
        policy.

        A place that was left out has one row with ``present`` false and nulls.

    Raises:
        ConfigError: There is no grid beside a search, or there are not three tasks.
        DataError: A run file or a history is missing, damaged or incomplete.
    """
    groups = rebuttal_table_2.compared(plan, artifact)
    for cell in (group["grid"] for group in groups):
        if len(cell.tasks) != TASKS:
            raise ConfigError(
                f"{plan.config.preset_file}: artifacts.{artifact}: task set '{cell.task_set}' has {len(cell.tasks)} "
                f"tasks; the simplex is drawn for {TASKS}"
            )
    return _runs.table((row for group in groups for row in _rows(plan, group)), TYPES)


def _rows(plan: Plan, group: dict[str, Cell]) -> Iterator[dict[str, Any]]:
    for method in sorted(group, key=_names.order):
        cell = group[method]
        if method == "uniform":
            continue
        key = {**_runs.key(cell, cell.task_set, bool(_runs.selected_seeds(plan, cell))), **_names.describe(method)}
        part = "grid" if method == "grid" else "search"
        if not key["present"]:
            yield {"part": part, **key}
            continue
        found = _grid_rows if method == "grid" else _search_rows
        for row in found(plan, cell):
            yield {"part": part, **key, "tasks": list(cell.tasks), **row}


def _grid_rows(plan: Plan, cell: Cell) -> Iterator[dict[str, Any]]:
    metric, validation, test, points = rebuttal_table_2.grid_points(plan, cell)
    for member, weights in enumerate(points):
        means = {"score": validation[member].mean(), "test": test[member].mean()}
        yield {"member": member, "weights": list(weights), "metric": metric, **means}


def _search_rows(plan: Plan, cell: Cell) -> Iterator[dict[str, Any]]:
    rows, policy = _searches.history(plan, plan.search_of(cell))
    weights = {(row["interval"], row["member"]): row["weights"] for row in rows}
    on_policy = set(enumerate(policy.lineage, 1))
    for row in rows:
        before = weights[row["interval"] - 1, row["parent"]] if row["interval"] > 1 else []
        yield {
            "member": row["member"],
            "interval": row["interval"],
            "last_epoch": row["epoch"],
            "weights": row["weights"],
            "weights_before": before,
            "explored": row["explored"],
            "policy": (row["interval"], row["member"]) in on_policy,
            "score": row["score"],
        }
