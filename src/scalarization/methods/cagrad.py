"""CAGrad (Liu et al. 2021): the best worst-case improvement within a ball around the mean gradient g_0.

The result is g_0 + c |g_0| / |g_w| g_w, with weights w on the simplex that minimise <g_w, g_0> + c |g_0| |g_w|.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from scalarization.config import NotNegative
from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class CAGradOptions(GradientOptions):
    """Options of CAGrad."""

    c: NotNegative = Field(
        0.5, le=10, description="Radius of the ball, relative to the norm of the mean gradient (0.5 as published)."
    )
    rescale: bool = Field(
        True,
        description="Whether to divide the result by 1 + c^2 (our choice, as in the code the paper measured with).",
    )


def build(options: CAGradOptions, num_tasks: int) -> Method:
    """Our own solver, which is exact; TorchJD's gives 0 near Pareto-stationary points.

    One task gets its own gradient, as under every method. By the definition, in which g_w is g_0, it would be
    (1 + c) / (1 + c^2) times that gradient (1.2 times for c = 0.5).
    """
    from scalarization.methods._cagrad import conflict_averse
    from scalarization.methods.base import SolvedMethod

    scale = 1 / (1 + options.c**2) if options.rescale else 1.0
    return SolvedMethod(lambda gradients: conflict_averse(gradients, options.c), scale, options.include_heads)


METHOD = MethodInfo(
    name="cagrad",
    label="CAGrad",
    group=GRADIENT_BASED,
    kind="gradient",
    description="CAGrad (Liu et al. 2021): the best improvement of the worst task within a ball around the mean "
    "gradient.",
    options=CAGradOptions,
    formulas=CostFormulas("1", "T", "T^2, solver", "T"),
    build=build,
    rank=1,
)
