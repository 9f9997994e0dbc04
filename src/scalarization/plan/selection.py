"""The part of a preset that ``only:`` selects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from scalarization.config import Config, Only, suggestion
from scalarization.plan.cells import Cell, Search
from scalarization.plan.problems import Problems


def selects_benchmark(only: Only, benchmark: str) -> bool:
    """Whether anything of a benchmark may be selected."""
    return only.benchmarks is None or benchmark in only.benchmarks


def selects(only: Only, cell: Cell) -> bool:
    """Whether a cell's benchmark and capacity are selected."""
    capacities = only.capacities
    return selects_benchmark(only, cell.benchmark) and (capacities is None or cell.architecture.name in capacities)


def selects_search(only: Only, search: Search) -> bool:
    """Whether a search's benchmark and capacity are selected, and a seed that uses this repetition of it."""
    uses = only.seeds is None or any(seed % search.repetitions == search.repetition for seed in only.seeds)
    return uses and selects(only, search.cell)


def select(only: Only, cells: Mapping[str, Cell]) -> dict[str, Cell]:
    """The selected cells with their selected runs, by name."""
    selected = {}
    for name, cell in cells.items():
        runs = tuple(run for run in cell.runs if only.seeds is None or run.seed in only.seeds)
        if runs and selects(only, cell):
            selected[name] = cell if runs == cell.runs else replace(cell, runs=runs)
    return selected


def check_selection(config: Config, cells: Iterable[Cell], problems: Problems) -> None:
    """Note what ``only:`` names and the preset does not have."""
    cells = list(cells)
    known: dict[str, set] = {
        "benchmarks": {cell.benchmark for cell in cells},
        "capacities": {cell.architecture.name for cell in cells},
        "seeds": {run.seed for cell in cells for run in cell.runs},
    }
    for key, values in config.only.describe().items():
        for value in values:
            if value not in known[key]:
                hint = suggestion(value, known[key])
                problems.add_line(f"{config.source}: only.{key}: {value} is not in the preset; {hint}")
