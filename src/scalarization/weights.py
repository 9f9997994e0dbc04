"""The weights of the tasks or domains of a run over its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WeightSchedule:
    """The weights of a run over its epochs: constant, or a policy that a search found.

    Attributes:
        weights: One weight vector for all epochs, or one per epoch.
    """

    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def constant(cls, weights: Sequence[float]) -> WeightSchedule:
        """The same weights at every epoch."""
        return cls((tuple(weights),))

    def at_epoch(self, epoch: int) -> tuple[float, ...]:
        """Weights of an epoch, counted from 0; one per task."""
        return self.weights[epoch] if len(self.weights) > 1 else self.weights[0]
