"""Single-dataset (SD) or single-task baseline: each task or domain is trained alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scalarization.methods.info import BASELINE, MethodInfo, NoOptions


def weight_settings(options: NoOptions, tasks: Sequence[str], sizes: Mapping[str, int]) -> list[list[float]]:
    """One setting with all weight on the only task."""
    return [[1.0]]


METHOD = MethodInfo(
    name="single",
    label="SD",
    group=BASELINE,
    kind="constant",
    description="Baseline: each task or domain is trained alone, for the same number of steps.",
    weight_settings=weight_settings,
)
