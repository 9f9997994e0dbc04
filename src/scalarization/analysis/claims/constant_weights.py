"""What the claims on constant weights have in common: conditions that differ in capacity alone, and values at p*."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scalarization.analysis.claims.base import ALL_CAPACITIES, Comparison, difference
from scalarization.analysis.claims.evidence import Evidence, in_points, unit
from scalarization.analysis.runs import ConditionResults

#: With one seed no other seed can choose p*.
ONE_SEED = "one seed chooses p* and is measured, not cross-fitted: nothing can be tested"


@dataclasses.dataclass(frozen=True)
class Capacities:
    """Conditions that differ in capacity alone.

    Attributes:
        conditions: Their results, of the seeds that all of them have.
        capacity: How a comparison over all of them names its capacity.
    """

    conditions: tuple[ConditionResults, ...]
    capacity: str

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
        return dataclasses.replace(result, note=ONE_SEED) if len(values) == 1 else result

    def only(self, keep: Callable[[ConditionResults], Any]) -> Capacities | None:
        """Those of some conditions; None if there are none."""
        conditions = tuple(results for results in self.conditions if keep(results))
        return dataclasses.replace(self, conditions=conditions) if conditions else None


def by_task_set(evidence: Evidence) -> Iterator[Capacities]:
    """Every benchmark, task set, variant and family of architectures, with its capacities."""
    groups: dict[tuple[Any, ...], dict[str, list[ConditionResults]]] = {}
    for results in evidence.conditions:
        cell = results.condition.joint[0]
        families = groups.setdefault((cell.benchmark, cell.task_set, cell.tasks, cell.variant), {})
        families.setdefault(cell.architecture.family, []).append(results)
    for families in groups.values():
        for family, conditions in families.items():
            common = set.intersection(*(set(results.seeds) for results in conditions))
            if common:
                capacity = ALL_CAPACITIES if len(families) == 1 else f"{ALL_CAPACITIES} {family}"
                yield Capacities(tuple(_of_seeds(results, common) for results in conditions), capacity)


def _of_seeds(results: ConditionResults, seeds: set[int]) -> ConditionResults:
    """The results of some of the seeds."""
    places = [place for place, seed in enumerate(results.seeds) if seed in seeds]
    return dataclasses.replace(
        results,
        seeds=tuple(results.seeds[place] for place in places),
        joint={split: values[:, places] for split, values in results.joint.items()},
        single={split: values[places] for split, values in results.single.items()},
    )


def gain(results: ConditionResults, split: str) -> np.ndarray:
    """Average over tasks of joint training minus SD, as of :func:`in_points`, [candidates, seeds]."""
    joint, single = results.joint[split].mean(axis=2), results.single[split].mean(axis=1)
    return in_points(joint - single, single, results.metric)
