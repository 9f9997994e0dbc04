"""The class of FAMO, see famo.py. It is a module of its own because it imports torch at the top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchjd.scalarization import FAMO

from scalarization.methods.base import RememberingLossMethod


class FastAdaptive(RememberingLossMethod):
    """TorchJD's FAMO with gradient accumulation and a state that can be saved.

    FAMO trains its logits itself. Their ``.grad`` stays None, so the network's optimiser does not change them.

    Args:
        num_tasks: Number of tasks.
        lr: Learning rate of the logits.
        weight_decay: Weight decay of the logits.
    """

    scalarizer: FAMO

    def __init__(self, num_tasks: int, lr: float, weight_decay: float) -> None:
        super().__init__(FAMO(num_tasks, lr=lr, weight_decay=weight_decay), num_tasks)
        self._before: list[Tensor] = []
        self._absent: Tensor | None = None

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar that is minimised; see :class:`LossMethod`."""
        result = super().forward(losses, absent)
        self._before.append(self.last.clone())
        self._absent = absent
        return result

    @property
    def needs_losses_after(self) -> bool:
        """FAMO compares the losses before and after a step."""
        return True

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        """Train the logits. The losses before the step are the mean over its micro-batches."""
        before = torch.stack(self._before).mean(0)
        self.last.copy_(before)
        self.scalarizer._prev_losses = before
        self.scalarizer.update(self.complete(losses(), self._absent))
        self._before = []

    def extra_state(self) -> dict[str, Any]:
        """State of the logits' Adam optimiser; None before its first step."""
        adam = self.scalarizer._optimizer
        return {"adam": None if adam is None else adam.state_dict()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""
        famo = self.scalarizer
        famo._optimizer = None
        if state["adam"] is not None:
            famo._optimizer = torch.optim.Adam([famo._w], lr=famo.lr, weight_decay=famo.weight_decay)
            famo._optimizer.load_state_dict(state["adam"])
