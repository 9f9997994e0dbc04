"""RLW (Lin et al. 2022): random loss weights, w = softmax of T draws of N(0, 1), new at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import SCALARIZATION, CostFormulas, MethodInfo, NoOptions

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: NoOptions, num_tasks: int) -> Method:
    """TorchJD's Random."""
    from torchjd.scalarization import Random

    from scalarization.methods.base import LossMethod

    return LossMethod(Random())


METHOD = MethodInfo(
    name="rlw",
    label="RLW",
    group=SCALARIZATION,
    kind="loss",
    description="Random loss weighting (Lin et al. 2022): weights are drawn anew at every step, as the softmax of "
    "normal numbers.",
    formulas=CostFormulas(additional_computation="minor"),
    build=build,
    rank=4,
)
