"""RLW (Lin et al. 2022): random loss weights, w = softmax of T draws of N(0, 1), new at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS: dict = {}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's Random; it has no options."""
    from torchjd.scalarization import Random

    from scalarization.methods._base import LossMethod

    return LossMethod(Random())
