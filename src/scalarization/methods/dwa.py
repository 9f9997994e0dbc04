"""DWA (Liu et al. 2019): weights from the rates at which losses fell over the last two epochs.

w = T softmax((L(e - 1) / L(e - 2)) / temperature) with losses averaged over an epoch, 1 in the first two epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from scalarization.config import MethodOptions, Positive
from scalarization.methods.info import LOSS_BASED, CostFormulas, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class DWAOptions(MethodOptions):
    """Options of DWA."""

    temperature: Positive = Field(
        2.0,
        ge=0.01,
        le=1e6,
        description="Temperature of the softmax (2 as published); a higher one makes weights more equal.",
    )
    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Reduction over tasks: mean (our choice, comparable with uniform scalarization) or sum (as "
        "published).",
    )


def build(options: DWAOptions, num_tasks: int) -> Method:
    """TorchJD's DWA."""
    from scalarization.methods._dwa import DynamicWeightAverage
    from scalarization.methods.base import reduction_scale

    return DynamicWeightAverage(num_tasks, options.temperature, reduction_scale(options.reduction)(num_tasks))


METHOD = MethodInfo(
    name="dwa",
    label="DWA",
    group=LOSS_BASED,
    kind="loss",
    description="Dynamic weight average (Liu et al. 2019): a task gets more weight if its loss fell more slowly over "
    "the last two epochs.",
    options=DWAOptions,
    formulas=CostFormulas(additional_computation="minor"),
    build=build,
    rank=3,
)
