"""IMTL-L (Liu et al. 2021): sum_t exp(s_t) L_t - s_t with learned s, 0 at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS: dict = {}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's IMTLL for ``tasks`` losses; it has no options."""
    from torchjd.scalarization import IMTLL

    from scalarization.methods._base import LossMethod

    return LossMethod(IMTLL(tasks))
