"""Uniform scalarization: p_t = 1 / T."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scalarization.methods.info import SCALARIZATION, CostFormulas, MethodInfo, NoOptions


def weight_settings(options: NoOptions, tasks: Sequence[str], sizes: Mapping[str, int]) -> list[list[float]]:
    """One setting, equal weights."""
    return [[1 / len(tasks)] * len(tasks)]


METHOD = MethodInfo(
    name="uniform",
    label="Uniform",
    group=SCALARIZATION,
    kind="constant",
    description="Equal constant weights, p_t = 1 / T.",
    formulas=CostFormulas(),
    weight_settings=weight_settings,
    rank=1,
)
