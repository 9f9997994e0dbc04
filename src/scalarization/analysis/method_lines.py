"""The lines of tables that compare methods: what each method reached at every capacity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from scalarization.analysis import cross_fitting, names, result_files, runs, searches, statistics
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell

#: Listed after the metric of quality where the run file has it.
BALANCED = "balanced_accuracy"


class Line(NamedTuple):
    """A line of a table: a method, and what distinguishes the line from others of the method.

    Attributes:
        method: The method.
        detail: ``last weights`` or ``searched on`` another architecture; empty for the line that has the method's name.
    """

    method: str
    detail: str


@dataclass(frozen=True)
class ComparedMethods:
    """Everything that was trained under one condition (one task set at one capacity in one variant).

    Attributes:
        tasks: The task set, in the order of the weights.
        joint: Line -> its cell.
        single: Task -> its SD baseline; empty unless every task has one.
    """

    tasks: tuple[str, ...]
    joint: dict[Line, Cell] = field(default_factory=dict)
    single: dict[str, Cell] = field(default_factory=dict)

    @property
    def first(self) -> Cell:
        """The first cell, whose condition is that of all."""
        return next(iter(self.joint.values()))

    def columns(self, plan: Plan) -> dict[str, Any]:
        """Values of the columns :data:`runs.CONDITION_TYPES`."""
        present = any(runs.selected_seeds(plan, cell) for cell in self.joint.values())
        return runs.condition_columns(self.first, present)


class LineResults(NamedTuple):
    """What a line of a table reached.

    Attributes:
        line: The line.
        variant: Variant of its cell.
        weight_setting: Number of the weight setting that stands for the method; None if it is one of several, each of
            which has a diverged run.
        weights: Its weights; empty for SD baselines and searched weights, and without a weight setting.
        seeds: Its seeds.
        values: Metric -> test values at the last epoch [seeds, tasks]. Of ``grid`` each seed is measured at the weight
            setting that the other seeds choose.
        adjusted: Metric -> the same with a deviation that includes what this choice adds, see
            :class:`scalarization.analysis.cross_fitting.CrossFitted`; for tests.
        settings: :func:`statistics.settings_columns` of the weight settings it was chosen from; empty of SD baselines.
        solver: Columns ``solver_failures`` and ``solver_steps``, if the method's solver failed in a run of its cell.
    """

    line: Line
    variant: str
    weight_setting: int | None
    weights: list[float]
    seeds: tuple[int, ...]
    values: dict[str, np.ndarray]
    adjusted: dict[str, np.ndarray]
    settings: dict[str, int]
    solver: dict[str, int]


def compared_methods(plan: Plan, artifact: str) -> list[ComparedMethods]:
    """What was trained under every condition of an artifact's experiments, whether selected or not.

    Where two experiments ask for the same cell, the first one determines which of its runs are used. A variant that
    changes only where searched weights come from is a line of the condition that trains in the same way.

    Raises:
        ConfigError: ``only:`` selects nothing of them.
    """
    cells: dict[str, Cell] = {}
    for experiment in artifacts.experiments_of(plan, artifact):
        for cell in plan.experiments[experiment]:
            cells.setdefault(cell.name, cell)
    groups = by_condition(cells.values())
    if not any(group.columns(plan)["present"] for group in groups):
        raise runs.nothing_selected(plan, artifact)
    return groups


def by_condition(cells: Iterable[Cell]) -> list[ComparedMethods]:
    """Cells that can be compared, whether selected or not: one group per task set, capacity and variant."""
    groups: dict[tuple[Any, ...], ComparedMethods] = {}
    single = {}
    # Searched cells come last: by then all variants of the training are known.
    for cell in sorted(cells, key=searches.is_searched):
        if cell.method == "single":
            single[cell.benchmark, cell.task_set, cell.architecture, cell.variant] = cell
            continue
        capacity = searches.capacity(cell)
        variant = _variant(cell, [group for (*key, _), group in groups.items() if tuple(key) == capacity])
        joint = groups.setdefault((*capacity, variant), ComparedMethods(cell.tasks)).joint
        line = Line(cell.method, searches.detail(cell))
        if line in joint:
            line = Line(cell.method, ", ".join(filter(None, [line.detail, cell.variant])))
        joint[line] = cell
    for (benchmark, _, tasks, architecture, variant), group in groups.items():
        baselines = {task: single.get((benchmark, task, architecture, variant)) for task in tasks}
        if all(baselines.values()):
            group.single.update({task: cell for task, cell in baselines.items() if cell})
    return list(groups.values())


def _variant(cell: Cell, groups: list[ComparedMethods]) -> str:
    """The variant under which a cell is listed, given the groups of its task set and capacity."""
    if searches.is_searched(cell):
        for group in groups:
            if _training(cell) == _training(group.first):
                return group.first.variant
    return cell.variant


def _training(cell: Cell) -> tuple[Any, ...]:
    """What a variant can change of training itself; cells that have this in common may differ in their weights."""
    specification = cell.specification
    return (
        specification.model.describe(),
        specification.recipe.describe(),
        specification.epochs,
        specification.steps_per_epoch,
    )


def of_task(values: np.ndarray, tasks: tuple[str, ...], task: str) -> np.ndarray:
    """Values [seeds] of a task, or of the average over tasks, from values [seeds, tasks]."""
    return values.mean(axis=1) if task == names.AVERAGE else values[:, tasks.index(task)]


def spread_by_task(tasks: tuple[str, ...], values: np.ndarray, metric: str) -> dict[str, dict[str, Any]]:
    """``average`` and each task -> :func:`statistics.spread` of its values, and ``paper_std``.

    ``paper_std`` is the deviation that the paper reports: of the average over tasks sqrt(sum of the tasks' variances) /
    T, of a task its ``std``.

    Args:
        tasks: The tasks.
        values: [seeds, tasks].
        metric: What they are values of.
    """
    limits = result_files.limits(metric)
    by_task = {task: statistics.spread(column, limits) for task, column in zip(tasks, values.T, strict=True)}
    paper_std = math.sqrt(sum(spread["std"] ** 2 for spread in by_task.values())) / len(tasks)
    average = {**statistics.spread(values.mean(axis=1), limits), "paper_std": paper_std}
    return {names.AVERAGE: average} | {task: {**s, "paper_std": s["std"]} for task, s in by_task.items()}


def results(plan: Plan, group: ComparedMethods) -> Iterator[LineResults]:
    """What every selected line of a condition reached, the SD baselines first.

    Raises:
        DataError: A run file is missing, damaged or incomplete.
    """
    if group.single:
        yield _single_results(plan, group)
    read = {
        line: runs.CellResults(plan, group.joint[line])
        for line in sorted(group.joint, key=lambda line: names.order(line.method))
        if runs.selected_seeds(plan, group.joint[line])
    }
    for line, of_line in read.items():
        # p* is the best of all constant weights, as in main-text figure 2; any other method stands for itself.
        pool = [Line(method, "") for method in runs.constant_methods()] if line.method == "grid" else [line]
        pooled = [read[other] for other in pool if other in read and read[other].seeds == of_line.seeds]
        candidates = [(r, number, weights) for r in pooled for number, weights in r.weight_settings]
        metric = of_line.metric
        scores = np.stack(
            [runs.sign(metric) * r.by_task("validation", metric, n).mean(axis=1) for r, n, _ in candidates]
        )
        number, weights = candidates[statistics.representative(scores)][1:]
        fitted = {
            name: cross_fitting.cross_fit_best(scores, np.stack([r.by_task("test", name, n) for r, n, _ in candidates]))
            for name in _listed_metrics(of_line.metrics)
        }
        is_known = len(candidates) == 1 or statistics.best(scores) is not None
        yield LineResults(
            line,
            group.joint[line].variant,
            number if is_known else None,
            list(weights) if is_known else [],
            tuple(of_line.seeds),
            {name: of_metric.values for name, of_metric in fitted.items()},
            {name: of_metric.adjusted for name, of_metric in fitted.items()},
            statistics.settings_columns(scores),
            _solver_columns(plan, group.joint[line], of_line.seeds),
        )


def _single_results(plan: Plan, group: ComparedMethods) -> LineResults:
    """The line of SD baselines: each task's values are those of its own model."""
    results = {task: runs.CellResults(plan, cell) for task, cell in group.single.items()}
    metrics = set.intersection(*(of_task.metrics for of_task in results.values()))
    values = {
        metric: np.stack([results[task].values("test", task, metric) for task in group.tasks], axis=1)
        for metric in _listed_metrics(metrics)
    }
    seeds = tuple(next(iter(results.values())).seeds)
    return LineResults(Line("single", ""), group.first.variant, 0, [], seeds, values, values, {}, {})


def _solver_columns(plan: Plan, cell: Cell, seeds: Sequence[int]) -> dict[str, int]:
    """How often the solver of a cell's method failed, and at how many steps of these runs it was asked."""
    from scalarization import storage

    metadata = storage.read_metadata(plan.paths.run_file(cell))
    failed = [note for note in metadata.get("solver_failures", []) if note["seed"] in seeds]
    if not failed:
        return {}
    counts = {name: sum(note[name] for note in failed) for name in ("failures", "steps")}
    return {f"solver_{name}": count for name, count in counts.items()}


def _listed_metrics(metrics: set[str]) -> list[str]:
    return [runs.quality_metric(metrics), *({BALANCED} & metrics)]
