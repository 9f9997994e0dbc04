"""Rebuttal table 2: population-based search against grid search, by accuracy and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scalarization.analysis import (
    cross_fitting,
    method_lines,
    names,
    preconditions,
    result_files,
    runs,
    searches,
    statistics,
)
from scalarization.analysis.table_tests import Column, LineValues
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENTS, SEARCHES, ArtifactKind, Source
from scalarization.plan.cells import Cell, Search

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **runs.CONDITION_TYPES,
    **names.METHOD_TYPES,
    "tasks": "object",
    "weights": "object",
    **runs.SETTINGS_TYPES,
    "trainings": "float64",
    "cost": "string",
    "population": "Int64",
    "epochs_ready": "Int64",
    "quantile": "float64",
    "searches": "Int64",
    "task": "string",
    "metric": "string",
    **runs.SPREAD_TYPES,
    "paper_std": "float64",
    "best": "boolean",
}


class GridResults(NamedTuple):
    """What every point of a grid reached at the last epoch.

    Attributes:
        metric: Metric of quality.
        weights: Weights of each point.
        validation: Values [points, seeds, tasks].
        test: The same on test.
    """

    metric: str
    weights: list[tuple[float, ...]]
    validation: np.ndarray
    test: np.ndarray


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per capacity, method and task, ``average`` over tasks first: uniform, the best of the grid, PBT, others.

    Returns:
        The condition; ``group``, ``method``, ``label``; ``tasks``; ``weights`` in their order: of ``grid`` the point
        with the best mean over seeds of the validation average (empty if each has a diverged run; ``settings`` and
        ``settings_diverged`` count them), of a search the last ones of its policy, of repeated searches the first
        one's; ``trainings`` that it takes to reach them with one seed, and ``cost``, how these are counted;
        ``population``, ``epochs_ready``, ``quantile`` of a search, and ``searches``, how many searches with different
        seeds the policies come from; test values at the last epoch: ``task``, ``metric``, ``mean``, ``std``, ``low``,
        ``high``, ``seeds``, ``diverged``, ``by_seed``, ``paper_std``, ``best`` (as in ``table_methods``). Of a grid
        each seed is measured at the point that the other seeds choose. What is not selected has one row with
        ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file or a history is missing, damaged or incomplete.
    """
    groups = compared(searches.joint_cells(plan, artifact))
    return runs.table((row for group in groups for row in _rows(plan, group)), TYPES)


def compared(cells: Iterable[Cell]) -> list[dict[str, Cell]]:
    """Method -> its cell, for every capacity that has a grid and a search; uniform among them."""
    groups: list[dict[str, Cell]] = []
    kept = (cell for cell in cells if cell.method in ("grid", "uniform") or searches.is_direct(cell))
    for group in searches.by_capacity(kept):
        by_method: dict[str, Cell] = {}
        for cell in group:
            by_method.setdefault(cell.method, cell)
        if "grid" in by_method and any(map(searches.searches_weights, by_method.values())):
            groups.append(by_method)
    return groups


def grid_results(plan: Plan, cell: Cell) -> GridResults:
    """What every point of a grid reached.

    Raises:
        DataError: A run is missing or incomplete.
    """
    results = runs.CellResults(plan, cell)
    validation, test = (
        np.stack([results.by_task(split, results.metric, number) for number, _ in results.weight_settings])
        for split in ("validation", "test")
    )
    return GridResults(results.metric, [weights for _, weights in results.weight_settings], validation, test)


def grid_and_search(source: Source) -> str | None:
    """The experiments have a grid, and a model retrained after a search, on the same tasks and capacity."""
    if compared(source.cells):
        return None
    return (
        "its experiments have no grid on the same tasks and architecture as a model retrained after a search; add both "
        "to the methods of one of them"
    )


def trained_with(source: Source) -> list[Cell]:
    """The models whose searches the artifact shows."""
    return [cell for group in compared(source.cells) for cell in group.values()]


class _Entry(NamedTuple):
    """A method before it has rows.

    Attributes:
        columns: Columns of its condition, its method, and how it comes to its weights.
        seeds: Its seeds.
        metric: Metric of quality.
        values: Test values [seeds, tasks]; of a grid at the point that the other seeds choose.
        adjusted: The same with a deviation that includes what this choice adds, for intervals and tests.
    """

    columns: dict[str, Any]
    seeds: tuple[int, ...]
    metric: str
    values: np.ndarray
    adjusted: np.ndarray


def _rows(plan: Plan, group: dict[str, Cell]) -> Iterator[dict[str, Any]]:
    tasks = next(iter(group.values())).tasks
    entries: list[_Entry] = []
    for method in sorted(group, key=names.order):
        cell = group[method]
        seeds = runs.selected_seeds(plan, cell)
        columns = {**runs.condition_columns(cell, bool(seeds)), **names.describe(method)}
        if not seeds:
            yield {**columns, "task": names.AVERAGE, **statistics.spread([])}
            continue
        search = plan.search_of(cell)
        entry = _searched(plan, cell, search) if search else _best_point(plan, cell)
        entries.append(entry._replace(columns={**columns, "tasks": list(tasks), **entry.columns}))
    for task in (names.AVERAGE, *tasks):
        yield from _task_rows(entries, tasks, task)


def _task_rows(entries: list[_Entry], tasks: tuple[str, ...], task: str) -> Iterator[dict[str, Any]]:
    """Rows of all methods for one task or the average, with the tests over them."""
    lines = [LineValues(e.seeds, method_lines.of_task(e.adjusted, tasks, task)) for e in entries]
    if not entries:
        return
    column = Column(lines, runs.sign(entries[0].metric))
    best = column.best(range(len(entries))).lines
    for number, entry in enumerate(entries):
        spread = method_lines.spread_by_task(tasks, entry.values, entry.metric)[task]
        interval = statistics.spread(lines[number].values, result_files.limits(entry.metric))
        yield {
            **entry.columns,
            "metric": entry.metric,
            "task": task,
            **spread,
            "low": interval["low"],
            "high": interval["high"],
            "best": number in best,
        }


def _searched(plan: Plan, cell: Cell, search: Search) -> _Entry:
    """A model retrained after a search."""
    metric, values = searches.test_quality(plan, cell)
    used = searches.of_cell(plan, cell)
    _, policy = result_files.read_search(plan, used[0])
    columns = {
        "weights": list(policy.weights[-1]) if policy else [],
        "trainings": searches.num_trainings(search),
        "cost": "N r + 1",
        "population": search.population,
        "epochs_ready": search.epochs_ready,
        "quantile": search.quantile if search.exploits else None,
        "searches": len(used),
    }
    return _Entry(columns, tuple(runs.selected_seeds(plan, cell)), metric, values, values)


def _best_point(plan: Plan, cell: Cell) -> _Entry:
    """The best point of a grid, or uniform weights."""
    grid = grid_results(plan, cell)
    scores = runs.sign(grid.metric) * grid.validation.mean(axis=2)
    number = statistics.representative(scores)
    is_known = len(scores) == 1 or statistics.best(scores) is not None
    columns = {
        "weights": list(grid.weights[number]) if is_known else [],
        **statistics.settings_columns(scores),
        "trainings": float(len(grid.weights)),
        "cost": "points" if cell.method == "grid" else None,
    }
    fitted = cross_fitting.cross_fit_best(scores, grid.test)
    return _Entry(columns, tuple(runs.selected_seeds(plan, cell)), grid.metric, fitted.values, fitted.adjusted)


KIND = ArtifactKind(
    "rebuttal_table_2",
    "table",
    "runs",
    EXPERIMENTS + SEARCHES,
    summarize,
    (grid_and_search, preconditions.searches_listed(trained_with)),
    columns=TYPES,
)
