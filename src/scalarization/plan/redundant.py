"""What would be trained twice: variants and task sets of one experiment that differ in name only, equal searches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scalarization import methods
from scalarization.config import Recipe
from scalarization.config.models import Grid
from scalarization.plan.cells import Cell, Search
from scalarization.plan.problems import Problems


def check_cells(key: str, grid: Grid, cells: Iterable[Cell], problems: Problems) -> None:
    """Note variants, and task sets, of one experiment whose runs would be the same.

    Args:
        key: Where the experiment stands.
        grid: The experiment.
        cells: Its cells.
        problems: Collects mistakes.
    """
    if len(grid.variants) * len(grid.task_sets) == 1:
        return
    first: dict[tuple[Any, ...], Cell] = {}
    equal: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        other = first.setdefault(_training(cell), cell)
        if other is cell:
            continue
        names = ("variants", other.variant, cell.variant)
        if other.variant == cell.variant:
            names = ("task_sets", other.task_set, cell.task_set)
        section, one, again = names
        of_methods = equal.setdefault((f"{key}.{section}.{again}", one), [])
        if cell.method not in of_methods:
            of_methods.append(cell.method)
    for (place, one), of_methods in equal.items():
        problems.add(
            place, f"would train the same runs as '{one}' (method {', '.join(of_methods)}); take one of them out"
        )


def check_searches(searches: Mapping[str, Search], problems: Problems) -> None:
    """Note keys of `searches` that would search the same."""
    first: dict[str, Search] = {}
    for search in searches.values():
        other = first.setdefault(repr(search.describe()), search)
        if other.key != search.key:
            message = f"would search the same as searches.{other.key}; name that one instead"
            problems.add(f"searches.{search.key}", message)


def _training(cell: Cell) -> tuple[Any, ...]:
    """What makes the runs of a cell differ from those of others of its experiment."""
    specification = cell.specification
    return (
        cell.method,
        cell.tasks,
        cell.architecture,
        specification.model,
        _effective(specification.recipe, methods.load(cell.method).kind),
        specification.epochs,
        specification.steps_per_epoch,
        (specification.search.name, specification.search.policy) if specification.search else None,
    )


def _effective(recipe: Recipe, kind: str) -> Recipe:
    """A recipe in which keys that have no effect have their defaults."""
    unused = ["steps_per_epoch"]  # the specification counts them
    if recipe.optimizer == "adamw":
        unused.append("momentum")
    if kind != "gradient" or recipe.accumulate == 1:
        unused.append("resolve")
    if kind != "gradient":
        unused.append("gradients_at_once")
    return recipe.model_copy(update={name: Recipe.model_fields[name].default for name in unused})
