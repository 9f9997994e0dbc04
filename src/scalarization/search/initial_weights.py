"""The weights with which the members of a search start."""

from __future__ import annotations

from scalarization.methods import grid
from scalarization.plan.cells import Search
from scalarization.search import draws


def initial_weights(search: Search) -> list[tuple[float, ...]]:
    """One weight vector per member.

    They are drawn uniformly from the simplex. Those of ``search_grid`` are all interior points of the finest grid that
    has at most as many points as the population has members.

    Args:
        search: The search.

    Returns:
        As many vectors as the population has members; for ``search_grid`` as many as the grid has points.
    """
    num_tasks = len(search.cell.tasks)
    if search.method == "search_grid":
        return [tuple(w) for w in grid.simplex_points(1 / grid.finest_parts(num_tasks, search.population), num_tasks)]
    return [tuple(w) for w in draws.initial(search).dirichlet([1.0] * num_tasks, search.population).tolist()]


def normalised(weights: list[float]) -> tuple[float, ...]:
    """Weights divided by their sum, so that they are on the simplex; uniform weights if the sum is (nearly) zero.

    Weights on the simplex are returned unchanged, to the last bit: a member that copied another one and did not explore
    has the same state.
    """
    total = sum(weights)
    if abs(total - 1) < 1e-12:
        return tuple(weights)
    if total < 1e-9:
        return (1 / len(weights),) * len(weights)
    return tuple(w / total for w in weights)
