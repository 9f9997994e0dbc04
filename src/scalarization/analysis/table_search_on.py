"""Searched on a small model, retrained on a large one: quality and cost, compared with the direct search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import names, preconditions, result_files, runs, searches, statistics
from scalarization.plan import Plan, estimates
from scalarization.plan.artifacts import EXPERIMENTS, SEARCHES, ArtifactKind, Source
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **runs.CONDITION_TYPES,
    **names.METHOD_TYPES,
    "searched_on": "string",
    "population": "Int64",
    "epochs_ready": "Int64",
    "searches": "Int64",
    "metric": "string",
    **runs.SPREAD_TYPES,
    **searches.GAIN_TYPES,
    "flops": "float64",
    "trainings": "float64",
    "of_direct": "float64",
    "search_seconds": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per capacity and way to its weights: uniform, a search on the same architecture, searches on others.

    Returns:
        The condition; ``group``, ``method``, ``label``; ``searched_on``, an architecture, null without a search;
        ``population``, ``epochs_ready`` of the search; ``searches``, how many searches with different seeds the
        policies come from; test average over tasks at the last epoch: ``metric``, ``mean``, ``std``, ``low``, ``high``,
        ``seeds``, ``diverged`` of them, ``by_seed``; ``gain`` over uniform, ``gain_std`` and ``gain_diverged``, paired
        by seed; ``flops`` of search and one training (forward, and twice that backward); ``trainings``, the same in
        trainings of the row's architecture; ``of_direct``, the same relative to the direct search by the same method;
        ``search_seconds``, measured, of training and validation of all members, mean over these searches. A row that is
        not selected has ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file or a history is missing, damaged or incomplete.
    """
    cells = searches.joint_cells(plan, artifact)
    return runs.table((row for group in _compared(cells) for row in _rows(plan, cells, group)), TYPES)


def _compared(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Searched cells of each capacity and method that has one searched on another architecture."""
    whole = [cell for cell in cells if searches.uses_whole_policy(cell)]
    elsewhere = {(searches.capacity(cell), cell.method) for cell in whole if not searches.is_direct(cell)}
    return searches.by_capacity(cell for cell in whole if (searches.capacity(cell), cell.method) in elsewhere)


def _rows(plan: Plan, cells: list[Cell], group: list[Cell]) -> Iterator[dict[str, Any]]:
    uniform = searches.of_method(cells, "uniform", group[0])
    baseline: np.ndarray | None = None
    if uniform and runs.selected_seeds(plan, uniform):
        _, baseline = searches.test_quality(plan, uniform)
    ordered = sorted(group, key=lambda c: (names.order(c.method), not searches.is_direct(c), _flops(plan, c)))
    direct = {cell.method: _flops(plan, cell) for cell in reversed(ordered) if searches.is_direct(cell)}
    for cell in [*([uniform] if uniform else []), *ordered]:
        flops = _flops(plan, cell)
        row = {
            **runs.condition_columns(cell, bool(runs.selected_seeds(plan, cell))),
            **names.describe(cell.method),
            **statistics.spread([]),
            "flops": flops,
            "trainings": flops / estimates.flops(plan, cell),
            "of_direct": flops / direct[cell.method] if cell.method in direct else None,
        }
        yield {**row, **_search_columns(plan, cell), **_measured(plan, cell, baseline)}


def _search_columns(plan: Plan, cell: Cell) -> dict[str, Any]:
    search = plan.search_of(cell)
    if search is None:
        return {}
    return {
        "searched_on": search.cell.architecture.name,
        "population": search.population,
        "epochs_ready": search.epochs_ready,
    }


def _measured(plan: Plan, cell: Cell, baseline: np.ndarray | None) -> dict[str, Any]:
    """What is read from files; nothing of a cell that is not selected."""
    if not runs.selected_seeds(plan, cell):
        return {}
    metric, values = searches.test_quality(plan, cell)
    measured = {"metric": metric, **searches.gain_columns(values, baseline, metric)}
    if used := searches.of_cell(plan, cell):
        seconds = [sum(row["seconds"] for row in result_files.read_search(plan, search)[0]) for search in used]
        measured |= {"searches": len(used), "search_seconds": float(np.mean(seconds))}
    return {**measured, **statistics.spread(values.mean(axis=1), result_files.limits(metric))}


def _flops(plan: Plan, cell: Cell) -> float:
    """Of one training of a cell and, before it, the search of its weights."""
    search = plan.search_of(cell)
    searching = search.population * estimates.flops(plan, search.cell) if search else 0
    return estimates.flops(plan, cell) + searching


def _trained_with(source: Source) -> list[Cell]:
    """The models whose searches the artifact shows."""
    return [cell for group in _compared(source.cells) for cell in group]


def _searched_elsewhere(source: Source) -> str | None:
    """A model is trained with weights that were searched on another architecture."""
    if _compared(source.cells):
        return None
    return (
        "its experiments train nothing with weights that were searched on another architecture; add a variant with "
        "search_on"
    )


KIND = ArtifactKind(
    "table_search_on",
    "table",
    "runs",
    EXPERIMENTS + SEARCHES,
    summarize,
    (_searched_elsewhere, preconditions.searches_listed(_trained_with)),
    columns=TYPES,
)
