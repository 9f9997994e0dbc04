"""MGDA (Desideri 2012, Sener and Koltun 2018): the shortest convex combination of the tasks' gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: GradientOptions, num_tasks: int) -> Method:
    """Our own solver, which is exact; TorchJD's, the Frank-Wolfe algorithm, stops percents away."""
    from scalarization.methods._mgda import shortest
    from scalarization.methods.base import SolvedMethod

    return SolvedMethod(shortest, include_heads=options.include_heads)


METHOD = MethodInfo(
    name="mgda",
    label="MGDA",
    group=GRADIENT_BASED,
    kind="gradient",
    description="MGDA (Desideri 2012, Sener and Koltun 2018): the shortest convex combination of the tasks' gradients.",
    options=GradientOptions,
    formulas=CostFormulas("1", "T", "T^2, solver", "T"),
    build=build,
    rank=5,
)
