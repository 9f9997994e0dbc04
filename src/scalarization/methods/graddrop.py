"""GradDrop (Chen et al. 2020): each coordinate keeps the gradients of one sign only.

The positive sign is kept with probability P = (1 + sum_t g_t / sum_t |g_t|) / 2, drawn anew at every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"reduction": "mean", "include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's GradDrop without leak. Coordinates in which all gradients are 0 (P is 0 / 0) give 0.

    Args:
        options: ``reduction`` over tasks, ``mean`` (choice, as in the code the paper measured with) or ``sum``;
            ``include_heads``.
        tasks: Number of tasks.
    """
    from torchjd.aggregation import GradDrop

    from scalarization.methods._base import Aggregated, reduction_scale

    return Aggregated(GradDrop(), reduction_scale(options["reduction"]), options["include_heads"])
