"""C4: joint training helps at test time and not at training time (appendix 2.2)."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from scalarization.analysis.claims import constant_weights
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Gain over SD at p* on test, and the same minus the gain on the train split."""
    for capacities in constant_weights.by_task_set(evidence, with_single=True):
        test, train = (
            capacities.at_best_weights(functools.partial(constant_weights.gain, split=split)).mean(axis=0)
            for split in ("test", "train")
        )
        yield capacities.compare(test, "joint training - SD, test", f"test average, {capacities.unit}")
        yield capacities.compare(
            test - train, "joint training - SD, test less train", f"test less train average, {capacities.unit}"
        )


CLAIM = Claim(
    4,
    "Joint training with the best constant weights helps at test time, and more than at training time.",
    "appendix 2.2",
    "positive",
    compare,
    {
        "supported": "Joint training helps on new data, and more than on the training data: it helps generalisation.",
        "contradicted": "In at least one case, joint training is worse on new data or gains more on the training data.",
        "undecided": "It is open whether joint training helps generalisation.",
    },
)
