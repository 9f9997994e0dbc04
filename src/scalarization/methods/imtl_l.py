"""IMTL-L (Liu et al. 2021): sum_t exp(s_t) L_t - s_t with learned s, 0 at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import LOSS_BASED, CostFormulas, MethodInfo, NoOptions

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: NoOptions, num_tasks: int) -> Method:
    """TorchJD's IMTLL."""
    from torchjd.scalarization import IMTLL

    from scalarization.methods.base import LossMethod

    return LossMethod(IMTLL(num_tasks))


METHOD = MethodInfo(
    name="imtl_l",
    label="IMTL-L",
    group=LOSS_BASED,
    kind="loss",
    description="IMTL-L (Liu et al. 2021): weights are learned so that all weighted losses have the same scale.",
    formulas=CostFormulas(additional_computation="minor"),
    build=build,
    rank=2,
)
