"""DWA (Liu et al. 2019): weights from the rates at which losses fell over the last two epochs.

w = T softmax((L(e - 1) / L(e - 2)) / temperature) with losses averaged over an epoch, 1 in the first two epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"temperature": 2.0, "reduction": "mean"}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's DWA.

    Args:
        options: ``temperature`` (2 as published); ``reduction`` over tasks, ``mean`` (choice: comparable with uniform
            scalarization) or ``sum`` (as published).
        tasks: Number of tasks.
    """
    from scalarization.methods._base import reduction_scale
    from scalarization.methods._dwa import DynamicWeightAverage

    return DynamicWeightAverage(tasks, options["temperature"], reduction_scale(options["reduction"])(tasks))
