"""CAGrad (Liu et al. 2021): the best worst-case improvement within a ball around the mean gradient g_0.

The result is g_0 + c |g_0| / |g_w| g_w, with weights w on the simplex that minimise <g_w, g_0> + c |g_0| |g_w|.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"c": 0.5, "rescale": True, "include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's CAGrad.

    One task: its gradient as it is, as for every method; by the definition, in which g_w is g_0, it would be
    (1 + c) / (1 + c^2) times that (1.2 for c = 0.5). A failure of the solver gives the mean.

    Args:
        options: ``c``, the ball's radius relative to that gradient's norm (0.5 as published); ``rescale``, whether to
            divide by 1 + c^2 (choice, as in the code the paper measured with); ``include_heads``.
        tasks: Number of tasks.

    Raises:
        ImportError: TorchJD's extra ``cagrad`` is not installed.
    """
    from cvxpy.error import SolverError
    from torchjd.aggregation import CAGrad

    from scalarization.methods._base import Aggregated

    scale = 1 / (1 + options["c"] ** 2) if options["rescale"] else 1.0
    # A solver that gives up without raising leaves None for the weights: then a product with it fails.
    failures = (SolverError, TypeError, ValueError)
    return Aggregated(CAGrad(options["c"]), lambda count: scale, options["include_heads"], failures)
