"""MGDA (Desideri 2012, Sener and Koltun 2018): the shortest convex combination of the tasks' gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"epsilon": 0.001, "max_iters": 100, "include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's MGDA, exact for two tasks, else Frank-Wolfe.

    Args:
        options: ``epsilon``, the step size below which Frank-Wolfe ends; ``max_iters``; ``include_heads``.
        tasks: Number of tasks.
    """
    from torchjd.aggregation import MGDA

    from scalarization.methods._base import Aggregated

    return Aggregated(MGDA(options["epsilon"], options["max_iters"]), include_heads=options["include_heads"])
