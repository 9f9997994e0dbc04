"""Uncertainty weighting (Kendall et al. 2018): sum_t exp(-s_t) L_t / 2 + s_t / 2 with learned s, 0 at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS: dict = {}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's UW for ``tasks`` losses; it has no options."""
    from torchjd.scalarization import UW

    from scalarization.methods._base import LossMethod

    return LossMethod(UW(tasks))
