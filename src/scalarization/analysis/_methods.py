"""Comparing methods: what each reached at every capacity, and what the paper reports of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scalarization.analysis import _names, _reported, _runs, _searches, _statistics
from scalarization.errors import ConfigError
from scalarization.experiments import Cell, Plan

#: Columns of the summaries of ``table_methods`` and ``table_main``.
TYPES = {
    **_runs.PLACE_TYPES,
    **_names.METHOD_TYPES,
    "member": "Int64",
    "weights": "object",
    "task": "string",
    "metric": "string",
    **_runs.SPREAD_TYPES,
    "paper_std": "float64",
    "reported_mean": "float64",
    "reported_std": "float64",
    "difference": "float64",
    "inside": "boolean",
}
#: What a variant can change of training itself; searched weights can come from elsewhere with all this equal.
SETTING = ("model", "recipe", "epochs", "steps_per_epoch")
#: Shown beside the metric of quality where there is one.
BALANCED = "balanced_accuracy"


@dataclass
class Place:
    """One capacity of one task set and variant, with all that was trained there.

    Attributes:
        tasks: Members of the task set, in the order of the weights.
        joint: Method, and what tells its line from others of the method (last weights only, searched elsewhere) -> its
            cell.
        single: Task -> its SD baseline; empty unless every task has one.
    """

    tasks: tuple[str, ...]
    joint: dict[tuple[str, str], Cell] = field(default_factory=dict)
    single: dict[str, Cell] = field(default_factory=dict)

    def key(self, plan: Plan) -> dict[str, Any]:
        """Values of the columns :data:`_runs.PLACE_TYPES`."""
        cell = next(iter(self.joint.values()))
        return _runs.key(cell, cell.task_set, any(_runs.selected_seeds(plan, c) for c in self.joint.values()))


def places(plan: Plan, artifact: str) -> list[Place]:
    """Every capacity of every task set and variant in an artifact's experiments, those that ``only:`` left out too.

    Where two experiments ask for the same cell, the first one says which of its runs count. A variant that changes
    nothing but where searched weights come from is a line of the place that trains in the same way.

    Raises:
        ConfigError: The experiments have no joint training, or ``only:`` left nothing of it.
    """
    experiments = plan.artifact_experiments(artifact)
    cells = [cell for experiment in experiments for cell in plan.experiment_cells[experiment]]
    unique: dict[str, Cell] = {}
    for cell in cells:
        unique.setdefault(cell.name, cell)
    found: dict[tuple, Place] = {}
    single: dict[tuple, Cell] = {}
    # Searched ones last: by then it is known which other variants there are.
    for cell in sorted(unique.values(), key=_searches.is_searched):
        if cell.method == "single":
            single[cell.benchmark, cell.task_set, cell.architecture, cell.variant] = cell
            continue
        key = (cell.benchmark, cell.task_set, cell.tasks, cell.architecture)
        variant = _variant(cell, [place for (*k, _), place in found.items() if tuple(k) == key])
        place = found.setdefault((*key, variant), Place(cell.tasks))
        detail = _searches.detail(cell)
        if (cell.method, detail) in place.joint:
            detail = ", ".join(filter(None, [detail, cell.variant]))
        place.joint[cell.method, detail] = cell
    for (benchmark, _, tasks, architecture, variant), place in found.items():
        alone = {task: single.get((benchmark, task, architecture, variant)) for task in tasks}
        place.single = alone if all(alone.values()) else {}
    if not found:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: nothing is trained jointly in {', '.join(experiments)}; "
            "add methods other than single"
        )
    if not any(place.key(plan)["present"] for place in found.values()):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only}: nothing of artifact '{artifact}' is left")
    return list(found.values())


def _variant(cell: Cell, places: list[Place]) -> str:
    """The variant under which a cell is listed, given the places of its task set and capacity."""
    if _searches.is_searched(cell):
        for place in places:
            first = next(iter(place.joint.values()))
            if all(cell.specification[k] == first.specification[k] for k in SETTING):
                return first.variant
    return cell.variant


def rows(plan: Plan, place: Place) -> Iterator[dict[str, Any]]:
    """Rows under :data:`TYPES` of one place: each method, metric and task, the average over tasks first.

    A place that was left out has one row, with nulls.

    Raises:
        DataError: A run file is missing, damaged or incomplete.
    """
    key = place.key(plan)
    if not key["present"]:
        yield {**key, "task": _names.AVERAGE, **_statistics.spread([])}
        return
    reported = _reported_here(plan, place, key)
    for method, detail, member, weights, metrics in _reached(plan, place):
        for metric, values in metrics.items():
            deviations = [_statistics.spread(column)["std"] for column in values.T]
            columns = {_names.AVERAGE: values.mean(axis=1)} | dict(zip(place.tasks, values.T, strict=True))
            like = {_names.AVERAGE: math.sqrt(sum(s**2 for s in deviations)) / len(place.tasks)}
            like |= dict(zip(place.tasks, deviations, strict=True))
            for task in (_names.AVERAGE, *sorted(place.tasks)):
                spread = _statistics.spread(columns[task])
                theirs = reported.get((method, task)) if metric == "accuracy" and not detail else None
                yield {
                    **key,
                    **_names.describe(method, detail),
                    "member": member,
                    "weights": weights,
                    "task": task,
                    "metric": metric,
                    **spread,
                    "paper_std": like[task],
                    **(_beside(spread, theirs) if theirs else {}),
                }


def _beside(spread: dict[str, Any], theirs: _reported.Accuracy) -> dict[str, Any]:
    return {
        "reported_mean": theirs.mean,
        "reported_std": theirs.std,
        "difference": spread["mean"] - theirs.mean,
        "inside": _statistics.inside(spread, theirs.mean),
    }


def _reported_here(plan: Plan, place: Place, key: dict[str, Any]) -> dict[tuple[str, str], _reported.Accuracy]:
    """Reported numbers of this very setting: same benchmark, capacity and tasks, nothing varied."""
    benchmark, architecture = key["benchmark"], key["architecture"]
    same = set(place.tasks) == _reported.tasks(benchmark, architecture) and key["variant"] == "base"
    return _reported.accuracies()[benchmark, architecture] if same and plan.info(benchmark).reported else {}


def _reached(plan: Plan, place: Place) -> Iterator[tuple[str, str, int, list[float], dict[str, np.ndarray]]]:
    """Method, what tells its line apart, number and weights of its setting, metric -> test values [seeds, tasks]."""
    if place.single:
        alone = {task: _runs.Results(plan, cell) for task, cell in place.single.items()}
        metrics = set.intersection(*(results.metrics for results in alone.values()))
        yield (
            "single",
            "",
            0,
            [],
            {
                metric: np.stack([alone[task].values("test", task, metric) for task in place.tasks], axis=1)
                for metric in _shown(metrics)
            },
        )
    lines = sorted(place.joint, key=lambda line: _names.order(line[0]))
    found = {line: _runs.Results(plan, place.joint[line]) for line in lines}
    for (method, detail), results in found.items():
        if not results.seeds:
            continue
        # p* is the best of all constant weights, as in figure 2; any other method has one setting.
        pool = [(m, "") for m in _runs.CONSTANT_METHODS] if method == "grid" else [(method, detail)]
        pooled = [found[line] for line in pool if line in found and found[line].seeds == results.seeds]
        candidates = [(r, member, weights) for r in pooled for member, weights in r.settings]
        metrics = _shown(results.metrics)
        sign = _runs.SIGN[metrics[0]]
        scores = [sign * _values(r, "validation", metrics[0], m, place.tasks).mean(axis=1) for r, m, _ in candidates]
        chosen, member, weights = candidates[_statistics.best(np.stack(scores))]
        values = {metric: _values(chosen, "test", metric, member, place.tasks) for metric in metrics}
        yield method, detail, member, list(weights), values


def _shown(metrics: set[str]) -> list[str]:
    quality = next((m for m in _runs.QUALITY_METRICS if m in metrics), _runs.QUALITY_METRICS[0])
    return [quality, *({BALANCED} & metrics)]


def _values(results: _runs.Results, split: str, metric: str, member: int, tasks: tuple[str, ...]) -> np.ndarray:
    return np.stack([results.values(split, task, metric, member) for task in tasks], axis=1)
