"""What searches of the weights are, what they should cost, and what the models retrained with them reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from scalarization.analysis import _names, _runs
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Cell, Plan
from scalarization.policies import Policy, backtrack, read_history
from scalarization.searches import Search

#: Columns of one search. ``fraction``: r; ``present``: whether it was selected.
TYPES = {
    "search": "string",
    **_names.METHOD_TYPES,
    **_names.PLACE_TYPES,
    "population": "Int64",
    "epochs_ready": "Int64",
    "quantile": "float64",
    "fraction": "float64",
    "intervals": "Int64",
}


def describe(plan: Plan, search: Search) -> dict[str, Any]:
    """Values of the columns :data:`TYPES`."""
    architecture = search.cell.architecture
    return {
        "search": search.key,
        **_names.describe(search.method),
        "benchmark": search.cell.benchmark,
        "task_set": search.cell.task_set,
        "architecture": architecture.name,
        "depth": architecture.depth,
        "width": architecture.width,
        "shared_layers": architecture.shared_layers,
        "present": search.name in plan.searches,
        "population": search.population,
        "epochs_ready": search.epochs_ready,
        "quantile": search.quantile if search.copies else None,
        "fraction": search.cell.specification["fraction"],
        "intervals": len(search.ends),
    }


def planned(plan: Plan, artifact: str) -> list[Search]:
    """The searches that an artifact queries, those that ``only:`` left out too.

    Raises:
        ConfigError: It queries none, or ``only:`` left nothing of them.
    """
    found = plan.artifact_searches_planned(artifact)
    if not found:
        raise ConfigError(f"{plan.config.preset_file}: artifacts.{artifact}: key 'searches' is missing")
    if not plan.artifact_searches(artifact):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only}: nothing of artifact '{artifact}' is left")
    return found


def history(plan: Plan, search: Search) -> tuple[list[dict[str, Any]], Policy]:
    """Rows of a search's history, and the policy backtracked from them.

    Raises:
        DataError: The history is missing, damaged, or not whole.
    """
    file = plan.search_file(search)
    rows = read_history(file)
    try:
        return rows, backtrack(rows)
    except ValueError as error:
        raise DataError(f"{file}: not a whole search ({error}); delete it and run snakemake again") from None


def cost(search: Search) -> float:
    """Trainings that a search and the retraining after it cost, N r + 1: a search epoch has r times the steps."""
    return search.population * search.cell.specification["fraction"] + 1


def is_searched(cell: Cell) -> bool:
    """Whether a cell takes its weights from a search."""
    return "search" in cell.specification


def searched_on(cell: Cell) -> str:
    """Architecture on which the weights of a searched cell were searched."""
    return cell.specification["search"]["trains"]["architecture"]


def is_direct(cell: Cell) -> bool:
    """Whether a cell is trained with the whole policy of a search on its own architecture."""
    return is_searched(cell) and not detail(cell)


def detail(cell: Cell) -> str:
    """How a cell's weights differ from the whole policy of a search on its own architecture; empty if they do not."""
    if not is_searched(cell):
        return ""
    found = [] if searched_on(cell) == cell.architecture.name else [f"searched on {searched_on(cell)}"]
    return ", ".join(found if cell.specification["search"]["policy"] == "whole" else [*found, "last weights"])


def cells(plan: Plan, artifact: str) -> list[Cell]:
    """Cells of joint training of an artifact's experiments, in order, those that ``only:`` left out too.

    Raises:
        ConfigError: ``only:`` left nothing of them.
    """
    found: dict[str, Cell] = {}
    for experiment in plan.artifact_experiments(artifact):
        for cell in plan.experiment_cells[experiment]:
            if cell.method != "single":
                found.setdefault(cell.name, cell)
    if not any(name in plan.cells for name in found):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only}: nothing of artifact '{artifact}' is left")
    return list(found.values())


def place(cell: Cell) -> tuple:
    """What must be equal for two cells to be compared."""
    return (cell.benchmark, cell.task_set, cell.tasks, cell.architecture)


def of_method(cells: Iterable[Cell], method: str, like: Cell) -> Cell | None:
    """The first cell of a method beside another cell."""
    return next((c for c in cells if c.method == method and place(c) == place(like)), None)


def reached(plan: Plan, cell: Cell, split: str = "test", member: int = 0) -> tuple[str, np.ndarray]:
    """Metric of quality, and its values at the last epoch, [seeds, tasks].

    Raises:
        DataError: A run is missing or incomplete.
    """
    results = _runs.Results(plan, cell)
    metric = next((m for m in _runs.QUALITY_METRICS if m in results.metrics), _runs.QUALITY_METRICS[0])
    return metric, np.stack([results.values(split, t, metric, member) for t in cell.tasks], axis=1)


def gain(values: np.ndarray, base: np.ndarray | None, metric: str) -> np.ndarray:
    """Average over tasks less that of a baseline, paired by seed, positive where it helps, [seeds].

    Empty without a baseline, or if that has other seeds.
    """
    if base is None or len(base) != len(values):
        return np.array([])
    return _runs.SIGN[metric] * (values - base).mean(axis=1)
