"""Nash-MTL (Navon et al. 2022): the bargaining solution alpha of G alpha = 1 / alpha, G the gradients' Gramian."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from scalarization.config import Count, NotNegative
from scalarization.methods.info import GRADIENT_BASED, CostFormulas, GradientOptions, MethodInfo

if TYPE_CHECKING:
    from scalarization.methods.base import Method


class NashMTLOptions(GradientOptions):
    """Options of Nash-MTL; the defaults are those of its authors' code."""

    max_norm: NotNegative = Field(1.0, description="Upper bound of the result's norm; 0: no bound.")
    update_weights_every: Count = Field(1, description="Number of steps after which the weights are computed again.")
    optim_niter: Count = Field(20, description="Maximum number of iterations of the solver.")


def build(options: NashMTLOptions, num_tasks: int) -> Method:
    """TorchJD's NashMTL, whose solver starts from the alpha of the last step.

    The norm of the result does not depend on the norms of the gradients: by the definition it is sqrt(T), or
    ``max_norm`` if that is less.

    Raises:
        ImportError: TorchJD's extra ``nash-mtl`` is not installed.
    """
    import cvxpy  # noqa: F401  TorchJD only checks that a file of this name exists

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
