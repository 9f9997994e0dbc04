"""RotoGrad (Javaloy and Valera 2022): task gradients on the shared features get a common norm and learned rotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from scalarization.config import MethodOptions, NotNegative
from scalarization.methods.info import GRADIENT_BASED, CostFormulas, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class RotoGradOptions(MethodOptions):
    """Options of RotoGrad."""

    rotation_lr: NotNegative = Field(
        0.1,
        le=1000,
        description="Learning rate of the rotations, as a fraction of the network's (our choice; published: smaller "
        "than the network's).",
    )
    orthogonal_map: Literal["cayley", "matrix_exp"] = Field(
        "cayley",
        description="Map from skew-symmetric matrices to rotations: cayley (our choice, about ten times cheaper) or "
        "matrix_exp (as published).",
    )
    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Reduction over tasks: mean (our choice, comparable with uniform scalarization) or sum (as "
        "published).",
    )


def build(options: RotoGradOptions, num_tasks: int) -> Method:
    """Our own implementation; TorchJD has none."""
    from scalarization.methods._rotograd import RotoGrad

    return RotoGrad(num_tasks, options.rotation_lr, options.orthogonal_map, options.reduction)


METHOD = MethodInfo(
    name="rotograd",
    label="RotoGrad",
    group=GRADIENT_BASED,
    kind="feature",
    description="RotoGrad (Javaloy and Valera 2022): task gradients on the shared features get a common norm and "
    "learned rotations.",
    options=RotoGradOptions,
    # Gradients on the features suffice: T passes go through the heads and one through the backbone. T rotations of the
    # m features are m x m matrices.
    formulas=CostFormulas("1", "1", "T", "T (features)"),
    build=build,
    rank=4,
)
