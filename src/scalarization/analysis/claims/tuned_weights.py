"""C2: tuned constant weights beat uniform weights, and weights proportional to the data (appendix 2.1)."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from scalarization.analysis.claims import constant_weights, reported
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, in_points
from scalarization.analysis.runs import ConditionResults

#: Weights that one would take without a search.
HEURISTICS = ("uniform", "proportional")


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Test average at p* minus that of each heuristic, where p* was chosen from a grid that both are part of."""
    for heuristic in HEURISTICS:
        for capacities in constant_weights.by_task_set(evidence, heuristic=heuristic):
            values = capacities.at_best_weights(functools.partial(_advantage, heuristic=heuristic))
            yield capacities.compare(values.mean(axis=0), f"p* - {heuristic}", f"test average, {capacities.unit}")


def _advantage(results: ConditionResults, heuristic: str) -> np.ndarray:
    """Test average over tasks minus that of a heuristic, as of :func:`in_points`, [candidates, seeds]."""
    averages = results.joint["test"].mean(axis=2)
    reference = averages[constant_weights.heuristics(results.candidates)[heuristic]]
    return in_points(averages - reference, reference, results.metric)


CLAIM = Claim(
    2,
    "Tuned constant weights beat uniform weights and weights proportional to the amount of data.",
    "appendix 2.1",
    "positive",
    compare,
    {
        "supported": "Tuning pays: tuned weights beat weights that take no search.",
        "contradicted": "In at least one case, tuned weights are worse than weights that take no search.",
        "undecided": "Tuned weights cannot be told apart from weights that take no search.",
    },
    reported=reported.pbt_against_uniform,
)
