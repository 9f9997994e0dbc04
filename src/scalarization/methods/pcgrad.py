"""PCGrad (Yu et al. 2020): each task's gradient is projected off those it conflicts with, in random order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"reduction": "mean", "include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's PCGrad.

    Args:
        options: ``reduction`` over tasks, ``mean`` (choice, as in the code the paper measured with) or ``sum``;
            ``include_heads``.
        tasks: Number of tasks.
    """
    from torchjd.aggregation import PCGrad

    from scalarization.methods._base import Aggregated, reduction_scale

    return Aggregated(PCGrad(), reduction_scale(options["reduction"]), options["include_heads"])
