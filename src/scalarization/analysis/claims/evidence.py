"""What claims are tested on: everything that was run, read once."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from scalarization.analysis import method_lines, runs
from scalarization.analysis.claims.base import ALL_CAPACITIES
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
        """Results of the selected runs of a cell, of all experiments together.

        Experiments may ask for different seeds of its weight settings; then these are the seeds that all settings have.

        Raises:
            DataError: Its run file is missing, damaged or incomplete.
        """
        if cell.name not in self._results:
            self._results[cell.name] = runs.CellResults(self.plan, _of_common_seeds(self.plan.cells[cell.name]))
        return self._results[cell.name]

    @functools.cached_property
    def groups(self) -> list[Group]:
        """Every task set at every capacity in every variant of which anything is selected, with all methods."""
        of_experiments = {cell.name: cell for cells in self.plan.experiments.values() for cell in cells}
        # Cells that several experiments ask for are united in `plan.cells`. Of several lines of a method, the first one
        # has its name: that of `base`, and not that of the experiment which the preset lists first.
        cells = [self.plan.cells.get(name, cell) for name, cell in of_experiments.items()]
        cells.sort(key=lambda cell: (cell.variant != "base", cell.variant))
        groups = [Group(methods, self) for methods in method_lines.by_condition(cells)]
        return [group for group in groups if group.lines]

    def groups_with(self, *lines: Line) -> list[list[Group]]:
        """Groups that have all of some lines, those together that :func:`by_family` puts together."""
        return by_family(group for group in self.groups if all(line in group.lines for line in lines))

    def capacity(self, cells: Iterable[Cell]) -> str:
        """How a comparison names the capacities that it averages.

        Args:
            cells: Its cells, all of one task set and one family of architectures.

        Returns:
            The architecture if there is one; ``all``; or ``all vit`` where other families were trained as well.
        """
        cells = list(cells)
        architectures = {cell.architecture.name: cell.architecture for cell in cells}
        if len(architectures) == 1:
            return next(iter(architectures))
        task_set = (cells[0].benchmark, cells[0].task_set)
        trained = [cell for cell in self.plan.cells.values() if (cell.benchmark, cell.task_set) == task_set]
        is_only_family = len({cell.architecture.family for cell in trained}) == 1
        return ALL_CAPACITIES if is_only_family else f"{ALL_CAPACITIES} {cells[0].architecture.family}"

    def note_on_seeds(self, used: Iterable[int], cells: Iterable[Cell]) -> str:
        """Which seeds of some cells a comparison does not use; empty if it uses all."""
        trained = {run.seed for cell in cells for run in self.plan.cells[cell.name].runs}
        unused = sorted(trained - set(used))
        if not unused:
            return ""
        seeds = "seed" if len(unused) == 1 else "seeds"
        return f"{seeds} {', '.join(map(str, unused))} left out: not run of everything that is compared"


def by_family(groups: Iterable[Group]) -> list[list[Group]]:
    """Groups that differ in the capacity of one family of architectures alone, together."""
    together: dict[tuple[str, str, tuple[str, ...], str], list[Group]] = {}
    for group in groups:
        key = (group.benchmark, group.task_set, group.methods.tasks, group.methods.first.architecture.family)
        together.setdefault(key, []).append(group)
    return list(together.values())


def _of_common_seeds(cell: Cell) -> Cell:
    """A cell with the runs of those seeds that all of its weight settings have."""
    seeds: dict[tuple[float, ...], set[int]] = {}
    for run in cell.runs:
        seeds.setdefault(run.weights, set()).add(run.seed)
    common = set.intersection(*seeds.values())
    return replace(cell, runs=tuple(run for run in cell.runs if run.seed in common))
