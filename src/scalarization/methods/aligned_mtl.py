"""Aligned-MTL (Senushkin et al. 2023): the mean after the matrix of gradients is made as well conditioned as can be.

All its singular values are set to one: to the smallest, or to another measure of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"scale_mode": "min", "include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's AlignedMTL with the mean over tasks.

    Args:
        options: ``scale_mode``, the singular value that all are set to: ``min`` (as published), ``median`` or ``rmse``;
            ``include_heads``.
        tasks: Number of tasks.
    """
    from torchjd.aggregation import AlignedMTL

    from scalarization.methods._base import Aggregated

    return Aggregated(AlignedMTL(scale_mode=options["scale_mode"]), include_heads=options["include_heads"])
