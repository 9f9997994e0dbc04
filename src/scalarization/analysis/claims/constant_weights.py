"""What the claims on constant weights have in common: conditions that differ in capacity alone, and values at p*."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scalarization.analysis import runs
from scalarization.analysis.claims.base import Comparison, difference
from scalarization.analysis.claims.evidence import Evidence, Group, by_family, in_points, unit
from scalarization.analysis.method_lines import Line
from scalarization.analysis.runs import Candidate, CellResults, ConditionResults
from scalarization.benchmarks import SPLITS
from scalarization.plan.cells import Cell

#: With one seed no other seed can choose p*.
ONE_SEED = "one seed chooses p* and is measured, not cross-fitted: nothing can be tested"


@dataclasses.dataclass(frozen=True)
class Capacities:
    """Conditions that differ in capacity alone.

    Attributes:
        conditions: Their results, of the seeds that all of them have.
        capacity: How a comparison over all of them names its capacity.
        note: Which seeds are left out; may be empty.
    """

    conditions: tuple[ConditionResults, ...]
    capacity: str
    note: str

    @property
    def unit(self) -> str:
        """Unit of :func:`in_points`."""
        return unit(self.conditions[0].metric)

    def at_best_weights(self, values_of: Callable[[ConditionResults], np.ndarray]) -> np.ndarray:
        """Values at p*, cross-fitted: for each seed the other seeds choose p* on validation, at each capacity.

        Args:
            values_of: Results at a capacity -> values [candidates, seeds].

        Returns:
            [capacities, seeds], as :attr:`scalarization.analysis.cross_fitting.CrossFitted.adjusted`: the spread over
            seeds includes what the choice adds.
        """
        return np.stack([results.cross_fit(values_of(results)).adjusted for results in self.conditions])

    def compare(self, values: np.ndarray, comparison: str, statistic: str, margin: float | None = None) -> Comparison:
        """A comparison of values of p*, [seeds]; arguments as of :class:`Comparison`."""
        cell = self.conditions[0].condition.joint[0]
        result = difference(
            values,
            benchmark=cell.benchmark,
            task_set=cell.task_set if cell.variant == "base" else f"{cell.task_set}, {cell.variant}",
            comparison=comparison,
            statistic=statistic,
            capacity=self.capacity,
            margin=margin,
        )
        note = ONE_SEED if len(values) == 1 and result.estimate else result.note
        return dataclasses.replace(result, note="; ".join(filter(None, (note, self.note))))

    def without_estimate(self, note: str, comparison: str, statistic: str, margin: float | None = None) -> Comparison:
        """A comparison of what cannot be compared; ``note`` says why."""
        compared = self.compare(np.array([]), comparison, statistic, margin)
        return dataclasses.replace(compared, note=note, reason="not comparable")


class _Needed(NamedTuple):
    """What a claim needs of one condition.

    Attributes:
        group: The condition.
        constant: Results with constant weights, the grid first.
        single: Those of each task's SD baseline; empty if they are not needed.
        heuristic: Those of the cell that has the heuristic; the grid if that has it or none is needed.
    """

    group: Group
    constant: list[CellResults]
    single: list[CellResults]
    heuristic: CellResults

    @property
    def cells(self) -> list[Cell]:
        """The cells whose seeds count."""
        return [results.cell for results in (self.constant[0], self.heuristic, *self.single)]

    @property
    def seeds(self) -> set[int]:
        """The seeds that all of these have."""
        return set.intersection(*(set(r.seeds) for r in (self.constant[0], self.heuristic, *self.single)))


def by_task_set(evidence: Evidence, *, with_single: bool = False, heuristic: str | None = None) -> Iterator[Capacities]:
    """Every benchmark, task set, variant and family of architectures, with the capacities that have a grid.

    Without a grid no p* was chosen. Cells of all experiments count together.

    Args:
        evidence: What was run.
        with_single: Whether every task must have an SD baseline that is trained in the same way. Only then the results
            have them.
        heuristic: Weights that must be among the candidates: ``uniform`` or ``proportional``.
    """
    for groups in by_family(evidence.groups):
        usable = [needed for group in groups if (needed := _needed(group, with_single, heuristic))]
        seeds = sorted(set.intersection(*(needed.seeds for needed in usable))) if usable else []
        if seeds:
            cells = [cell for needed in usable for cell in needed.cells]
            yield Capacities(
                tuple(_results(needed, seeds) for needed in usable),
                evidence.capacity(needed.constant[0].cell for needed in usable),
                evidence.note_on_seeds(seeds, cells),
            )


def heuristics(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Heuristic -> number of the first candidate that has its weights."""
    return {candidate.heuristic: n for n, candidate in reversed([*enumerate(candidates)]) if candidate.heuristic}


def gain(results: ConditionResults, split: str) -> np.ndarray:
    """Average over tasks of joint training minus SD, as of :func:`in_points`, [candidates, seeds]."""
    joint, single = results.joint[split].mean(axis=2), results.single[split].mean(axis=1)
    return in_points(joint - single, single, results.metric)


def _needed(group: Group, with_single: bool, heuristic: str | None) -> _Needed | None:
    """What is needed of a condition; None if some of it was not run."""
    lines = [Line(method, "") for method in runs.constant_methods()]
    constant = [group.lines[line] for line in lines if line in group.lines]
    single = _single(group) if with_single else []
    if not constant or constant[0].cell.method != "grid" or (with_single and not single):
        return None
    having = (results for results in constant if heuristic in heuristics(_candidates(results)))
    of_heuristic = next(having, None) if heuristic else constant[0]
    return _Needed(group, constant, single, of_heuristic) if of_heuristic else None


def _single(group: Group) -> list[CellResults]:
    """Results of each task's SD baseline; empty unless all are selected and trained as the joint models are."""
    cells, plan = group.methods.single, group.evidence.plan
    alike = [
        cell for cell in cells.values() if cell.name in plan.cells and _training(cell) == _training(group.methods.first)
    ]
    return [group.evidence.results(cell) for cell in alike] if len(alike) == len(cells) else []


def _training(cell: Cell) -> tuple[object, ...]:
    """What must be equal of the training of a joint model and an SD baseline."""
    specification = cell.specification
    lengths = specification.epochs, specification.steps_per_epoch
    return specification.model.describe(), specification.recipe.describe(), *lengths


def _candidates(results: CellResults) -> list[Candidate]:
    """The weight settings of a cell in the order of their weights: so no order of experiments decides between ties."""
    settings = sorted(results.weight_settings, key=lambda setting: setting[1])
    return [Candidate(results.cell.method, number, weights) for number, weights in settings]


def _results(needed: _Needed, seeds: list[int]) -> ConditionResults:
    """Results of some seeds under one condition; candidates are all constant weights that have all of these seeds."""
    constant = [results for results in needed.constant if set(seeds) <= set(results.seeds)]
    candidates = [(results, candidate) for results in constant for candidate in _candidates(results)]
    first, metric = constant[0].cell, constant[0].metric

    def of_seeds(results: CellResults, values: np.ndarray) -> np.ndarray:
        return values[[results.seeds.index(seed) for seed in seeds]]

    single = {
        split: np.stack(
            [
                of_seeds(results, results.values(split, task, metric))
                for task, results in zip(first.tasks, needed.single, strict=True)
            ],
            axis=1,
        )
        for split in SPLITS
        if needed.single
    }
    joint = {
        split: np.stack([of_seeds(r, r.by_task(split, metric, c.weight_setting)) for r, c in candidates])
        for split in SPLITS
    }
    single_cells = tuple(results.cell for results in needed.single)
    condition = runs.Condition(first.task_set, first.tasks, tuple(r.cell for r in constant), single_cells, True)
    return ConditionResults(
        condition, tuple(candidate for _, candidate in candidates), tuple(seeds), metric, joint, single
    )
