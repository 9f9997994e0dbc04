"""UPGrad (Quinton and Rey 2024): the mean of the gradients, each projected onto the dual cone of all gradients.

The result conflicts with no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: GradientOptions, num_tasks: int) -> Method:
    """Our own solver, which is exact; TorchJD's adds 1e-4 to the diagonal of the Gramian."""
    from scalarization.methods._upgrad import mean_projection
    from scalarization.methods.base import SolvedMethod

    return SolvedMethod(mean_projection, include_heads=options.include_heads)


METHOD = MethodInfo(
    name="upgrad",
    label="UPGrad",
    group=GRADIENT_BASED,
    kind="gradient",
    description="UPGrad (Quinton and Rey 2024): the mean of the gradients, each projected so that it conflicts with no "
    "task.",
    options=GradientOptions,
    formulas=CostFormulas("1", "T", "T^2, T solvers", "T"),
    build=build,
    rank=9,
)
