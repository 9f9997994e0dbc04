"""Constant weights on a grid of the simplex, each point a weight setting of the cell (appendix 2.1)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from scalarization.config import Fraction, MethodOptions, Positive, UniqueList, limits
from scalarization.errors import ConfigError
from scalarization.methods.info import SCALARIZATION, CostFormulas, MethodInfo, check_simplex

Point = Annotated[list[Fraction], Field(min_length=1)]
#: Decimals in which two weight settings must differ.
DECIMALS = 9


class GridOptions(MethodOptions):
    """The points of the grid: exactly one of these options must be given."""

    p1: UniqueList[Fraction] | None = Field(
        None, description="For two tasks: weights of the first task; the second task gets the rest."
    )
    points: UniqueList[Point] | None = Field(None, description="Weight vectors on the simplex.")
    simplex_step: Annotated[Positive, Field(le=0.5)] | None = Field(
        None, description="Every interior point of the simplex whose weights are multiples of this step."
    )


def weight_settings(options: GridOptions, tasks: Sequence[str], sizes: Mapping[str, int]) -> list[list[float]]:
    """The points of the grid.

    Args:
        options: Exactly one of them is not None.
        tasks: Names of the tasks or domains.
        sizes: Not used.

    Returns:
        Weight vectors, each of the length of ``tasks``.

    Raises:
        ConfigError: The options do not fit the tasks, a point is off the simplex, or two points are the same.
    """
    points = _points(options, tasks)
    rounded: dict[tuple[float, ...], list[float]] = {}
    for point in points:
        other = rounded.setdefault(tuple(round(weight, DECIMALS) for weight in point), point)
        if other is not point:
            raise ConfigError(f"weights {other} and {point} are the same to {DECIMALS} decimals; leave one of them out")
    return points


def _points(options: GridOptions, tasks: Sequence[str]) -> list[list[float]]:
    if sum(value is not None for value in (options.p1, options.points, options.simplex_step)) != 1:
        raise ConfigError(f"grid needs exactly one of {', '.join(GridOptions.model_fields)}")
    if options.p1 is not None:
        if len(tasks) != 2:
            raise ConfigError(f"grid.p1 is for two tasks, not {len(tasks)}: give points or simplex_step instead")
        return [[p, round(1 - p, 12)] for p in options.p1]
    if options.simplex_step is not None:
        return simplex_points(options.simplex_step, len(tasks))
    points = options.points or []
    for point in points:
        check_simplex(point, tasks)
    return [list(point) for point in points]


def simplex_points(step: float, num_tasks: int) -> list[list[float]]:
    """All interior points of the simplex whose weights are multiples of ``step``.

    Args:
        step: Distance of the grid's points; 1 must be a multiple of it.
        num_tasks: Number of weights of each point.

    Returns:
        Weight vectors in lexicographical order.

    Raises:
        ConfigError: 1 is not a multiple of ``step``, no interior point exists, or there are too many.
    """
    parts = round(1 / step)
    if parts >= num_tasks and (count := math.comb(parts - 1, num_tasks - 1)) > limits.WEIGHT_SETTINGS:
        points = f"{count:,}" if count < 10**15 else "more than 10^15"
        raise ConfigError(
            f"grid.simplex_step = {step}: {points} points on {num_tasks} tasks; at most {limits.WEIGHT_SETTINGS:,}"
        )
    if abs(parts * step - 1) > 1e-9:
        raise ConfigError(f"grid.simplex_step = {step}: 1 must be a multiple of it")
    if parts < num_tasks:
        raise ConfigError(f"grid.simplex_step = {step}: no interior point for {num_tasks} tasks; use a finer step")
    cuts = itertools.combinations(range(1, parts), num_tasks - 1)
    return [[(b - a) / parts for a, b in itertools.pairwise((0, *cut, parts))] for cut in cuts]


def finest_parts(num_tasks: int, most: int) -> int:
    """Parts p of the finest grid of step 1/p that has at most so many interior points on the simplex.

    Args:
        num_tasks: Number of weights of each point.
        most: Number of points, at least 1.
    """
    parts = num_tasks
    while math.comb(parts, num_tasks - 1) <= most:
        parts += 1
    return parts


METHOD = MethodInfo(
    name="grid",
    label="Grid, p*",
    group=SCALARIZATION,
    kind="constant",
    description="Constant weights on a grid of the simplex, of which tables show the best (appendix 2.1).",
    options=GridOptions,
    formulas=CostFormulas("N", "N"),
    weight_settings=weight_settings,
    rank=3,
)
