"""The weights that members of a search start with."""

from __future__ import annotations

import math

from scalarization import seeds
from scalarization.methods import grid
from scalarization.searches import Search


def first_weights(search: Search) -> list[tuple[float, ...]]:
    """One weight vector per member.

    Uniform on the simplex, or, for ``search_grid``, all interior points of the finest grid that has no more points than
    the population has members.

    Args:
        search: The search.

    Returns:
        As many vectors as there are members; of a grid there may be fewer.
    """
    tasks = list(search.cell.tasks)
    if search.method == "search_grid":
        parts = len(tasks)
        while math.comb(parts, len(tasks) - 1) <= search.population:
            parts += 1
        return [tuple(w) for w in grid.weight_settings({"simplex_step": 1 / parts}, tasks, {})]
    generator = seeds.generator(search.cell.specification["root_seed"], search.seed, "search")
    return [tuple(w) for w in generator.dirichlet([1.0] * len(tasks), search.population).tolist()]


def normalised(weights: list[float]) -> tuple[float, ...]:
    """Divided by their sum, so that they are on the simplex again; uniform if all are (nearly) zero.

    Weights that are on it are left as they are, to the last bit: a copy that did not explore is the same state.
    """
    total = sum(weights)
    if abs(total - 1) < 1e-12:
        return tuple(weights)
    if total < 1e-9:
        return (1 / len(weights),) * len(weights)
    return tuple(w / total for w in weights)
