"""Rebuttal table 1a: what the size of the population and the length of its intervals bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scalarization.analysis import names, reported_numbers, result_files, runs, searches, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENTS, ArtifactKind, Source
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

#: Methods without a search that are listed for comparison.
REFERENCES = ("uniform", "rlw")
TYPES = {
    **runs.CAPACITY_TYPES,
    **names.METHOD_TYPES,
    "population": "Int64",
    "epochs_ready": "Int64",
    "quantile": "float64",
    "trainings": "float64",
    "searches": "Int64",
    "metric": "string",
    **runs.SPREAD_TYPES,
    **searches.GAIN_TYPES,
    "reported": "float64",
    "difference": "float64",
    "within_ci": "boolean",
}


class _Entry(NamedTuple):
    """A row before it has numbers.

    Attributes:
        cell: A cell of its method and capacity.
        values: Test values [seeds, tasks]; None if it is not selected.
        trainings: That it takes.
        population: N; None without a search, as the following.
        epochs_ready: E; None for the average over all E as well.
        quantile: Q.
        searches: Searches whose policies its seeds were trained with.
    """

    cell: Cell
    values: np.ndarray | None
    trainings: float | None
    population: int | None = None
    epochs_ready: int | None = None
    quantile: float | None = None
    searches: int | None = None


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per capacity, method, population N and epochs E of an interval, and per method without a search.

    Returns:
        The capacity; ``group``, ``method``, ``label``; ``population`` (null without a search), ``epochs_ready`` (null
        for the average over all E of this population, taken of each seed), ``quantile``; ``trainings`` that it takes, N
        r + 1; ``searches``, how many searches with different seeds the policies come from (1: the deviation is that of
        retraining after one search); test average over tasks of the retrained models at the last epoch: ``metric``,
        ``mean``, ``std``, ``low``, ``high``, ``seeds``, ``diverged`` of them, ``by_seed``; ``gain`` over uniform,
        ``gain_std`` and ``gain_diverged``, paired by seed; ``reported``, the paper's mean, ``difference`` (ours -
        theirs) and ``within_ci`` (theirs is within our t interval), where it has this benchmark, number of tasks and
        setting of the search. A row that is not selected has ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file is missing, damaged or incomplete.
    """
    cells = searches.joint_cells(plan, artifact)
    groups = searches.by_capacity(_retrained(cells))
    return runs.table((row for group in groups for row in _rows(plan, cells, group)), TYPES)


def _retrained(cells: Iterable[Cell]) -> list[Cell]:
    """Cells that are trained with the whole policy of a population-based search on their own architecture."""
    return [cell for cell in cells if searches.is_direct(cell) and _details(cell).get("quantile") is not None]


def _rows(plan: Plan, cells: list[Cell], group: list[Cell]) -> Iterator[dict[str, Any]]:
    references = {method: c for method in REFERENCES if (c := searches.of_method(cells, method, group[0]))}
    selected = [cell for cell in [*references.values(), *group] if runs.selected_seeds(plan, cell)]
    quality = {cell.name: searches.test_quality(plan, cell) for cell in selected}
    metric = next((metric for metric, _ in quality.values()), "")
    values = {name: of_cell for name, (_, of_cell) in quality.items()}
    baseline = values.get(references["uniform"].name) if "uniform" in references else None
    entries = [
        *_searched_entries(plan, group, values),
        *(_Entry(cell, values.get(cell.name), 1.0) for cell in references.values()),
    ]
    for entry in entries:
        row = {
            **searches.capacity_columns(entry.cell, entry.values is not None),
            **names.describe(entry.cell.method),
            "population": entry.population,
            "epochs_ready": entry.epochs_ready,
            "quantile": entry.quantile,
            "trainings": entry.trainings,
            "searches": entry.searches,
            "reported": _reported(plan, entry),
        }
        measured = {} if entry.values is None else _measured(entry.values, baseline, metric, row["reported"])
        yield {**row, **statistics.spread([]), **measured}


def _searched_entries(plan: Plan, group: list[Cell], values: dict[str, np.ndarray]) -> Iterator[_Entry]:
    """Every search, then the average over E of every population of which several E were searched."""
    by_population: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in sorted(group, key=lambda cell: (names.order(cell.method), _setting(cell))):
        population, epochs_ready, quantile = _setting(cell)
        by_population.setdefault((cell.method, population, quantile), []).append(cell)
        count = len(searches.of_cell(plan, cell)) or None
        yield _Entry(cell, values.get(cell.name), _trainings(plan, cell), population, epochs_ready, quantile, count)
    for (_, population, quantile), cells in by_population.items():
        if len(cells) > 1:
            of_cells = [values[cell.name] for cell in cells if cell.name in values]
            complete = len(of_cells) == len(cells) and len({len(v) for v in of_cells}) == 1
            mean = np.mean(of_cells, axis=0) if complete else None
            count = min(len(searches.of_cell(plan, cell)) for cell in cells) or None
            yield _Entry(cells[0], mean, _trainings(plan, cells[0]), population, None, quantile, count)


def _measured(values: np.ndarray, baseline: np.ndarray | None, metric: str, reported: float | None) -> dict[str, Any]:
    spread = statistics.spread(values.mean(axis=1), result_files.limits(metric))
    measured = {"metric": metric, **searches.gain_columns(values, baseline, metric), **spread}
    if reported is not None:
        measured["difference"] = spread["mean"] - reported
        measured["within_ci"] = statistics.within_ci(spread, reported)
    return measured


def _trainings(plan: Plan, cell: Cell) -> float | None:
    search = plan.search_of(cell)
    return searches.num_trainings(search) if search else None


def _details(cell: Cell) -> dict[str, Any]:
    """The search that a cell takes its weights from; empty without one."""
    reference = cell.specification.search
    return dict(reference.details) if reference else {}


def _setting(cell: Cell) -> tuple[int, int, float]:
    details = _details(cell)
    return details["population"], details["epochs_ready"], details["quantile"]


def _reported(plan: Plan, entry: _Entry) -> float | None:
    cell = entry.cell
    if not plan.benchmarks[cell.benchmark].reported or cell.method not in ("pbt", *REFERENCES):
        return None
    table = reported_numbers.population().get((cell.benchmark, len(cell.tasks)), {})
    return table.get((entry.population or cell.method, entry.epochs_ready, entry.quantile))


def _searched_populations(source: Source) -> str | None:
    """A model is retrained after a population-based search."""
    if _retrained(source.cells):
        return None
    return "its experiments retrain nothing after a search; add one with method pbt or pb2"


KIND = ArtifactKind(
    "rebuttal_table_1a", "table", "runs", EXPERIMENTS, summarize, (_searched_populations,), columns=TYPES
)
