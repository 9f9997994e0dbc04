"""Aligned-MTL (Senushkin et al. 2023): the mean of the gradients after their matrix is made well conditioned.

All singular values of the matrix are set to one value: to the smallest of them, or to another measure of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class AlignedMTLOptions(GradientOptions):
    """Options of Aligned-MTL."""

    scale_mode: Literal["min", "median", "rmse"] = Field(
        "min",
        description="Value that all singular values are set to: min (the smallest, as published), median or rmse (the "
        "root of their mean square).",
    )


def build(options: AlignedMTLOptions, num_tasks: int) -> Method:
    """Our own solver: TorchJD's loses gradients that are much shorter than others."""
    from scalarization.methods._aligned_mtl import aligned
    from scalarization.methods.base import SolvedMethod

    return SolvedMethod(lambda gradients: aligned(gradients, options.scale_mode), include_heads=options.include_heads)


METHOD = MethodInfo(
    name="aligned_mtl",
    label="Aligned-MTL",
    group=GRADIENT_BASED,
    kind="gradient",
    description="Aligned-MTL (Senushkin et al. 2023): the mean of the gradients after the singular values of their "
    "matrix are made equal.",
    options=AlignedMTLOptions,
    formulas=CostFormulas("1", "T", "T^2, eigenvalues", "T"),
    build=build,
    rank=8,
)
