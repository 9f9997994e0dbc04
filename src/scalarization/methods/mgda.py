"""MGDA (Desideri 2012, Sener and Koltun 2018): the shortest convex combination of the tasks' gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from scalarization.config import Count, Positive
from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class MGDAOptions(GradientOptions):
    """Options of MGDA."""

    epsilon: Positive = Field(0.001, description="Step size below which the Frank-Wolfe algorithm stops.")
    max_iters: Count = Field(100, description="Maximum number of iterations of the Frank-Wolfe algorithm.")


def build(options: MGDAOptions, num_tasks: int) -> Method:
    """TorchJD's MGDA: exact for two tasks, the Frank-Wolfe algorithm for more."""
    from torchjd.aggregation import MGDA

    from scalarization.methods.base import GramianAggregated

    return GramianAggregated(MGDA(options.epsilon, options.max_iters), include_heads=options.include_heads)


METHOD = MethodInfo(
    name="mgda",
    label="MGDA",
    group=GRADIENT_BASED,
    kind="gradient",
    description="MGDA (Desideri 2012, Sener and Koltun 2018): the shortest convex combination of the tasks' gradients.",
    options=MGDAOptions,
    formulas=CostFormulas("1", "T", "T^2, Frank-Wolfe", "T"),
    build=build,
    rank=5,
)
