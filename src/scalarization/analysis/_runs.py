"""From run files to arrays: what joint training and the SD baselines reached at each capacity (paper A 2.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scalarization import storage
from scalarization.analysis import _names, _statistics
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Cell, Plan

#: Methods whose weights stay as they are: the pool from which p* is taken, in the order in which ties are broken.
CONSTANT_METHODS = ("grid", "proportional", "uniform")
QUALITY_METRICS = tuple(storage.QUALITY)
#: Differences are multiplied by it, so that positive means that joint training helps (A 2.1).
SIGN = storage.QUALITY
SPLITS = ("train", "validation", "test")

#: Columns of summaries of runs: one capacity of one task set and variant.
PLACE_TYPES = {**_names.PLACE_TYPES, "variant": "string"}
#: Columns of one weight setting and one of its tasks. ``member``: its number in the run file of its cell;
#: ``weight``: p of the task; ``heuristic``: ``uniform``, ``proportional`` or null; ``optimum``: whether it is p*.
CANDIDATE_TYPES = {
    "method": "string",
    "member": "Int64",
    "heuristic": "string",
    "optimum": "boolean",
    "task": "string",
    "weight": "float64",
}
#: Columns of :func:`_statistics.spread`.
SPREAD_TYPES = {
    "mean": "float64",
    "std": "float64",
    "low": "float64",
    "high": "float64",
    "seeds": "Int64",
    "by_seed": "object",
}


@dataclass(frozen=True)
class Place:
    """One capacity of one task set and variant, with the experiment's cells there.

    Attributes:
        task_set: Name of the task set.
        tasks: Its members, in the order of the weights.
        joint: Cells of joint training with constant weights, in the order of :data:`CONSTANT_METHODS`.
        single: SD baselines, one per member.
        present: Whether it is selected (``only:`` may leave capacities out).
    """

    task_set: str
    tasks: tuple[str, ...]
    joint: tuple[Cell, ...]
    single: tuple[Cell, ...]
    present: bool

    @property
    def key(self) -> dict[str, Any]:
        """Its values of the columns :data:`PLACE_TYPES`."""
        return key(self.joint[0], self.task_set, self.present)


@dataclass(frozen=True)
class Candidate:
    """One setting of constant weights.

    Attributes:
        method: How the weights came about.
        member: Its number in the run file of its cell.
        weights: One per task.
    """

    method: str
    member: int
    weights: tuple[float, ...]

    @property
    def heuristic(self) -> str | None:
        """``proportional`` or ``uniform`` if these are weights that one would take without a search."""
        if self.method == "proportional":
            return "proportional"
        return "uniform" if np.allclose(self.weights, 1 / len(self.weights), rtol=0, atol=1e-6) else None


@dataclass(frozen=True)
class Comparison:
    """What joint training and the SD baselines reached at the last epoch of one place.

    Attributes:
        place: Where.
        candidates: The weight settings.
        metric: ``accuracy`` (percent) or ``l1``.
        joint: Split -> values [candidates, seeds, tasks].
        single: Split -> values of each task's own SD baseline [seeds, tasks].
    """

    place: Place
    candidates: tuple[Candidate, ...]
    metric: str
    joint: dict[str, np.ndarray]
    single: dict[str, np.ndarray]

    def difference(self, split: str) -> np.ndarray:
        """Joint training less SD, paired by seed, positive where joint training helps [candidates, seeds, tasks]."""
        return SIGN[self.metric] * (self.joint[split] - self.single[split])

    def scores(self, split: str) -> np.ndarray:
        """Average over tasks, signed so that higher is better [candidates, seeds]."""
        return SIGN[self.metric] * self.joint[split].mean(axis=2)

    @functools.cached_property
    def optimum(self) -> int:
        """Number of the candidate p*: best mean over seeds of the validation average over tasks."""
        return _statistics.best(self.scores("validation"))

    @functools.cached_property
    def optimum_by_seed(self) -> list[int]:
        """The candidate that each seed alone would choose."""
        scores = self.scores("validation")
        return [_statistics.best(scores[:, [seed]]) for seed in range(scores.shape[1])]

    def describe(self, candidate: int, task: int) -> dict[str, Any]:
        """Values of the columns :data:`PLACE_TYPES` and :data:`CANDIDATE_TYPES`."""
        setting = self.candidates[candidate]
        return {
            **self.place.key,
            "method": setting.method,
            "member": setting.member,
            "heuristic": setting.heuristic,
            "optimum": candidate == self.optimum,
            "task": self.place.tasks[task],
            "weight": setting.weights[task],
        }


def key(cell: Cell, task_set: str, present: bool) -> dict[str, Any]:
    """Values of the columns :data:`PLACE_TYPES`."""
    architecture = cell.architecture
    return {
        "benchmark": cell.benchmark,
        "task_set": task_set,
        "variant": cell.variant,
        "architecture": architecture.name,
        "depth": architecture.depth,
        "width": architecture.width,
        "shared_layers": architecture.shared_layers,
        "present": present,
    }


def experiment_name(plan: Plan, artifact: str) -> str:
    """The experiment that an artifact queries."""
    return plan.config.preset["artifacts"][artifact]["experiment"]


def places(plan: Plan, artifact: str) -> list[Place]:
    """Every capacity of every task set and variant in an artifact's experiment, those that ``only:`` left out too.

    Raises:
        ConfigError: The experiment has no SD baselines, or no joint training with constant weights, or ``only:`` left
            nothing of it.
    """
    experiment = experiment_name(plan, artifact)
    cells = plan.experiment_cells[experiment]
    single = {(c.task_set, c.architecture, c.variant): c for c in cells if c.method == "single"}
    joint: dict[tuple, list[Cell]] = {}
    for cell in sorted(
        (c for c in cells if c.method in CONSTANT_METHODS), key=lambda c: CONSTANT_METHODS.index(c.method)
    ):
        joint.setdefault((cell.task_set, cell.tasks, cell.variant, cell.architecture), []).append(cell)
    if not single or not joint:
        missing = "single" if not single else f"at least one of {', '.join(CONSTANT_METHODS)}"
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: experiment '{experiment}' has no SD baseline or nothing "
            f"to compare with it; add {missing} to experiments.{experiment}.methods"
        )
    found = [
        Place(
            task_set,
            tasks,
            tuple(group),
            tuple(single[task, architecture, variant] for task in tasks),
            bool(selected_seeds(plan, group[0])),
        )
        for (task_set, tasks, variant, architecture), group in joint.items()
    ]
    if not any(place.present for place in found):
        raise ConfigError(f"{plan.config.source}: only = {plan.config.only}: nothing of artifact '{artifact}' is left")
    return found


def selected_seeds(plan: Plan, cell: Cell) -> list[int]:
    """Seeds of a cell that an experiment asks for and ``only:`` selects; none if the cell was left out.

    Args:
        plan: The plan.
        cell: As found in ``plan.experiment_cells``.
    """
    selected = plan.cells[cell.name].members if cell.name in plan.cells else ()
    return sorted({m.seed for m in cell.members} & {m.seed for m in selected})


def compare(plan: Plan, place: Place) -> Comparison:
    """Read what was reached at one place that is present.

    Raises:
        DataError: A run file is missing, damaged or incomplete.
    """
    joint = [Results(plan, cell) for cell in place.joint]
    single = [Results(plan, cell) for cell in place.single]
    metric = next((m for m in QUALITY_METRICS if m in joint[0].metrics), QUALITY_METRICS[0])
    return Comparison(
        place,
        tuple(Candidate(r.cell.method, member, weights) for r in joint for member, weights in r.settings),
        metric,
        {
            split: np.stack(
                [
                    np.stack([r.values(split, task, metric, member) for task in place.tasks], axis=1)
                    for r in joint
                    for member, _ in r.settings
                ]
            )
            for split in SPLITS
        },
        {
            split: np.stack([r.values(split, t, metric) for r, t in zip(single, place.tasks, strict=True)], axis=1)
            for split in SPLITS
        },
    )


class Results:
    """Values of a cell's runs at the last epoch, as far as an experiment asks for them and ``only:`` selects them.

    Another experiment may have added weight settings or seeds to the same cell; they are left out here.

    Args:
        plan: The plan.
        cell: As found in ``plan.experiment_cells``.

    Raises:
        DataError: The run file is missing or damaged.
    """

    def __init__(self, plan: Plan, cell: Cell) -> None:
        self.cell = cell
        self._path = plan.run_file(cell)
        self.seeds = selected_seeds(plan, cell)
        table = storage.read_run_file(self._path).select(
            ["member", "split", "task", "metric", "seed", "epoch", "value"]
        )
        # Plain dictionaries: a few hundred rows, for which an index of pandas takes ten times as long.
        self._values: dict[tuple, dict[int, float]] = {}
        for *key, seed, epoch, value in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if epoch == cell.specification["epochs"] and seed in self.seeds:
                self._values.setdefault(tuple(key), {})[seed] = value
        #: Metrics that the run file has.
        self.metrics = {metric for *_, metric in self._values}
        numbers = {m.weights: m.index for m in plan.cells[cell.name].members}
        #: Number in the run file, and weights, of each weight setting.
        self.settings = [(numbers[weights], weights) for weights in dict.fromkeys(m.weights for m in cell.members)]

    def values(self, split: str, task: str, metric: str, member: int = 0) -> np.ndarray:
        """Values of one weight setting, one per seed in order, [seeds].

        Raises:
            DataError: A run is missing or incomplete.
        """
        found = self._values.get((member, split, task, metric), {})
        if len(found) != len(self.seeds):
            raise DataError(
                f"{self._path}: has {len(found)} of {len(self.seeds)} seeds for the {metric} of '{task}' on {split} at "
                f"epoch {self.cell.specification['epochs']}, weight setting {member}; delete it and run snakemake again"
            )
        return np.array([found[seed] for seed in self.seeds])


def comparisons(plan: Plan, artifact: str) -> list[tuple[Place, Comparison | None]]:
    """Every place of an artifact with what was reached there; None for one that was left out.

    Raises:
        ConfigError: As :func:`places`.
        DataError: As :func:`compare`.
    """
    return [(place, compare(plan, place) if place.present else None) for place in places(plan, artifact)]


def place_rows(
    found: list[tuple[Place, Comparison | None]], rows: Callable[[Comparison], Iterable[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """``rows`` of each place that was run, and one row of nulls per task for each that was not."""
    for place, comparison in found:
        if comparison:
            yield from rows(comparison)
        else:
            yield from ({**place.key, "task": task, **_statistics.spread([])} for task in place.tasks)


def table(rows: Iterable[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    """A table with fixed columns and types; what a row does not have is null, or empty if it is a list."""
    lists = {name: [] for name, kind in types.items() if kind == "object"}
    return pd.DataFrame([{**lists, **row} for row in rows], columns=list(types)).astype(types)
