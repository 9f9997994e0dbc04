"""UPGrad (Quinton and Rey 2024): the mean of the gradients, each projected onto the dual cone of all.

What it returns conflicts with no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"include_heads": False}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's UPGrad. A failure of the solver gives the mean.

    Args:
        options: ``include_heads``.
        tasks: Number of tasks.

    Raises:
        ImportError: TorchJD's extra ``quadprog-projector`` is not installed.
    """
    import qpsolvers
    from torchjd.aggregation import UPGrad

    from scalarization.methods._base import Aggregated

    failures = (ValueError, qpsolvers.exceptions.QPError)
    return Aggregated(UPGrad(), include_heads=options["include_heads"], failures=failures)
