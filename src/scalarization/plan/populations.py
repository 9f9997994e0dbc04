"""The searches of a preset: one for each architecture and seed of a key of `searches`. Mistakes are noted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scalarization.config.models import SearchOptions
from scalarization.plan import sizes
from scalarization.plan.cells import Cell, Search
from scalarization.plan.redundant import check_searches
from scalarization.plan.scope import Scope, named_tasks, possible_architectures
from scalarization.plan.settings import check_fraction, settings_of


def expand_searches(scope: Scope) -> dict[str, Search]:
    """All searches of a preset, by name."""
    searches: dict[str, Search] = {}
    benchmark_of_session: dict[str, str] = {}
    for key, options in scope.config.preset.searches.items():
        for search in _searches_of(scope, key, options):
            other = benchmark_of_session.setdefault(search.session, options.benchmark)
            if other != options.benchmark:
                message = f"'{search.session}' is of benchmark {other}; a session is of one benchmark"
                scope.problems.add(f"searches.{key}.session", message)
            searches[search.name] = search
    check_searches(searches, scope.problems)
    return searches


def _searches_of(scope: Scope, key: str, options: SearchOptions) -> Iterator[Search]:
    place = f"searches.{key}"
    if scope.benchmark(options.benchmark, place) is None:
        return
    named = named_tasks(scope, options.task_set, options.benchmark, f"{place}.task_set")
    if not named:
        return
    ((task_set, tasks),) = named.items()
    if len(tasks) < 2:
        scope.problems.add(f"{place}.task_set", "a search needs at least two tasks")
        return
    origin = scope.origin(options.benchmark, options.changes, f"{place}.changes.recipe")
    whole = settings_of(origin, scope.problems)
    settings = settings_of(origin, scope.problems, options.fraction)
    check_fraction(f"{place}.fraction", origin, settings, tasks, scope.problems)
    if not sizes.check_search(place, options, settings.epochs, scope.problems):
        return
    for architecture in possible_architectures(scope, place, options.architectures, origin, settings):
        specification = scope.specification(options.benchmark, architecture, settings, tasks)
        search = Search(
            key=key,
            cell=Cell(options.benchmark, task_set, tasks, architecture, "uniform", "search", specification, ()),
            method=options.method,
            population=options.population,
            epochs_ready=options.epochs_ready,
            quantile=options.quantile,
            perturbation_factors=tuple(options.perturbation_factors),
            resample_probability=options.resample_probability,
            seed=options.seed,
            session=options.session or "",
            full_steps=whole.epochs * whole.steps_per_epoch,
            lr_factor=options.lr_factor,
            repetitions=options.seeds,
        )
        if search.exploits and len(search.interval_ends) < 2:
            message = f"{options.epochs_ready} of {settings.epochs} epochs: there is no exploitation"
            scope.problems.add(f"{place}.epochs_ready", message)
        elif options.epochs_ready > settings.epochs:
            message = f"{options.epochs_ready} is more than the {settings.epochs} epochs of a member"
            scope.problems.add(f"{place}.epochs_ready", message)
        for repetition in range(options.seeds):
            repeated = replace(search, repetition=repetition, seed=options.seed + repetition)
            yield replace(repeated, session=search.session or repeated.name.replace("/", "_"))
