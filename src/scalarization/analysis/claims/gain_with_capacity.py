"""C1: joint training helps more as capacity grows (appendix 2.1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scalarization.analysis.claims import constant_weights
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence

#: Regressor -> how its slope is named, of those whose slope the claim is about.
SLOPES = {"width": "doubling of width", "depth": "layer of depth"}


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Slopes over capacities of the test gain over SD at p*: one regression per seed on all that varies.

    Where width and depth change together, no regression can tell them apart, and there is no estimate.
    """
    for capacities in constant_weights.by_task_set(evidence, with_single=True):
        architectures = [results.condition.joint[0].architecture for results in capacities.conditions]
        regressors = {
            "width": np.log2([architecture.width for architecture in architectures]),
            "depth": np.array([float(architecture.depth) for architecture in architectures]),
            "shared_layers": np.array([float(architecture.shared_layers or 0) for architecture in architectures]),
        }
        varied = {name: values for name, values in regressors.items() if len(set(values.tolist())) > 1}
        design = np.column_stack([np.ones(len(architectures)), *varied.values()])
        described = {name: _described(name, capacities.unit) for name in varied if name in SLOPES}
        if np.linalg.matrix_rank(design) < design.shape[1]:
            note = f"{' and '.join(varied).replace('_', ' ')} change together"
            yield from (capacities.without_estimate(note, *names) for names in described.values())
            continue
        gains = capacities.at_best_weights(lambda results: constant_weights.gain(results, "test"))
        coefficients = np.linalg.pinv(design) @ gains  # of all seeds at once [intercept and regressors, seeds]
        for name, slope in zip(varied, coefficients[1:], strict=True):
            if name in described:
                yield capacities.compare(slope, *described[name])


def _described(regressor: str, unit: str) -> tuple[str, str]:
    """What is compared, and the statistic, of the slope on a regressor."""
    slope = f"slope of the test average, {unit} per {SLOPES[regressor]}"
    return f"gain of joint training over SD, by {regressor}", slope


CLAIM = Claim(
    1,
    "Joint training with the best constant weights helps more as capacity grows.",
    "appendix 2.1",
    "positive",
    compare,
    {
        "supported": "Joint training gains more over training each task alone as capacity grows.",
        "contradicted": "In at least one case, joint training gains less as capacity grows.",
        "undecided": "It is open whether the gain of joint training grows with capacity.",
    },
)
