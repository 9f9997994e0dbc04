"""PCGrad (Yu et al. 2020): each task's gradient is projected off those it conflicts with, in random order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class PCGradOptions(GradientOptions):
    """Options of PCGrad."""

    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Reduction over tasks: mean (our choice, as in the code the paper measured with) or sum.",
    )


def build(options: PCGradOptions, num_tasks: int) -> Method:
    """TorchJD's PCGrad, on scalar products in float64."""
    from scalarization.methods._pcgrad import projected
    from scalarization.methods.base import SolvedMethod, reduction_scale

    scale = reduction_scale(options.reduction)
    return SolvedMethod(lambda gradients: projected(gradients, scale), include_heads=options.include_heads)


METHOD = MethodInfo(
    name="pcgrad",
    label="PCGrad",
    group=GRADIENT_BASED,
    kind="gradient",
    description="PCGrad (Yu et al. 2020): each task's gradient is projected off the gradients it conflicts with, in "
    "random order.",
    options=PCGradOptions,
    formulas=CostFormulas("1", "T", "T^2", "T"),
    build=build,
    rank=3,
)
