"""The mean training loss since it was last taken, summed where the losses are."""

from __future__ import annotations

import torch
from torch import Tensor


class MeanLoss:
    """A running mean, in float64.

    Args:
        device: Where the losses are; nothing is moved from it before :attr:`value`.
    """

    def __init__(self, device: torch.device) -> None:
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._steps = 0

    def add(self, loss: Tensor) -> None:
        """Add the loss of a step, a scalar."""
        self._sum += loss
        self._steps += 1

    @property
    def value(self) -> float:
        """The mean; 0 without any step."""
        return self._sum.item() / max(1, self._steps)

    def reset(self) -> None:
        """Forget all steps."""
        self._sum.zero_()
        self._steps = 0

    def state(self) -> dict[str, Tensor | int]:
        """Everything that a resumed run needs."""
        return {"sum": self._sum, "steps": self._steps}

    def load_state(self, state: dict[str, Tensor | int]) -> None:
        """Resume from what :meth:`state` returned.

        Raises:
            KeyError: Something is missing.
        """
        self._sum.fill_(state["sum"])
        self._steps = int(state["steps"])
