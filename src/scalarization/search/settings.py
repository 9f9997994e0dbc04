"""What the members of a search differ in: their weights or, of ``search_lr``, their learning rate."""

from __future__ import annotations

from typing import NamedTuple

from scalarization.methods import grid
from scalarization.plan.cells import Search
from scalarization.search import draws

#: What one interval of one member has of its own: one weight per task; of ``search_lr`` the learning rate alone.
Setting = tuple[float, ...]


class Training(NamedTuple):
    """What a setting means for the training of an interval.

    Attributes:
        weights: One per task, on the simplex.
        lr: Peak learning rate.
    """

    weights: tuple[float, ...]
    lr: float


def training(search: Search, setting: Setting) -> Training:
    """What members of a search are trained with in a setting."""
    if search.varies_lr:
        num_tasks = len(search.cell.tasks)
        return Training((1 / num_tasks,) * num_tasks, setting[0])
    return Training(setting, search.cell.specification.recipe.lr)


def initial_settings(search: Search) -> list[Setting]:
    """What the members of a search start with.

    Weights are drawn uniformly from the simplex. Those of ``search_grid`` are all interior points of the finest grid
    that has at most as many points as the population has members. Learning rates of ``search_lr`` are drawn from the
    recipe's divided by ``lr_factor`` to the recipe's times ``lr_factor``, uniformly on a logarithmic scale.

    Members are drawn one after the other: those of a small population are the first ones of a larger population that
    differs in nothing else.

    Args:
        search: The search.

    Returns:
        One setting per member; of ``search_grid`` as many as the grid has points.
    """
    num_tasks = len(search.cell.tasks)
    if search.method == "search_grid":
        return [tuple(w) for w in grid.simplex_points(1 / grid.finest_parts(num_tasks, search.population), num_tasks)]
    generator = draws.initial(search)
    if search.varies_lr:
        lr, exponents = search.cell.specification.recipe.lr, generator.uniform(-1, 1, search.population)
        return [(lr * search.lr_factor**exponent,) for exponent in exponents.tolist()]
    return [tuple(w) for w in generator.dirichlet([1.0] * num_tasks, search.population).tolist()]


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
