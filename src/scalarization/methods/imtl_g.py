"""IMTL-G (Liu et al. 2021): weights that sum to 1 and make the projections on all tasks' gradient directions equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's IMTLG, generalised to linearly dependent gradients; weights may be negative.

    Args:
        options: ``include_heads``.
        tasks: Number of tasks.
    """
    from torchjd.aggregation import IMTLG

    from scalarization.methods._base import Aggregated

    return Aggregated(IMTLG(), include_heads=options["include_heads"])
