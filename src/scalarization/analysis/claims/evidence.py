"""What claims are tested on: everything that was run, read once."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scalarization.analysis import method_lines, runs, searches
from scalarization.analysis.method_lines import ComparedMethods, Line
from scalarization.plan import Plan
from scalarization.plan.cells import Cell

#: The metric whose differences are percentage points.
POINTS = "accuracy"


@dataclass(frozen=True)
class Group:
    """All methods that were trained on one task set at one capacity in one variant.

    Attributes:
        methods: The cells: jointly trained lines and SD baselines.
        evidence: What it belongs to.
    """

    methods: ComparedMethods
    evidence: Evidence

    @property
    def benchmark(self) -> str:
        """The benchmark."""
        return self.methods.first.benchmark

    @property
    def task_set(self) -> str:
        """Name of the task set, with the variant unless that is ``base``."""
        first = self.methods.first
        return first.task_set if first.variant == "base" else f"{first.task_set}, {first.variant}"

    @property
    def architecture(self) -> str:
        """Name of the architecture."""
        return self.methods.first.architecture.name

    @functools.cached_property
    def lines(self) -> dict[Line, runs.CellResults]:
        """Line -> results of its cell, of those that are selected. ``grid`` has several weight settings."""
        plan, joint = self.evidence.plan, self.methods.joint
        return {line: self.evidence.results(cell) for line, cell in joint.items() if runs.selected_seeds(plan, cell)}

    @property
    def unit(self) -> str:
        """The unit of :meth:`gain`."""
        return unit(next(iter(self.lines.values())).metric)

    def gain(self, line: Line, over: Line) -> dict[int, float]:
        """Test average over tasks of one line minus that of another, positive where the first is better.

        Both have one weight setting.

        Returns:
            Seed -> gain as of :func:`in_points`, of the seeds that both have; NaN where a run of either diverged.
        """
        ours, theirs = self.lines[line], self.lines[over]
        seeds = [seed for seed in ours.seeds if seed in theirs.seeds]
        values, reference = (
            results.by_task("test", results.metric)[[results.seeds.index(seed) for seed in seeds]].mean(axis=1)
            for results in (ours, theirs)
        )
        return dict(zip(seeds, in_points(values - reference, reference, ours.metric).tolist(), strict=True))


def in_points(difference: np.ndarray, reference: np.ndarray, metric: str) -> np.ndarray:
    """Differences in the unit in which margins are given, positive where the first is better.

    Args:
        difference: First minus second, in the unit of the metric.
        reference: The second, in the same unit.
        metric: Metric of quality.

    Returns:
        Percentage points of accuracy; of a loss percent of the reference.
    """
    return difference if metric == POINTS else 100 * runs.sign(metric) * difference / reference


def unit(metric: str) -> str:
    """The unit of :func:`in_points`."""
    return "points" if metric == POINTS else f"% of {metric}"


def mean_over_capacities(by_capacity: Iterable[dict[int, float]]) -> list[float]:
    """The mean over capacities within each seed that all of them have.

    Args:
        by_capacity: Seed -> value of each capacity.

    Returns:
        One value per seed, in the order of seeds.
    """
    values = list(by_capacity)
    seeds = sorted(set.intersection(*map(set, values))) if values else []
    return [float(np.mean([of_capacity[seed] for of_capacity in values])) for seed in seeds]


class Evidence:
    """Everything that a plan selects, read from its files when it is first needed, once.

    Args:
        plan: The plan.
        margin: Margin within which two methods are on par: percentage points of accuracy, percent of a loss.
    """

    def __init__(self, plan: Plan, margin: float) -> None:
        self.plan = plan
        self.margin = margin
        self._results: dict[str, runs.CellResults] = {}

    def results(self, cell: Cell) -> runs.CellResults:
        """Results of a cell.

        Raises:
            DataError: Its run file is missing, damaged or incomplete.
        """
        if cell.name not in self._results:
            self._results[cell.name] = runs.CellResults(self.plan, cell)
        return self._results[cell.name]

    @functools.cached_property
    def conditions(self) -> list[runs.ConditionResults]:
        """Joint training with constant weights and its SD baselines: each condition once, where both are selected."""
        conditions: dict[tuple[Any, ...], runs.Condition] = {}
        for cells in self.plan.experiments.values():
            for condition in runs.conditions_of(self.plan, cells):
                first = condition.joint[0]
                key = (*searches.capacity(first), first.variant)
                if condition.present:
                    conditions.setdefault(key, condition)
        return [runs.read_results(self.plan, condition) for condition in conditions.values()]

    @functools.cached_property
    def groups(self) -> list[Group]:
        """Every task set at every capacity in every variant of which anything is selected, with all methods."""
        cells: dict[str, Cell] = {}
        for of_experiment in self.plan.experiments.values():
            for cell in of_experiment:
                cells.setdefault(cell.name, cell)
        groups = [Group(methods, self) for methods in method_lines.by_condition(cells.values())]
        return [group for group in groups if group.lines]

    def groups_with(self, *lines: Line) -> list[list[Group]]:
        """Groups that have all of some lines; those that differ in capacity alone are together."""
        together: dict[tuple[str, str], list[Group]] = {}
        for group in self.groups:
            if all(line in group.lines for line in lines):
                together.setdefault((group.benchmark, group.task_set), []).append(group)
        return list(together.values())
