"""From run files to arrays: results of joint training and of the SD baselines at each capacity (appendix 2.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization import methods
from scalarization.analysis import cross_fitting, result_files, statistics
from scalarization.benchmarks import SPLITS
from scalarization.errors import ConfigError
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell, Run

if TYPE_CHECKING:
    import pandas as pd

#: Columns of one capacity of one task set. ``present``: whether it is selected (``only:``).
CAPACITY_TYPES = {
    "benchmark": "string",
    "task_set": "string",
    "architecture": "string",
    "depth": "Int64",
    "width": "Int64",
    "shared_layers": "Int64",
    "present": "boolean",
}
#: Columns of one condition: one task set at one capacity in one variant.
CONDITION_TYPES = {**CAPACITY_TYPES, "variant": "string"}
#: Columns of one weight setting and one of its tasks. ``weight_setting``: its number in the run file of its cell;
#: ``weight``: p of the task; ``heuristic``: ``uniform``, ``proportional`` or null; ``optimum``: whether it is p*.
CANDIDATE_TYPES = {
    "method": "string",
    "weight_setting": "Int64",
    "heuristic": "string",
    "optimum": "boolean",
    "task": "string",
    "weight": "float64",
}
#: Columns of :func:`statistics.spread`.
SPREAD_TYPES = {
    "mean": "float64",
    "std": "float64",
    "low": "float64",
    "high": "float64",
    "seeds": "Int64",
    "diverged": "Int64",
    "by_seed": "object",
}


#: Columns of :func:`statistics.settings_columns`: weight settings that p* was chosen from, and how many of them cannot
#: be p* because a run of theirs diverged.
SETTINGS_TYPES = {"settings": "Int64", "settings_diverged": "Int64"}
#: Metrics that may have no value although the run did not diverge: an attribute without positives in a split.
UNDEFINABLE = frozenset({"balanced_accuracy"})


@functools.cache
def constant_methods() -> tuple[str, ...]:
    """Methods of joint training with constant weights, from which p* is chosen; of tied ones the first one wins."""
    joint = {method.name for method in methods.all_methods() if method.kind == "constant"} - {"single"}
    # The grid comes first: where a heuristic has the weights of a grid point, the grid has found p*.
    return tuple(sorted(joint, key=lambda name: (name != "grid", name)))


def quality_metric(metrics: Collection[str]) -> str:
    """What a task's quality is measured by, given the metrics of a run file."""
    from scalarization.storage import QUALITY

    return next((metric for metric in QUALITY if metric in metrics), next(iter(QUALITY)))


def sign(metric: str) -> float:
    """+1 if more of a metric of quality is better, else -1."""
    from scalarization.storage import QUALITY

    return QUALITY[metric]


@dataclass(frozen=True)
class Condition:
    """One task set at one capacity in one variant, with the experiment's cells.

    Attributes:
        task_set: Name of the task set.
        tasks: Its tasks or domains, in the order of the weights.
        joint: Cells of joint training with constant weights, in the order of :func:`constant_methods`.
        single: SD baselines, one per task.
        present: Whether it is selected (``only:``).
    """

    task_set: str
    tasks: tuple[str, ...]
    joint: tuple[Cell, ...]
    single: tuple[Cell, ...]
    present: bool

    @property
    def columns(self) -> dict[str, Any]:
        """Its values of the columns :data:`CONDITION_TYPES`."""
        return condition_columns(self.joint[0], self.present)


@dataclass(frozen=True)
class Candidate:
    """One setting of constant weights.

    Attributes:
        method: The method that determines them.
        weight_setting: Its number in the run file of its cell.
        weights: One per task.
    """

    method: str
    weight_setting: int
    weights: tuple[float, ...]

    @property
    def heuristic(self) -> str | None:
        """``proportional`` or ``uniform`` if these are weights that one would take without a search."""
        if self.method == "proportional":
            return "proportional"
        return "uniform" if np.allclose(self.weights, 1 / len(self.weights), rtol=0, atol=1e-6) else None


@dataclass(frozen=True)
class ConditionResults:
    """Results of joint training and of the SD baselines at the last epoch, under one condition.

    All values of a run that diverged are NaN.

    Attributes:
        condition: The condition.
        candidates: The weight settings.
        seeds: Seed indices.
        metric: ``accuracy`` (percent) or ``l1``.
        joint: Split -> values [candidates, seeds, tasks].
        single: Split -> values of each task's own SD baseline [seeds, tasks].
    """

    condition: Condition
    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    metric: str
    joint: dict[str, np.ndarray]
    single: dict[str, np.ndarray]

    def difference(self, split: str) -> np.ndarray:
        """Joint training - SD, paired by seed, positive where joint training helps [candidates, seeds, tasks]."""
        return sign(self.metric) * (self.joint[split] - self.single[split])

    def scores(self, split: str) -> np.ndarray:
        """Average over tasks, signed so that higher is better [candidates, seeds]."""
        return sign(self.metric) * self.joint[split].mean(axis=2)

    @functools.cached_property
    def optimum(self) -> int | None:
        """Number of the candidate p*: best mean over seeds of the validation average over tasks.

        None if every candidate has a diverged run.
        """
        return statistics.best(self.scores("validation"))

    @functools.cached_property
    def representative(self) -> int:
        """Number of the candidate p*; if there is none, of the one with the fewest diverged runs."""
        return statistics.representative(self.scores("validation"))

    @functools.cached_property
    def optimum_by_seed(self) -> list[int | None]:
        """The candidate that each seed alone would choose; None if all of its runs diverged."""
        scores = self.scores("validation")
        return [statistics.best(scores[:, [seed]]) for seed in range(scores.shape[1])]

    @functools.cached_property
    def eligible(self) -> np.ndarray:
        """Validation averages as of :meth:`scores`; NaN for all seeds of a candidate of which any run diverged.

        So whichever seeds choose, they choose no candidate with a diverged run.
        """
        scores = self.scores("validation")
        return np.where(np.isnan(scores).any(axis=1, keepdims=True), np.nan, scores)

    def choose(self, seeds: Sequence[int]) -> int | None:
        """Number of the candidate that some seeds, given by their places, choose: p* if all of them do."""
        return statistics.best(self.eligible[:, list(seeds)])

    @property
    def other_seeds_choices(self) -> list[int | None]:
        """The candidate that all other seeds choose, for each seed; with one seed its own choice."""
        seeds = range(len(self.seeds))
        return [self.choose([other for other in seeds if other != seed] or seeds) for seed in seeds]

    def cross_fit(self, values: np.ndarray) -> cross_fitting.CrossFitted:
        """Values of p*, each seed at the candidate that the other seeds choose on validation.

        The SD baselines need no such thing: of them nothing is chosen.

        Args:
            values: [candidates, seeds, ...].

        Returns:
            [seeds, ...]; those of :attr:`representative` if every candidate has a diverged run.
        """

        def values_of(candidate: int | None) -> np.ndarray:
            chosen: np.ndarray = values[self.representative if candidate is None else candidate]
            return chosen

        return cross_fitting.cross_fit(self.choose, values_of, len(self.seeds))

    def weight(self, candidate: int | None, task: int) -> float:
        """Weight of a task under a candidate; NaN for None."""
        return np.nan if candidate is None else self.candidates[candidate].weights[task]

    def columns(self, candidate: int, task: int) -> dict[str, Any]:
        """Values of the columns :data:`CONDITION_TYPES` and :data:`CANDIDATE_TYPES`."""
        setting = self.candidates[candidate]
        return {
            **self.condition.columns,
            "method": setting.method,
            "weight_setting": setting.weight_setting,
            "heuristic": setting.heuristic,
            "optimum": candidate == self.optimum,
            "task": self.condition.tasks[task],
            "weight": setting.weights[task],
        }


class CellResults:
    """Values of a cell's runs at the last epoch, of those runs that an experiment asks for and ``only:`` selects.

    The run file may hold further weight settings and seeds, which another experiment asks for; they are left out. A run
    diverged if its quality or loss at the last epoch is NaN anywhere; then all of its values are NaN here.

    Args:
        plan: The plan.
        cell: As in ``plan.experiments``.

    Raises:
        DataError: The run file is missing or damaged, or its rows are not those of the cell.
    """

    def __init__(self, plan: Plan, cell: Cell) -> None:
        self.cell = cell
        self._path = plan.paths.run_file(cell)
        self.seeds = selected_seeds(plan, cell)
        # Plain dictionaries: a few hundred rows, for which an index of pandas takes ten times as long.
        self._values: dict[tuple[Any, ...], dict[int, float]] = {}
        diverged: set[tuple[int, int, str]] = set()
        undefined: set[tuple[int, int, str]] = set()
        for row in result_files.read_runs(plan, cell):
            if row["epoch"] != cell.specification.epochs or row["seed"] not in self.seeds:
                continue
            setting, seed, metric = row["weight_setting"], row["seed"], row["metric"]
            self._values.setdefault((setting, row["split"], row["task"], metric), {})[seed] = row["value"]
            if np.isnan(row["value"]):
                (undefined if metric in UNDEFINABLE else diverged).add((setting, seed, metric))
        runs = {(setting, seed) for setting, seed, _ in diverged}
        for (setting, *_), values in self._values.items():
            values.update({seed: np.nan for seed in values if (setting, seed) in runs})
        #: Metrics that the run file has and that are defined for all of its runs.
        self.metrics = {metric for *_, metric in self._values}
        self.metrics -= {metric for setting, seed, metric in undefined if (setting, seed) not in runs}
        numbers = {run.weights: run.weight_setting for run in plan.cells[cell.name].runs}
        #: Number in the run file, and weights, of each weight setting.
        self.weight_settings = [(numbers[weights], weights) for weights in dict.fromkeys(r.weights for r in cell.runs)]

    @property
    def metric(self) -> str:
        """The metric of quality."""
        return quality_metric(self.metrics)

    def values(self, split: str, task: str, metric: str, weight_setting: int = 0) -> np.ndarray:
        """Values of one weight setting, one per seed in order, [seeds]; NaN of runs that diverged."""
        values = self._values[weight_setting, split, task, metric]
        return np.array([values[seed] for seed in self.seeds])

    def by_task(self, split: str, metric: str, weight_setting: int = 0) -> np.ndarray:
        """Values of one weight setting on the cell's tasks, [seeds, tasks]; NaN of runs that diverged."""
        return np.stack([self.values(split, task, metric, weight_setting) for task in self.cell.tasks], axis=1)


def condition_columns(cell: Cell, present: bool) -> dict[str, Any]:
    """Values of the columns :data:`CONDITION_TYPES` for the condition of a cell."""
    return {
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "variant": cell.variant,
        "architecture": cell.architecture.name,
        "depth": cell.architecture.depth,
        "width": cell.architecture.width,
        "shared_layers": cell.architecture.shared_layers,
        "present": present,
    }


def experiment_name(plan: Plan, artifact: str) -> str:
    """The one experiment that an artifact queries; its kind has ``preconditions.one_experiment``."""
    (name,) = artifacts.experiments_of(plan, artifact)
    return name


def benchmark_name(plan: Plan, artifact: str) -> str:
    """The benchmark of the one experiment that an artifact queries."""
    return plan.preset.experiments[experiment_name(plan, artifact)].benchmark


def nothing_selected(plan: Plan, artifact: str) -> ConfigError:
    """The error that ``only:`` selects nothing of an artifact, ready to be raised."""
    return ConfigError(
        f"{plan.config.source}: only = {plan.config.only.describe()} selects nothing of artifact '{artifact}'"
    )


def selected_seeds(plan: Plan, cell: Cell) -> list[int]:
    """Seeds of a cell that an experiment asks for and ``only:`` selects; empty if the cell is not selected.

    Args:
        plan: The plan.
        cell: As in ``plan.experiments`` or ``plan.conflicts``.
    """
    cells = plan.counted if cell.counts_conflicts else plan.cells
    selected: tuple[Run, ...] = cells[cell.name].runs if cell.name in cells else ()
    return sorted({run.seed for run in cell.runs} & {run.seed for run in selected})


def conditions(plan: Plan, artifact: str) -> list[Condition]:
    """Every condition of an artifact's experiment, whether selected or not.

    Raises:
        ConfigError: ``only:`` selects nothing of it.
    """
    result = conditions_of(plan, plan.experiments[experiment_name(plan, artifact)])
    if not any(condition.present for condition in result):
        raise nothing_selected(plan, artifact)
    return result


def conditions_of(plan: Plan, cells: Collection[Cell]) -> list[Condition]:
    """Every condition of one experiment under which every task has an SD baseline, whether selected or not.

    Args:
        plan: The plan.
        cells: Those of the experiment.
    """
    single = {(cell.task_set, cell.architecture, cell.variant): cell for cell in cells if cell.method == "single"}
    joint: dict[tuple[Any, ...], list[Cell]] = {}
    for method in constant_methods():
        for cell in cells:
            if cell.method == method:
                joint.setdefault((cell.task_set, cell.tasks, cell.variant, cell.architecture), []).append(cell)
    return [
        Condition(
            task_set,
            tasks,
            tuple(group),
            tuple(single[task, architecture, variant] for task in tasks),
            bool(selected_seeds(plan, group[0])),
        )
        for (task_set, tasks, variant, architecture), group in joint.items()
        if all((task, architecture, variant) in single for task in tasks)
    ]


def read_results(plan: Plan, condition: Condition) -> ConditionResults:
    """Read the results under one condition that is present.

    Raises:
        DataError: A run file is missing, damaged or incomplete.
    """
    joint = [CellResults(plan, cell) for cell in condition.joint]
    single = [CellResults(plan, cell) for cell in condition.single]
    metric = joint[0].metric
    return ConditionResults(
        condition,
        tuple(Candidate(r.cell.method, number, weights) for r in joint for number, weights in r.weight_settings),
        tuple(joint[0].seeds),
        metric,
        {
            split: np.stack([r.by_task(split, metric, number) for r in joint for number, _ in r.weight_settings])
            for split in SPLITS
        },
        {
            split: np.stack([r.values(split, t, metric) for r, t in zip(single, condition.tasks, strict=True)], axis=1)
            for split in SPLITS
        },
    )


def results_by_condition(plan: Plan, artifact: str) -> list[tuple[Condition, ConditionResults | None]]:
    """Every condition of an artifact with its results; None for one that is not selected.

    Raises:
        ConfigError: As :func:`conditions`.
        DataError: As :func:`read_results`.
    """
    return [(c, read_results(plan, c) if c.present else None) for c in conditions(plan, artifact)]


def condition_rows(
    results: list[tuple[Condition, ConditionResults | None]],
    rows: Callable[[ConditionResults], Iterable[dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """``rows`` of each condition with results, and one row of nulls per task of each without."""
    for condition, result in results:
        if result:
            yield from rows(result)
        else:
            yield from ({**condition.columns, "task": task, **statistics.spread([])} for task in condition.tasks)


def table(rows: Iterable[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    """A table with fixed columns and types; what a row does not have is null, or empty if it is a list."""
    import pandas as pd

    lists: dict[str, list[Any]] = {name: [] for name, kind in types.items() if kind == "object"}
    return pd.DataFrame([{**lists, **row} for row in rows], columns=list(types)).astype(types)
