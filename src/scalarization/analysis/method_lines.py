"""The lines of tables that compare methods: what each method reached at every capacity, and what the paper reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from scalarization.analysis import names, reported_numbers, runs, searches, statistics
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell

#: Columns of the summaries of ``table_methods`` and ``table_main``. ``variant`` is that of the line's own cell;
#: ``listed_under`` is the variant of the condition that it is compared under, another one only if its variant changes
#: nothing but where searched weights come from.
TYPES = {
    **runs.CONDITION_TYPES,
    "listed_under": "string",
    **names.METHOD_TYPES,
    "weight_setting": "Int64",
    "weights": "object",
    **runs.SETTINGS_TYPES,
    "solver_failures": "Int64",
    "solver_steps": "Int64",
    "task": "string",
    "metric": "string",
    **runs.SPREAD_TYPES,
    "paper_std": "float64",
    "reported_mean": "float64",
    "reported_std": "float64",
    "difference": "float64",
    "within_ci": "boolean",
}
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
        values: Metric -> test values at the last epoch [seeds, tasks].
        settings: :func:`statistics.settings_columns` of the weight settings it was chosen from; empty of SD baselines.
        solver: Columns ``solver_failures`` and ``solver_steps``, if the method's solver failed in a run of its cell.
    """

    line: Line
    variant: str
    weight_setting: int | None
    weights: list[float]
    values: dict[str, np.ndarray]
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
    groups = _by_condition(cells.values())
    if not any(group.columns(plan)["present"] for group in groups):
        raise runs.nothing_selected(plan, artifact)
    return groups


def _by_condition(cells: Iterable[Cell]) -> list[ComparedMethods]:
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


def rows(plan: Plan, group: ComparedMethods) -> Iterator[dict[str, Any]]:
    """Rows under :data:`TYPES` of one condition: each line, metric and task, the average over tasks first.

    A condition that is not selected has one row, with nulls.

    Raises:
        DataError: A run file is missing, damaged or incomplete.
    """
    columns = group.columns(plan)
    if not columns["present"]:
        yield {**columns, "listed_under": columns["variant"], "task": names.AVERAGE, **statistics.spread([])}
        return
    reported = _reported_here(plan, group)
    for line, variant, weight_setting, weights, by_metric, settings, solver in _results(plan, group):
        for metric, values in by_metric.items():
            spreads = spread_by_task(group.tasks, values)
            for task in (names.AVERAGE, *sorted(group.tasks)):
                theirs = reported.get((line.method, task)) if metric == "accuracy" and not line.detail else None
                yield {
                    **columns,
                    "variant": variant,
                    "listed_under": columns["variant"],
                    **names.describe(*line),
                    "weight_setting": weight_setting,
                    "weights": weights,
                    **settings,
                    **solver,
                    "task": task,
                    "metric": metric,
                    **spreads[task],
                    **(_reported_columns(spreads[task], theirs) if theirs else {}),
                }


def spread_by_task(tasks: tuple[str, ...], values: np.ndarray) -> dict[str, dict[str, Any]]:
    """``average`` and each task -> :func:`statistics.spread` of its values, and ``paper_std``.

    ``paper_std`` is the deviation that the paper reports: of the average over tasks sqrt(sum of the tasks' variances) /
    T, of a task its ``std``.

    Args:
        tasks: The tasks.
        values: [seeds, tasks].
    """
    by_task = {task: statistics.spread(column) for task, column in zip(tasks, values.T, strict=True)}
    paper_std = math.sqrt(sum(spread["std"] ** 2 for spread in by_task.values())) / len(tasks)
    average = {**statistics.spread(values.mean(axis=1)), "paper_std": paper_std}
    return {names.AVERAGE: average} | {task: {**s, "paper_std": s["std"]} for task, s in by_task.items()}


def _reported_columns(spread: dict[str, Any], theirs: reported_numbers.Accuracy) -> dict[str, Any]:
    return {
        "reported_mean": theirs.mean,
        "reported_std": theirs.std,
        "difference": spread["mean"] - theirs.mean,
        "within_ci": statistics.within_ci(spread, theirs.mean),
    }


def _reported_here(plan: Plan, group: ComparedMethods) -> dict[tuple[str, str], reported_numbers.Accuracy]:
    """Reported numbers under the same condition: same benchmark, capacity and tasks, variant ``base``."""
    benchmark, architecture = group.first.benchmark, group.first.architecture.name
    same_tasks = set(group.tasks) == reported_numbers.tasks(benchmark, architecture)
    if not (same_tasks and group.first.variant == "base" and plan.benchmarks[benchmark].reported):
        return {}
    return reported_numbers.accuracies()[benchmark, architecture]


def _results(plan: Plan, group: ComparedMethods) -> Iterator[LineResults]:
    if group.single:
        yield _single_results(plan, group)
    results = {
        line: runs.CellResults(plan, group.joint[line])
        for line in sorted(group.joint, key=lambda line: names.order(line.method))
        if runs.selected_seeds(plan, group.joint[line])
    }
    for line, of_line in results.items():
        # p* is the best of all constant weights, as in main-text figure 2; any other method stands for itself.
        pool = [Line(method, "") for method in runs.constant_methods()] if line.method == "grid" else [line]
        pooled = [results[other] for other in pool if other in results and results[other].seeds == of_line.seeds]
        candidates = [(r, number, weights) for r in pooled for number, weights in r.weight_settings]
        metric = of_line.metric
        scores = np.stack(
            [runs.sign(metric) * r.by_task("validation", metric, n).mean(axis=1) for r, n, _ in candidates]
        )
        chosen, number, weights = candidates[statistics.representative(scores)]
        values = {name: chosen.by_task("test", name, number) for name in _listed_metrics(of_line.metrics)}
        is_known = len(candidates) == 1 or statistics.best(scores) is not None
        yield LineResults(
            line,
            group.joint[line].variant,
            number if is_known else None,
            list(weights) if is_known else [],
            values,
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
    return LineResults(Line("single", ""), group.first.variant, 0, [], values, {}, {})


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
