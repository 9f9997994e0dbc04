"""DWA as a method, see dwa.py; apart from it because it needs torch when it is imported."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchjd.scalarization import DWA

from scalarization.methods._base import RememberingLossMethod

#: Below it an epoch's loss counts as this much, so that a ratio of losses is never 0 / 0.
SMALLEST = 1e-8


class DynamicWeightAverage(RememberingLossMethod):
    """TorchJD's DWA with a state that can be saved.

    Args:
        tasks: Number of tasks.
        temperature: Of the softmax.
        scale: Factor on the sum over tasks.
    """

    def __init__(self, tasks: int, temperature: float, scale: float) -> None:
        super().__init__(DWA(temperature), tasks)
        self.scale = scale

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar to be minimised; see :class:`LossMethod`."""
        return super().forward(losses, absent) * self.scale

    def after_epoch(self) -> None:
        """Average the epoch's losses, from which the next epoch's weights are made."""
        self.scalarizer.step()
        averages = self.scalarizer._previous_averages
        self.scalarizer._previous_averages = [a.clamp(min=SMALLEST) for a in averages]

    def extra_state(self) -> dict[str, Any]:
        """Averages of the last two epochs, sum and number of losses in the current one."""
        dwa = self.scalarizer
        return {"averages": dwa._previous_averages, "sum": dwa._loss_sum, "batches": dwa._n_batches}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`extra_state` returned."""
        dwa = self.scalarizer
        dwa._previous_averages, dwa._loss_sum, dwa._n_batches = state["averages"], state["sum"], state["batches"]
