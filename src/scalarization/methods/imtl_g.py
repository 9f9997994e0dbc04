"""IMTL-G (Liu et al. 2021): weights that sum to 1 and make the projections on all tasks' gradient directions equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


def build(options: GradientOptions, num_tasks: int) -> Method:
    """Our own solver: TorchJD's loses all digits where the norms of gradients differ much. Weights may be negative."""
    from scalarization.methods._imtl_g import impartial
    from scalarization.methods.base import SolvedMethod

    return SolvedMethod(impartial, include_heads=options.include_heads)


METHOD = MethodInfo(
    name="imtl_g",
    label="IMTL-G",
    group=GRADIENT_BASED,
    kind="gradient",
    description="IMTL-G (Liu et al. 2021): the weighted sum of gradients whose projections on all tasks' gradient "
    "directions are equal.",
    options=GradientOptions,
    formulas=CostFormulas("1", "T", "T^2", "T"),
    build=build,
    rank=6,
)
