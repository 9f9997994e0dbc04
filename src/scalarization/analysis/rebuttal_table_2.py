"""R table 2: population-based search against grid search, by accuracy and cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scalarization.analysis import _names, _runs, _searches, _statistics
from scalarization.errors import ConfigError
from scalarization.experiments import Cell, Plan

TYPES = {
    **_runs.PLACE_TYPES,
    **_names.METHOD_TYPES,
    "tasks": "object",
    "weights": "object",
    "trainings": "float64",
    "cost": "string",
    "population": "Int64",
    "epochs_ready": "Int64",
    "quantile": "float64",
    "task": "string",
    "metric": "string",
    **_runs.SPREAD_TYPES,
    "paper_std": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per place, method and task, ``average`` over tasks first: uniform, the best of the grid, PBT and others.

    Returns:
        The place; ``group``, ``method``, ``label``; ``tasks``; ``weights`` in their order: of ``grid`` the point with
        the best mean over seeds of the validation average, of a search the last ones of its policy; ``trainings``, what
        it costs to get there with one seed, and ``cost``, how that is counted; ``population``, ``epochs_ready``,
        ``quantile`` of a search; test values at the last epoch: ``task``, ``metric``, ``mean``, ``std``, ``low``,
        ``high``, ``seeds``, ``by_seed``, ``paper_std`` (as in ``table_methods``). A place that was left out has one row
        with ``present`` false and nulls.

    Raises:
        ConfigError: The experiments have no grid, or nothing that is retrained after a search, on the same tasks.
        DataError: A run file or a history is missing, damaged or incomplete.
    """
    return _runs.table((row for group in compared(plan, artifact) for row in _rows(plan, group)), TYPES)


def compared(plan: Plan, artifact: str) -> list[dict[str, Cell]]:
    """Method -> its cell, for every place of an artifact's experiments that has a grid and a search.

    Raises:
        ConfigError: There is none.
    """
    places: dict[tuple, dict[str, Cell]] = {}
    for cell in _searches.cells(plan, artifact):
        if cell.method in ("grid", "uniform") or _searches.is_direct(cell):
            places.setdefault(_searches.place(cell), {}).setdefault(cell.method, cell)
    found = [group for group in places.values() if "grid" in group and any(map(_searches.is_searched, group.values()))]
    if not found:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: its experiments have no grid beside a model retrained "
            "after a search; add both to the methods of one of them"
        )
    return found


def grid_points(plan: Plan, cell: Cell) -> tuple[str, np.ndarray, np.ndarray, list[tuple[float, ...]]]:
    """What every point of a grid reached.

    Returns:
        Metric; validation and test values [points, seeds, tasks]; the points.
    """
    settings = _runs.Results(plan, cell).settings
    reached = {s: [_searches.reached(plan, cell, s, member) for member, _ in settings] for s in ("validation", "test")}
    validation, test = (np.stack([values for _, values in reached[s]]) for s in ("validation", "test"))
    return reached["test"][0][0], validation, test, [weights for _, weights in settings]


def _rows(plan: Plan, group: dict[str, Cell]) -> Iterator[dict[str, Any]]:
    for method in sorted(group, key=_names.order):
        cell = group[method]
        key = {**_runs.key(cell, cell.task_set, bool(_runs.selected_seeds(plan, cell))), **_names.describe(method)}
        if not key["present"]:
            yield {**key, "task": _names.AVERAGE, **_statistics.spread([])}
            continue
        search = plan.search_of(cell)
        if search:
            metric, values = _searches.reached(plan, cell)
            weights = _searches.history(plan, search)[1].weights[-1]
            known: dict[str, Any] = {"trainings": _searches.cost(search), "cost": "N r + 1"}
            known |= {n: getattr(search, n) for n in ("population", "epochs_ready")}
            known["quantile"] = search.quantile if search.copies else None
        else:
            metric, validation, test, points = grid_points(plan, cell)
            best = _statistics.best(_runs.SIGN[metric] * validation.mean(axis=2))
            values, weights = test[best], points[best]
            known = {"trainings": float(len(points)), "cost": "points" if method == "grid" else None}
        deviations = [_statistics.spread(column)["std"] for column in values.T]
        columns = {_names.AVERAGE: values.mean(axis=1), **dict(zip(cell.tasks, values.T, strict=True))}
        like = {_names.AVERAGE: float(np.sqrt(np.square(deviations).sum())) / len(deviations)}
        like |= dict(zip(cell.tasks, deviations, strict=True))
        for task, found in columns.items():
            spread = _statistics.spread(found)
            known |= {"tasks": list(cell.tasks), "weights": list(weights), "metric": metric}
            yield {**key, **known, "task": task, **spread, "paper_std": like[task]}
