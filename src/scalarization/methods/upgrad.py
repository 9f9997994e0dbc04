"""UPGrad (Quinton and Rey 2024): the mean of the gradients, each projected onto the dual cone of all gradients.

The result conflicts with no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: GradientOptions, num_tasks: int) -> Method:
    """TorchJD's UPGrad. If the solver fails, the result is the mean gradient.

    Raises:
        ImportError: TorchJD's extra ``quadprog-projector`` is not installed.
    """
    import qpsolvers
    from torchjd.aggregation import UPGrad

    from scalarization.methods.base import GramianAggregated

    failures = (ValueError, qpsolvers.exceptions.QPError)
    return GramianAggregated(UPGrad(), include_heads=options.include_heads, failures=failures)


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
