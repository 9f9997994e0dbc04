"""Weights proportional to the number of training images of each domain (0.09 for STL-10, appendix 2.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scalarization.errors import ConfigError
from scalarization.methods.info import SCALARIZATION, CostFormulas, MethodInfo, NoOptions


def weight_settings(options: NoOptions, tasks: Sequence[str], sizes: Mapping[str, int]) -> list[list[float]]:
    """One setting; ``sizes`` are the official training set sizes.

    Raises:
        ConfigError: One of ``tasks`` is not a domain. All tasks of a benchmark are trained on the same images.
    """
    for task in tasks:
        if task not in sizes:
            raise ConfigError(f"proportional needs domains, and '{task}' is a task; use uniform instead")
    total = sum(sizes[t] for t in tasks)
    return [[sizes[t] / total for t in tasks]]


METHOD = MethodInfo(
    name="proportional",
    label="Proportional",
    group=SCALARIZATION,
    kind="constant",
    description="Constant weights proportional to the domains' training set sizes (appendix 2.1).",
    formulas=CostFormulas(),
    weight_settings=weight_settings,
    rank=2,
)
