"""FAMO (Liu et al. 2023): c sum_t z_t log L_t, z a softmax of learned logits, so that all losses fall at one rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from scalarization.config import MethodOptions, NotNegative
from scalarization.methods.info import LOSS_BASED, CostFormulas, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class FAMOOptions(MethodOptions):
    """Options of FAMO."""

    lr: NotNegative = Field(
        0.025, le=1000, description="Learning rate of the Adam optimiser of the logits (as published)."
    )
    weight_decay: NotNegative = Field(
        1e-3, le=1000, description="Weight decay of the Adam optimiser of the logits (as published)."
    )


def build(options: FAMOOptions, num_tasks: int) -> Method:
    """TorchJD's FAMO."""
    from scalarization.methods._famo import FastAdaptive

    return FastAdaptive(num_tasks, options.lr, options.weight_decay)


METHOD = MethodInfo(
    name="famo",
    label="FAMO",
    group=LOSS_BASED,
    kind="loss",
    description="FAMO (Liu et al. 2023): weights are learned so that all losses fall at the same rate.",
    options=FAMOOptions,
    # The second forward pass computes the losses after the step.
    formulas=CostFormulas(forward_passes="2", additional_computation="minor"),
    build=build,
    rank=4,
)
