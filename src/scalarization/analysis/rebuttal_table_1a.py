"""R table 1a: what the size of the population and the length of its intervals bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scalarization.analysis import _names, _reported, _runs, _searches, _statistics
from scalarization.errors import ConfigError
from scalarization.experiments import Cell, Plan

#: Methods without a search that stand beside.
REFERENCES = ("uniform", "rlw")
TYPES = {
    **_names.PLACE_TYPES,
    **_names.METHOD_TYPES,
    "population": "Int64",
    "epochs_ready": "Int64",
    "quantile": "float64",
    "trainings": "float64",
    "metric": "string",
    **_runs.SPREAD_TYPES,
    "gain": "float64",
    "gain_std": "float64",
    "reported": "float64",
    "difference": "float64",
    "inside": "boolean",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per place, method, population N and epochs E of an interval, and per method without a search.

    Returns:
        The place; ``group``, ``method``, ``label``; ``population`` (null without a search), ``epochs_ready`` (null: the
        average over all E of this population, of each seed), ``quantile``; ``trainings``, what it costs, N r + 1; test
        average over tasks of the retrained models at the last epoch: ``metric``, ``mean``, ``std``, ``low``, ``high``,
        ``seeds``, ``by_seed``; ``gain`` over uniform and ``gain_std``, paired by seed; ``reported``, the paper's mean,
        ``difference`` (ours - theirs) and ``inside`` (theirs is within our t interval), where it has this benchmark,
        number of tasks and setting of the search. What was left out has ``present`` false and nulls.

    Raises:
        ConfigError: The experiments have no model retrained after a population-based search, or ``only:`` left nothing.
        DataError: A run file is missing, damaged or incomplete.
    """
    cells = _searches.cells(plan, artifact)
    searched = [c for c in cells if _searches.is_direct(c) and c.specification["search"].get("quantile") is not None]
    if not searched:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: its experiments retrain nothing after a search; "
            "add one with method pbt or pb2"
        )
    places: dict[tuple, list[Cell]] = {}
    for cell in searched:
        places.setdefault(_searches.place(cell), []).append(cell)
    found = (row for group in places.values() for row in _place_rows(plan, cells, group))
    return _runs.table(found, TYPES)


def _place_rows(plan: Plan, cells: list[Cell], group: list[Cell]) -> Iterator[dict[str, Any]]:
    def row(cell: Cell, values: np.ndarray | None, **columns: Any) -> dict[str, Any]:
        known = {k: v for k, v in _runs.key(cell, cell.task_set, values is not None).items() if k != "variant"}
        theirs = _reported_here(plan, cell, columns)
        known |= {**_names.describe(cell.method), **columns, "reported": theirs}
        if values is None:
            return {**known, **_statistics.spread([])}
        spread = _statistics.spread(values.mean(axis=1))
        gain = _statistics.spread(_searches.gain(values, base, metric))
        known |= {"metric": metric, "gain": gain["mean"], "gain_std": gain["std"]}
        if theirs is not None:
            known |= {"difference": spread["mean"] - theirs, "inside": _statistics.inside(spread, theirs)}
        return {**known, **spread}

    references = {m: c for m in REFERENCES if (c := _searches.of_method(cells, m, group[0]))}
    reached = {
        c.name: _searches.reached(plan, c) for c in [*references.values(), *group] if _runs.selected_seeds(plan, c)
    }
    metric = next((m for m, _ in reached.values()), None)
    values = {name: found for name, (_, found) in reached.items()}
    base = values.get(references["uniform"].name) if "uniform" in references else None
    by_population: dict[tuple, dict[str, Cell]] = {}
    for cell in sorted(group, key=lambda c: (_names.order(c.method), _setting(c))):
        population, epochs, quantile = _setting(cell)
        settings = {"population": population, "quantile": quantile, "trainings": _searches.cost(plan.search_of(cell))}
        by_population.setdefault((cell.method, population, quantile), {})[cell.name] = cell
        yield row(cell, values.get(cell.name), **settings, epochs_ready=epochs)
    for (_, population, quantile), of in by_population.items():
        if len(of) == 1:
            continue
        ran = [values[name] for name in of if name in values]
        whole = len(ran) == len(of) and len({len(v) for v in ran}) == 1
        first = next(iter(of.values()))
        cost = _searches.cost(plan.search_of(first))
        settings = {"population": population, "quantile": quantile, "trainings": cost}
        yield row(first, np.mean(ran, axis=0) if whole else None, **settings)
    for cell in references.values():
        yield row(cell, values.get(cell.name), trainings=1.0)


def _setting(cell: Cell) -> tuple[int, int, float]:
    search = cell.specification["search"]
    return search["population"], search["epochs_ready"], search["quantile"]


def _reported_here(plan: Plan, cell: Cell, columns: dict[str, Any]) -> float | None:
    if not plan.info(cell.benchmark).reported or cell.method not in ("pbt", *REFERENCES):
        return None
    table = _reported.population().get((cell.benchmark, len(cell.tasks)), {})
    if cell.method in REFERENCES:
        return table.get((cell.method, None, None))
    return table.get((columns["population"], columns.get("epochs_ready"), columns["quantile"]))
