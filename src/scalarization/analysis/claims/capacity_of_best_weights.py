"""C3: the best weights depend on capacity, yet those of a small model serve a large one (appendix 2.1 and 4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from scalarization.analysis import cross_fitting
from scalarization.analysis.claims import constant_weights
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, in_points
from scalarization.analysis.claims.method_pairs import noted
from scalarization.analysis.runs import ConditionResults
from scalarization.plan import estimates

Pair = tuple[int | None, int | None]


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Test average of larger models trained with the smallest model's p* minus that with their own p*.

    Each larger model is compared by the weight settings that the smallest one was trained with as well.
    """
    for capacities in constant_weights.by_task_set(evidence):
        small, *larger = sorted(
            capacities.conditions, key=lambda r: (estimates.flops(evidence.plan, r.condition.joint[0]), _name(r))
        )
        if not larger:
            continue
        pairs = [(small, large, _common(small, large)) for large in larger]
        compared = [(_only(small, common), _only(large, common)) for small, large, common in pairs if len(common) > 1]
        names = (f"p* of {_name(small)} - own p*", f"test average, {capacities.unit}", evidence.margin)
        if compared:
            advantages = [_advantage(*pair).adjusted for pair in compared]
            comparison = capacities.compare(np.mean(advantages, axis=0), *names)
            yield noted(comparison, _range([results for pair in compared for results in pair]), *_left_out(pairs))
        else:
            yield capacities.without_estimate("; ".join(_left_out(pairs)), *names)


def _name(results: ConditionResults) -> str:
    """Name of the architecture."""
    return results.condition.joint[0].architecture.name


def _common(small: ConditionResults, large: ConditionResults) -> list[tuple[float, ...]]:
    """Weights that both were trained with, in the order of the small model's candidates, each once."""
    weights = {candidate.weights for candidate in large.candidates}
    return [w for w in dict.fromkeys(candidate.weights for candidate in small.candidates) if w in weights]


def _only(results: ConditionResults, weights: list[tuple[float, ...]]) -> ConditionResults:
    """The first candidate with each of some weights, in their order."""
    first = {candidate.weights: n for n, candidate in reversed([*enumerate(results.candidates)])}
    numbers = [first[w] for w in weights]
    joint = {split: values[numbers] for split, values in results.joint.items()}
    return dataclasses.replace(results, candidates=tuple(results.candidates[n] for n in numbers), joint=joint)


def _left_out(pairs: list[tuple[ConditionResults, ConditionResults, list[tuple[float, ...]]]]) -> Iterator[str]:
    """Notes on larger models that cannot be compared, and on weight settings that are not."""
    if apart := [_name(large) for _, large, common in pairs if len(common) < 2]:
        yield f"{', '.join(apart)} left out: fewer than two weight settings in common with {_name(pairs[0][0])}"
    settings = [
        {candidate.weights for candidate in results.candidates} != set(common)
        for *both, common in pairs
        for results in both
        if len(common) > 1
    ]
    if any(settings):
        yield "only weight settings that both models have"


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
