"""Searched on a small model, retrained on a large one: what it reaches and what it costs, beside the direct search."""

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
    "searched_on": "string",
    "population": "Int64",
    "epochs_ready": "Int64",
    "metric": "string",
    **_runs.SPREAD_TYPES,
    "gain": "float64",
    "gain_std": "float64",
    "flops": "float64",
    "trainings": "float64",
    "of_direct": "float64",
    "search_seconds": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per place and way to its weights: uniform, a search on the place's own architecture, searches elsewhere.

    Returns:
        The place; ``group``, ``method``, ``label``; ``searched_on``, an architecture, null without a search;
        ``population``, ``epochs_ready`` of the search; test average over tasks at the last epoch: ``metric``, ``mean``,
        ``std``, ``low``, ``high``, ``seeds``, ``by_seed``; ``gain`` over uniform and ``gain_std``, paired by seed;
        ``flops`` of search and one training (forward, and twice that backward); ``trainings``, the same in trainings of
        the place's architecture; ``of_direct``, the same relative to the direct search by the same method;
        ``search_seconds``, measured, of training and validation of all members. What was left out has ``present`` false
        and nulls.

    Raises:
        ConfigError: No model is trained with weights that were searched on another architecture.
        DataError: A run file or a history is missing, damaged or incomplete.
    """
    cells = _searches.cells(plan, artifact)
    whole = [c for c in cells if _searches.is_searched(c) and c.specification["search"]["policy"] == "whole"]
    elsewhere = {(*_searches.place(c), c.method) for c in whole if not _searches.is_direct(c)}
    places: dict[tuple, list[Cell]] = {}
    for cell in whole:
        if (*_searches.place(cell), cell.method) in elsewhere:
            places.setdefault(_searches.place(cell), []).append(cell)
    found = list(places.values())
    if not found:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: its experiments train nothing with weights that were "
            "searched on another architecture; add a variant with search_on"
        )
    return _runs.table((row for group in found for row in _rows(plan, cells, group)), TYPES)


def _rows(plan: Plan, cells: list[Cell], group: list[Cell]) -> Iterator[dict[str, Any]]:
    uniform = _searches.of_method(cells, "uniform", group[0])
    base: np.ndarray | None = None
    if uniform and _runs.selected_seeds(plan, uniform):
        _, base = _searches.reached(plan, uniform)
    ordered = sorted(group, key=lambda c: (_names.order(c.method), not _searches.is_direct(c), _flops(plan, c)))
    direct = {c.method: _flops(plan, c) for c in reversed(ordered) if _searches.is_direct(c)}
    for cell in [*([uniform] if uniform else []), *ordered]:
        search = plan.search_of(cell)
        present = bool(_runs.selected_seeds(plan, cell))
        known = {**_runs.key(cell, cell.task_set, present), **_names.describe(cell.method), **_statistics.spread([])}
        flops = _flops(plan, cell)
        of_direct = flops / direct[cell.method] if cell.method in direct else None
        known |= {"flops": flops, "trainings": flops / plan.flops(cell), "of_direct": of_direct}
        if search:
            settings = {"population": search.population, "epochs_ready": search.epochs_ready}
            known |= {"searched_on": search.cell.architecture.name, **settings}
        if present:
            metric, values = _searches.reached(plan, cell)
            gain = _statistics.spread(_searches.gain(values, base, metric))
            known |= {"metric": metric, "gain": gain["mean"], "gain_std": gain["std"]}
            known |= _statistics.spread(values.mean(axis=1))
            if search:
                rows, _ = _searches.history(plan, search)
                known["search_seconds"] = sum(row["seconds"] for row in rows)
        yield known


def _flops(plan: Plan, cell: Cell) -> float:
    """Of one training of a cell and, before it, the search of its weights."""
    search = plan.search_of(cell)
    return plan.flops(cell) + (search.population * plan.flops(search.cell) if search else 0)
