"""Uncertainty weighting (Kendall et al. 2018): sum_t exp(-s_t) L_t / 2 + s_t / 2 with learned s, 0 at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import LOSS_BASED, CostFormulas, MethodInfo, NoOptions

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: NoOptions, num_tasks: int) -> Method:
    """TorchJD's UW."""
    from torchjd.scalarization import UW

    from scalarization.methods.base import LossMethod

    return LossMethod(UW(num_tasks))


METHOD = MethodInfo(
    name="uncertainty",
    label="Uncertainty",
    group=LOSS_BASED,
    kind="loss",
    description="Uncertainty weighting (Kendall et al. 2018): weights are learned from a Gaussian likelihood of the "
    "losses.",
    formulas=CostFormulas(additional_computation="minor"),
    build=build,
    rank=1,
)
