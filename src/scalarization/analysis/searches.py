"""Searches of task weights: what they are, what they should take, and the models retrained with their policies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from scalarization.analysis import names, runs, statistics
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell, Search

#: Columns of one search. ``search_seed``: its seed index; ``repetitions``: how many searches differ from it in that
#: alone, itself included; ``population``: number of members N; ``epochs_ready``: epochs E of an interval; ``quantile``:
#: Q; ``fraction``: r; ``present``: whether it is selected.
TYPES = {
    "search": "string",
    "search_seed": "Int64",
    "repetitions": "Int64",
    **names.METHOD_TYPES,
    **runs.CAPACITY_TYPES,
    "population": "Int64",
    "epochs_ready": "Int64",
    "quantile": "float64",
    "fraction": "float64",
    "intervals": "Int64",
}
#: Columns of :func:`gain_columns`.
GAIN_TYPES = {"gain": "float64", "gain_std": "float64", "gain_diverged": "Int64"}


def columns(plan: Plan, search: Search) -> dict[str, Any]:
    """Values of the columns :data:`TYPES`."""
    return {
        "search": search.key,
        "search_seed": search.seed,
        "repetitions": search.repetitions,
        **names.describe(search.method),
        **capacity_columns(search.cell, search.name in plan.searches),
        "population": search.population,
        "epochs_ready": search.epochs_ready,
        "quantile": search.quantile if search.exploits else None,
        "fraction": search.cell.specification.fraction,
        "intervals": len(search.interval_ends),
    }


def capacity_columns(cell: Cell, present: bool) -> dict[str, Any]:
    """Values of the columns :data:`runs.CAPACITY_TYPES`."""
    condition = runs.condition_columns(cell, present)
    return {name: condition[name] for name in runs.CAPACITY_TYPES}


def planned(plan: Plan, artifact: str) -> list[Search]:
    """The searches that an artifact queries, whether selected or not.

    Raises:
        ConfigError: ``only:`` selects none of them.
    """
    if not artifacts.searches_of(plan, artifact):
        raise runs.nothing_selected(plan, artifact)
    return artifacts.planned_searches(plan, artifact)


def of_cell(plan: Plan, cell: Cell) -> list[Search]:
    """The searches that a cell's selected runs were trained with, each once, in the order of the seeds.

    Args:
        plan: The plan.
        cell: As in ``plan.experiments``.

    Returns:
        One search, or several if it is repeated; none if the weights are not searched, or nothing is selected.
    """
    reference = cell.specification.search
    if reference is None:
        return []
    names_of_seeds = (reference.of_seed(seed).name for seed in runs.selected_seeds(plan, cell))
    return [plan.all_searches[name] for name in dict.fromkeys(names_of_seeds)]


def scored(row: dict[str, Any]) -> dict[str, Any]:
    """Columns ``score`` and ``diverged`` of a row of a history: the score of a member that diverged is null."""
    diverged = row["score"] == -np.inf
    return {"score": None if diverged else row["score"], "diverged": diverged}


def num_trainings(search: Search) -> float:
    """Trainings that a search and the retraining after it take, N r + 1: a search epoch has r times the steps."""
    return search.population * (search.cell.specification.fraction or 1) + 1


def is_searched(cell: Cell) -> bool:
    """Whether a cell takes its weights, or its learning rate, from a search."""
    return cell.specification.search is not None


def searches_weights(cell: Cell) -> bool:
    """Whether a cell takes its weights from a search; with a searched learning rate they are uniform."""
    return is_searched(cell) and cell.method != "search_lr"


def uses_whole_policy(cell: Cell) -> bool:
    """Whether a cell takes its weights from a search, changing over the epochs as the search found them."""
    return cell.specification.search is not None and cell.specification.search.policy == "whole"


def is_direct(cell: Cell) -> bool:
    """Whether a cell is trained with the whole policy of a search on its own architecture."""
    return is_searched(cell) and not detail(cell)


def detail(cell: Cell) -> str:
    """How a cell's weights differ from the whole policy of a search on its own architecture; empty if they do not."""
    reference = cell.specification.search
    if reference is None:
        return ""
    differences = []
    if reference.architecture != cell.architecture.name:
        differences.append(f"searched on {reference.architecture}")
    if reference.policy != "whole":
        differences.append("last weights")
    return ", ".join(differences)


def joint_cells(plan: Plan, artifact: str) -> list[Cell]:
    """Cells of joint training of an artifact's experiments, each once, in order, whether selected or not.

    Where two experiments ask for the same cell, the first one determines which of its runs are used.

    Raises:
        ConfigError: ``only:`` selects none of them.
    """
    cells: dict[str, Cell] = {}
    for experiment in artifacts.experiments_of(plan, artifact):
        for cell in plan.experiments[experiment]:
            if cell.method != "single":
                cells.setdefault(cell.name, cell)
    if not any(name in plan.cells for name in cells):
        raise runs.nothing_selected(plan, artifact)
    return list(cells.values())


def capacity(cell: Cell) -> tuple[Any, ...]:
    """What must be equal for two cells to be compared: benchmark, tasks and architecture."""
    return (cell.benchmark, cell.task_set, cell.tasks, cell.architecture)


def by_capacity(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that can be compared with one another, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(capacity(cell), []).append(cell)
    return list(groups.values())


def of_method(cells: Iterable[Cell], method: str, like: Cell) -> Cell | None:
    """The first cell of a method that can be compared with another cell."""
    return next((cell for cell in cells if cell.method == method and capacity(cell) == capacity(like)), None)


def test_quality(plan: Plan, cell: Cell) -> tuple[str, np.ndarray]:
    """Metric of quality, and its test values at the last epoch, [seeds, tasks]; NaN of runs that diverged.

    Raises:
        DataError: The run file is missing or damaged, or its rows are not those of the cell.
    """
    results = runs.CellResults(plan, cell)
    return results.metric, results.by_task("test", results.metric)


def gain_columns(values: np.ndarray, baseline: np.ndarray | None, metric: str) -> dict[str, Any]:
    """Average over tasks minus that of a baseline, paired by seed, positive where it is better.

    Args:
        values: [seeds, tasks].
        baseline: [seeds, tasks]; None if there is none.
        metric: Metric of both.

    Returns:
        Values of the columns :data:`GAIN_TYPES`; ``gain_diverged`` is the number of seeds of which a run diverged. All
        are null without a baseline, or if that has other seeds.
    """
    if baseline is None or len(baseline) != len(values):
        return dict.fromkeys(GAIN_TYPES)
    spread = statistics.spread(runs.sign(metric) * (values - baseline).mean(axis=1))
    return {"gain": spread["mean"], "gain_std": spread["std"], "gain_diverged": spread["diverged"]}
