"""The class of DWA, see dwa.py. It is a module of its own because it imports torch at the top."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchjd.scalarization import DWA

from scalarization.methods.base import RememberingLossMethod

#: Lower bound of an epoch's average loss, so that a ratio of losses is never 0 / 0.
SMALLEST = 1e-8


class DynamicWeightAverage(RememberingLossMethod):
    """TorchJD's DWA with a state that can be saved.

    Args:
        num_tasks: Number of tasks.
        temperature: Temperature of the softmax.
        scale: Factor on the sum over tasks.
    """

    scalarizer: DWA

    def __init__(self, num_tasks: int, temperature: float, scale: float) -> None:
        super().__init__(DWA(temperature), num_tasks)
        self.scale = scale

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar that is minimised; see :class:`LossMethod`."""
        return super().forward(losses, absent) * self.scale

    def after_epoch(self) -> None:
        """Average the epoch's losses; the next epoch's weights are computed from the averages."""
        self.scalarizer.step()
        averages = self.scalarizer._previous_averages
        self.scalarizer._previous_averages = [a.clamp(min=SMALLEST) for a in averages]

    def extra_state(self) -> dict[str, Any]:
        """Average losses of the last two epochs; sum and number of the losses in the current epoch."""
        dwa = self.scalarizer
        return {"averages": dwa._previous_averages, "sum": dwa._loss_sum, "batches": dwa._n_batches}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""
        dwa = self.scalarizer
        dwa._previous_averages, dwa._loss_sum, dwa._n_batches = state["averages"], state["sum"], state["batches"]
