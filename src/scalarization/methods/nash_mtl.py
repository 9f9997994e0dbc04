"""Nash-MTL (Navon et al. 2022): the bargaining solution alpha of G alpha = 1 / alpha, G the gradients' Gramian."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from scalarization.config import Count, NotNegative, limits
from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class NashMTLOptions(GradientOptions):
    """Options of Nash-MTL; the defaults of the first two are those of its authors' code."""

    max_norm: NotNegative = Field(1.0, le=1e6, description="Upper bound of the result's norm; 0: no bound.")
    update_weights_every: Count = Field(
        1, le=limits.STEPS, description="Number of steps after which the weights are computed again."
    )
    optim_niter: Count = Field(
        100, le=10_000, description="Maximum number of Newton steps of the solver, which rarely needs 20."
    )


def build(options: NashMTLOptions, num_tasks: int) -> Method:
    """Our own solver, which is exact; a third of the first directions of TorchJD's are wrong.

    The norm of the result does not depend on the norms of the gradients: by the definition it is sqrt(T), or
    ``max_norm`` if that is less.
    """
    from scalarization.methods._nash_mtl import Bargaining

    return Bargaining(options.max_norm, options.update_weights_every, options.optim_niter, options.include_heads)


METHOD = MethodInfo(
    name="nash_mtl",
    label="Nash-MTL",
    group=GRADIENT_BASED,
    kind="gradient",
    description="Nash-MTL (Navon et al. 2022): the bargaining solution between the tasks' gradients.",
    options=NashMTLOptions,
    formulas=CostFormulas("1", "T", "T^2, solver", "T"),
    build=build,
    rank=7,
)
