"""Constant weights on a grid of the simplex, each setting a member of the cell (paper A 2.1)."""

from __future__ import annotations

import itertools

from scalarization.config import suggestion
from scalarization.errors import ConfigError
from scalarization.methods import check_simplex

GRIDS = ("p1", "points", "simplex_step")


def weight_settings(options: dict, tasks: list[str], sizes: dict[str, int]) -> list[list[float]]:
    """The grid's points.

    Args:
        options: Exactly one of ``p1`` (weights of the first of two members), ``points`` (weight vectors) and
            ``simplex_step`` (all interior points that are multiples of it).
        tasks: Members of the task set.
        sizes: Not used.

    Returns:
        List of weight vectors, each of the length of ``tasks``.

    Raises:
        ConfigError: The options do not fit the tasks, or a point is off the simplex.
    """
    for key in options:
        if key not in GRIDS:
            raise ConfigError(f"grid.{key} = {options[key]}: unknown option, {suggestion(key, GRIDS)}")
    if len(options) != 1:
        raise ConfigError(f"grid needs exactly one of {', '.join(GRIDS)}")
    if "p1" in options:
        if len(tasks) != 2:
            raise ConfigError(f"grid.p1 is for two members, here are {len(tasks)}: give points or simplex_step")
        return [[p, round(1 - p, 12)] for p in options["p1"]]
    if "points" in options:
        for point in options["points"]:
            check_simplex(point, tasks)
        return [list(point) for point in options["points"]]
    step = options["simplex_step"]
    parts = round(1 / step)
    if abs(parts * step - 1) > 1e-9:
        raise ConfigError(f"grid.simplex_step = {step}: 1 must be a multiple of it")
    if parts < len(tasks):
        raise ConfigError(f"grid.simplex_step = {step}: no interior point for {len(tasks)} members; take a finer step")
    cuts = itertools.combinations(range(1, parts), len(tasks) - 1)
    return [[(b - a) / parts for a, b in itertools.pairwise((0, *cut, parts))] for cut in cuts]
