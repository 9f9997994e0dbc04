"""From a preset to cells and measurements. Mistakes are collected, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from scalarization import methods
from scalarization.architectures import Architecture
from scalarization.benchmarks.base import AttributeLabels, MapLabels
from scalarization.config import Changes, MethodOptions, suggestion
from scalarization.config.models import ConflictCount, Experiment, Grid, ProfileOptions
from scalarization.config.training import Variant
from scalarization.errors import ConfigError
from scalarization.methods.searched import SearchedOptions
from scalarization.plan.cells import Cell, Profile, Run, Search
from scalarization.plan.redundant import check_cells
from scalarization.plan.scope import Scope, check_architecture, method_options, named_tasks, possible_architectures
from scalarization.plan.settings import Settings, settings_of
from scalarization.specification import SearchReference


class _TaskSet(NamedTuple):
    """What is trained jointly under a method.

    Attributes:
        name: Name of the task set.
        tasks: Its tasks or domains.
        weights: Its weight settings.
    """

    name: str
    tasks: tuple[str, ...]
    weights: list[list[float]]

    def runs(self, seeds: int) -> tuple[Run, ...]:
        """Every weight setting with every seed."""
        return tuple(Run(n, seed, tuple(weights)) for n, weights in enumerate(self.weights) for seed in range(seeds))


def expand_experiment(scope: Scope, key: str, experiment: Experiment, searches: Mapping[str, Search]) -> list[Cell]:
    """All cells of an experiment, the SD baselines among them.

    Args:
        scope: The preset.
        key: Where the experiment stands, for messages.
        experiment: What the preset says of it.
        searches: All searches of the preset, by name.
    """
    given = {m: method_options(scope, f"{key}.methods", m, o) for m, o in experiment.methods.items()}
    options_of = {method: options for method, options in given.items() if options is not None}
    cells: dict[str, Cell] = {}
    for method, changes, cell in _grid_cells(scope, key, experiment, options_of):
        options = options_of[method]
        if isinstance(options, SearchedOptions):
            reference = _search_reference(scope, key, method, options, changes, cell, searches)
            cell = replace(cell, specification=replace(cell.specification, search=reference))
        cells[cell.name] = cell
    check_cells(key, experiment, cells.values(), scope.problems)
    return list(cells.values())


def expand_conflicts(scope: Scope, key: str, count: ConflictCount) -> list[Cell]:
    """Cells of uniform weights in which gradient conflicts are counted, evaluated after every epoch."""
    cells = []
    for _, _, cell in _grid_cells(scope, key, count, {"uniform": methods.parse("uniform", {})}):
        specification = cell.specification
        if specification.recipe.compile is True:
            scope.problems.add(key, "compile = true: a compiled network gives no gradients by task; leave it out")
        if count.every > specification.steps_per_epoch:
            message = f"{count.every} is more than the {specification.steps_per_epoch} steps of an epoch"
            scope.problems.add(f"{key}.every", message)
        recipe = specification.recipe.model_copy(update={"eval_every": 1, "compile": False})
        specification = replace(specification, recipe=recipe, count_every=count.every)
        cells.append(replace(cell, specification=specification))
    check_cells(key, count, cells, scope.problems)
    return cells


def expand_profile(scope: Scope, name: str, options: ProfileOptions) -> Profile | None:
    """A measurement of time and memory; None, and a problem, if it is not possible."""
    key = f"profiles.{name}"
    info = scope.benchmarks.get(options.benchmark)
    if info is None or not isinstance(info.labels, AttributeLabels):
        known = [b for b, i in scope.benchmarks.items() if isinstance(i.labels, AttributeLabels)]
        scope.problems.add(key, f"benchmark '{options.benchmark}' has no attributes here; {suggestion('', known)}")
        return None
    changed = {} if options.batch_size is None else {"recipe": {"batch_size": options.batch_size}}
    origin = scope.origin(options.benchmark, Changes.model_validate(changed), key)
    settings = settings_of(origin, scope.problems)
    try:
        architecture = Architecture.parse(options.architecture)
    except ValueError as error:
        scope.problems.add(f"{key}.architecture", str(error))
        return None
    if not check_architecture(scope, f"{key}.architecture", architecture, origin, settings):
        return None
    compared = {"uniform": methods.parse("uniform", {})}
    for method, given in options.methods.items():
        parsed = method_options(scope, f"{key}.methods", method, given)
        if parsed is None:
            continue
        if methods.load(method).build is None and method != "uniform":
            message = "sets weights only, so that its steps are those of uniform; leave it out"
            scope.problems.add(f"{key}.methods.{method}", message)
        compared[method] = parsed
    tasks = info.labels.attributes
    specification = scope.specification(options.benchmark, architecture, settings, tasks)
    cell = Cell(options.benchmark, name, tasks, architecture, "uniform", "base", specification, ())
    return Profile(name, cell, compared, tuple(options.tasks), options.rounds)


def unite(scope: Scope, section: str, groups: Mapping[str, Sequence[Cell]]) -> dict[str, Cell]:
    """Cells by name, put together where several keys of a section ask for runs of one."""
    united: dict[str, Cell] = {}
    origin: dict[str, str] = {}
    for key, cells in groups.items():
        for cell in cells:
            known = united.get(cell.name)
            if known and known.describe() != cell.describe():
                scope.problems.add(
                    f"{section}.{key}",
                    f"its cell {cell.name} differs from that of {section}.{origin[cell.name]} "
                    f"in {_difference(known, cell)}; name a variant in one of them",
                )
                continue
            origin.setdefault(cell.name, key)
            united[cell.name] = _merge(known, cell) if known else cell
    return united


def _grid_cells(
    scope: Scope, key: str, grid: Grid, options_of: Mapping[str, MethodOptions]
) -> Iterator[tuple[str, Variant, Cell]]:
    """Method, variant and cell for every method, task set, architecture and variant of a grid.

    Nothing, and a problem, if there would be too many.
    """
    if scope.benchmark(grid.benchmark, key) is None:
        return
    named = named_tasks(scope, grid.task_sets, grid.benchmark, f"{key}.task_sets")
    _check_variants(scope, key, grid, options_of)
    task_sets = {m: list(_task_sets(scope, key, grid, m, options, named)) for m, options in options_of.items()}
    counts = [len(task_set.weights) * grid.seeds for of_method in task_sets.values() for task_set in of_method]
    if not scope.tally.add(key, grid, counts, scope.problems):
        return
    trainings = _trainings(scope, key, grid)
    labels = scope.benchmarks[grid.benchmark].labels
    for method, options in options_of.items():
        info = methods.load(method)
        built = options if info.build is not None else None
        expanded = [(task_set.name, task_set.tasks, task_set.runs(grid.seeds)) for task_set in task_sets[method]]
        for variant, (settings, possible) in trainings.items():
            if info.kind == "feature" and isinstance(labels, MapLabels) and settings.model.skips:
                scope.problems.add(f"{key}.methods.{method}", "rotates features of one size; set skips: false")
            for architecture in possible:
                for name, tasks, runs in expanded:
                    specification = scope.specification(
                        grid.benchmark, architecture, settings, tasks, method == "single", built
                    )
                    cell = Cell(grid.benchmark, name, tasks, architecture, method, variant, specification, runs)
                    yield method, grid.variants[variant], cell


def _trainings(scope: Scope, key: str, grid: Grid) -> dict[str, tuple[Settings, list[Architecture]]]:
    """Variant -> recipe, model and length of its trainings, and the capacities that are possible with them."""
    trainings = {}
    for variant, changes in grid.variants.items():
        origin = scope.origin(grid.benchmark, changes, f"{key}.variants.{variant}.recipe")
        settings = settings_of(origin, scope.problems)
        trainings[variant] = settings, list(possible_architectures(scope, key, grid.architectures, origin, settings))
    return trainings


def _task_sets(
    scope: Scope, key: str, grid: Grid, method: str, options: MethodOptions, named: Mapping[str, tuple[str, ...]]
) -> Iterator[_TaskSet]:
    """The task sets of a grid with their weights under a method; mistakes in its weights are noted."""
    if method == "single":
        named = {task: (task,) for tasks in named.values() for task in tasks}
    sizes = scope.benchmarks[grid.benchmark].train_sizes
    for name, tasks in named.items():
        if len(tasks) < 2 and method != "single":
            message = f"one task has nothing to share with under method {method}; add another, or take method single"
            scope.problems.add(f"{key}.task_sets.{name}", message)
            continue
        try:
            weights = methods.weight_settings(method, options, tasks, sizes)
        except ConfigError as error:
            scope.problems.add(f"{key}.methods.{method} on {name}", str(error))
            continue
        yield _TaskSet(name, tasks, weights)


def _check_variants(scope: Scope, key: str, grid: Grid, options_of: Mapping[str, MethodOptions]) -> None:
    """Note variants that change where weights come from for methods whose weights no search determines."""
    others = [method for method, options in options_of.items() if not isinstance(options, SearchedOptions)]
    for variant, changes in grid.variants.items():
        for name in sorted(changes.model_fields_set & set(SearchedOptions.model_fields)):
            if others:
                message = f"is for methods that search; {', '.join(others)} would train as without it"
                scope.problems.add(f"{key}.variants.{variant}.{name} = {getattr(changes, name)}", message)


def _search_reference(
    scope: Scope,
    key: str,
    method: str,
    options: SearchedOptions,
    variant: Variant,
    cell: Cell,
    searches: Mapping[str, Search],
) -> SearchReference | None:
    """The search that a cell's weights or learning rate come from; None, and a problem, if there is no such search."""
    given = variant.model_dump(include=set(SearchedOptions.model_fields), exclude_unset=True)
    options = options.model_copy(update=given)
    place = f"{key}.{method}.search"
    if options.search is None:
        scope.problems.add(
            place, f"is missing; name a key of searches: {suggestion('', {s.key for s in searches.values()})}"
        )
        return None
    name = f"{options.search}/{options.search_on or cell.architecture.name}"
    search = searches.get(name)
    if search is None:
        scope.problems.add(place, f"'{name}' is unknown; {suggestion(name, searches)}")
        return None
    if search.method != method:
        scope.problems.add(place, f"'{options.search}' is a search by {search.method}")
    if (search.cell.benchmark, search.cell.tasks) != (cell.benchmark, cell.tasks):
        scope.problems.add(
            place,
            f"'{options.search}' is for {search.cell.benchmark} {', '.join(search.cell.tasks)}, "
            f"not {cell.benchmark} {', '.join(cell.tasks)}",
        )
    repeated = [other for other in searches.values() if other.repetition and _first_name(other) == name]
    others = tuple(SearchReference(other.name, options.policy, other.describe()) for other in repeated)
    return SearchReference(name, options.policy, search.describe(), others)


def _first_name(search: Search) -> str:
    """Name of the first repetition of a search."""
    return replace(search, repetition=0).name


def _merge(first: Cell, second: Cell) -> Cell:
    """Two experiments may ask for other weights or more seeds of one cell: train the union."""
    runs = (*first.runs, *second.runs)
    weights = list(dict.fromkeys(run.weights for run in runs))
    number = {w: n for n, w in enumerate(weights)}
    pairs = sorted({(run.weights, run.seed) for run in runs}, key=lambda pair: (number[pair[0]], pair[1]))
    return replace(first, runs=tuple(Run(number[w], seed, w) for w, seed in pairs))


def _difference(first: Cell, second: Cell) -> str:
    ours, theirs = first.describe(), second.describe()
    return ", ".join(f"{k} ({ours.get(k)} and {theirs.get(k)})" for k in ours | theirs if ours.get(k) != theirs.get(k))
