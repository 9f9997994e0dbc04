"""C3: the best weights depend on capacity, yet those of a small model serve a large one (appendix 2.1 and 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scalarization.analysis import cross_fitting
from scalarization.analysis.claims import constant_weights, tuned_weights
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, in_points
from scalarization.analysis.claims.method_pairs import noted
from scalarization.analysis.runs import ConditionResults
from scalarization.plan import estimates

Pair = tuple[int | None, int | None]


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Test average of larger models trained with the smallest model's p* minus that with their own p*."""
    for all_capacities in constant_weights.by_task_set(evidence):
        capacities = all_capacities.only(tuned_weights.has_grid)
        if capacities is None:
            continue
        small, *larger = sorted(
            capacities.conditions, key=lambda r: estimates.flops(evidence.plan, r.condition.joint[0])
        )
        larger = [results for results in larger if _settings(results) == _settings(small)]
        if not larger:
            continue
        comparison = capacities.compare(
            np.mean([_advantage(small, large).adjusted for large in larger], axis=0),
            f"p* of {small.condition.joint[0].architecture.name} - own p*",
            f"test average, {capacities.unit}",
            evidence.margin,
        )
        yield noted(comparison, _range([small, *larger]))


def _settings(results: ConditionResults) -> list[tuple[float, ...]]:
    """The candidates' weights, by which capacities can be compared."""
    return [candidate.weights for candidate in results.candidates]


def _advantage(small: ConditionResults, large: ConditionResults) -> cross_fitting.CrossFitted:
    """Test average of a large model with a small one's p* minus that with its own [seeds].

    For each seed the other seeds choose both.
    """
    test = large.joint["test"].mean(axis=2)

    def both(seeds: Sequence[int]) -> Pair:
        return small.choose(seeds), large.choose(seeds)

    def difference(pair: Pair) -> np.ndarray:
        if None in pair:
            return np.full(test.shape[1], np.nan)
        theirs, own = (test[candidate] for candidate in pair)
        return in_points(theirs - own, own, large.metric)

    return cross_fitting.cross_fit(both, difference, len(large.seeds))


def _range(conditions: list[ConditionResults]) -> str:
    """How far p* moves over the capacities, as a note: ``p* of stl10 is 0.1 to 0.4``; empty if there is none."""
    weights = [w for results in conditions if not np.isnan(w := results.weight(results.optimum, 0))]
    ends = dict.fromkeys(f"{end:.2g}" for end in (min(weights), max(weights))) if weights else {}
    return f"p* of {conditions[0].condition.tasks[0]} is {' to '.join(ends)}" if ends else ""


CLAIM = Claim(
    3,
    "The best constant weights of a small model serve a large one.",
    "appendix 2.1 and 4",
    "not_worse",
    compare,
    {
        "supported": "Large models lose less than the margin if they take their weights from a small one.",
        "contradicted": "In at least one case, weights from a small model cost a large one more than the margin.",
        "undecided": "It is open whether weights from a small model cost a large one more than the margin.",
    },
)
