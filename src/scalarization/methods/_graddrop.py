"""The class of GradDrop, see graddrop.py. It is a module of its own because it imports torch at the top."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scalarization.methods.base import GradientMethod
from scalarization.methods.jacobian import columns


class SignDropout(GradientMethod):
    """Keeps the gradients of one sign of each coordinate, without leak.

    With p and n the sums of a coordinate's positive and negative gradients, the probability of the positive sign is
    (1 + (p + n) / (p - n)) / 2 = p / (p - n). A coordinate in which all gradients are 0 gives 0.

    Args:
        scale: Factor on the sum over tasks, as a function of T.
        include_heads: See :class:`GradientMethod`.
    """

    def __init__(self, scale: Callable[[int], float], include_heads: bool) -> None:
        super().__init__(include_heads)
        self.scale = scale

    @torch.no_grad()
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] to one gradient [P]."""
        if len(jacobian) == 1:
            return jacobian[0].clone()
        result = torch.rand(jacobian.shape[1:], dtype=jacobian.dtype, device=jacobian.device)
        start = 0
        for part in columns(jacobian):
            positive = part.clamp(min=0).sum(0, dtype=torch.float64)
            negative = part.clamp(max=0).sum(0, dtype=torch.float64)
            absolute = positive - negative
            place = slice(start, start + len(absolute))
            kept = torch.where(result[place] < positive / absolute, positive, negative) * self.scale(len(jacobian))
            result[place] = torch.where(absolute.isfinite(), kept, torch.nan)
            start = place.stop
        return result
