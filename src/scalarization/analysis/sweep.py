"""Sweep of learning rate and epochs on the reference domain (paper A 1.1): which the validation split would choose.

It only reports: recipes hold the values that are used, so that the plan is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scalarization.analysis import _runs, _statistics
from scalarization.errors import ConfigError
from scalarization.experiments import Cell, Plan

TYPES = {
    **_runs.PLACE_TYPES,
    "lr": "float64",
    "epochs": "Int64",
    "metric": "string",
    "chosen": "boolean",
    "recipe": "boolean",
    **_runs.SPREAD_TYPES,
    "test_mean": "float64",
    "test_std": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per variant of the reference domain's SD model, all of one architecture.

    Returns:
        Columns of the place; ``lr``, ``epochs``; ``metric``; ``chosen``: best mean over seeds of the validation value
        at the last epoch; ``recipe``: whether these are the benchmark's own values; ``mean``, ``std``, ``low``,
        ``high``, ``seeds``, ``by_seed``: the validation value; ``test_mean``, ``test_std``, of which nothing was
        chosen. A variant that was left out has ``present`` false and nulls.

    Raises:
        ConfigError: The experiment does not train the reference domain alone, or several architectures, or ``only:``
            left nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    experiment = _runs.experiment_name(plan, artifact)
    benchmark = plan.config.preset["experiments"][experiment]["benchmark"]
    spec = plan.config.preset["benchmarks"][benchmark]
    cells = [c for c in plan.experiment_cells[experiment] if c.method == "single" and c.task_set == spec["reference"]]
    place = f"{plan.config.preset_file}: artifacts.{artifact}: experiment '{experiment}'"
    if not cells:
        raise ConfigError(f"{place} has no method single on the reference domain {spec['reference']}")
    if len({c.architecture for c in cells}) > 1:
        raise ConfigError(f"{place} has several architectures; a sweep is made with one")
    if not any(_runs.selected_seeds(plan, c) for c in cells):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only}: nothing of artifact '{artifact}' is left")
    return _runs.table(_rows(plan, cells, spec["recipe"]), TYPES)


def _rows(plan: Plan, cells: list[Cell], recipe: dict[str, Any]) -> Iterator[dict[str, Any]]:
    found = {c.name: _runs.Results(plan, c) for c in cells if _runs.selected_seeds(plan, c)}
    metric = next(m for m in _runs.QUALITY_METRICS if m in next(iter(found.values())).metrics)
    validation = {name: r.values("validation", r.cell.task_set, metric) for name, r in found.items()}
    names = list(found)
    # Variants with fewer seeds (`only:`) are compared by what they have.
    best = names[_statistics.best(np.array([[_runs.SIGN[metric] * validation[n].mean()] for n in names]))]
    for cell in cells:
        row = {
            **_runs.key(cell, cell.task_set, cell.name in found),
            "lr": cell.specification["recipe"]["lr"],
            "epochs": cell.specification["epochs"],
            "recipe": (cell.specification["recipe"]["lr"], cell.specification["epochs"])
            == (recipe["lr"], recipe["epochs"]),
        }
        if cell.name not in found:
            yield {**row, **_statistics.spread([])}
            continue
        test = found[cell.name].values("test", cell.task_set, metric)
        yield {
            **row,
            "metric": metric,
            "chosen": cell.name == best,
            **_statistics.spread(validation[cell.name]),
            **_statistics.named("test", test),
        }
