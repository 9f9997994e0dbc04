"""From a preset to cells, searches and measurements. Mistakes are collected, nothing is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scalarization import architectures, benchmarks, methods
from scalarization.architectures import Architecture
from scalarization.benchmarks import BenchmarkInfo
from scalarization.benchmarks.base import AttributeLabels, MapLabels
from scalarization.config import Benchmark, Changes, Config, MethodOptions, Model, Recipe, changed, suggestion
from scalarization.config.models import Architectures, ConflictCount, Experiment, Grid, ProfileOptions, SearchOptions
from scalarization.config.training import Variant
from scalarization.errors import ConfigError
from scalarization.methods.searched import SearchedOptions
from scalarization.plan.cells import Cell, Profile, Run, Search
from scalarization.plan.problems import Problems
from scalarization.specification import SearchReference, Specification


@dataclass(frozen=True)
class Scope:
    """What every part of a preset is expanded with.

    Attributes:
        config: Knobs and preset.
        benchmarks: Benchmark of the preset -> what it declares.
        problems: Collects mistakes.
    """

    config: Config
    benchmarks: Mapping[str, BenchmarkInfo]
    problems: Problems

    def benchmark(self, name: str, key: str) -> Benchmark | None:
        """What the preset says of a benchmark; None, and a problem, if it says nothing."""
        known = self.config.preset.benchmarks
        if name not in known:
            self.problems.add(f"{key}.benchmark", f"'{name}' is not configured; {suggestion(name, known)}")
        return known.get(name)


@dataclass(frozen=True)
class Settings:
    """Recipe, model and length of a training, with the changes of a variant or a search applied.

    Attributes:
        recipe: How it is trained.
        model: Options of the backbone, of all families.
        epochs: Epochs.
        steps_per_epoch: Steps of each of them.
        fraction: Part of the training set that an epoch is a pass over; None: all of it.
    """

    recipe: Recipe
    model: Model
    epochs: int
    steps_per_epoch: int
    fraction: float | None


def check_benchmarks(config: Config, problems: Problems) -> dict[str, BenchmarkInfo]:
    """What each benchmark of a preset declares; those that do not exist are left out."""
    infos = {}
    for name, options in config.preset.benchmarks.items():
        key = f"benchmarks.{name}"
        try:
            info = benchmarks.load(name)
        except ConfigError as error:
            problems.add(key, str(error))
            continue
        infos[name] = info
        for domain in options.domains:
            if domain not in info.domains:
                problems.add(f"{key}.domains", f"'{domain}' is unknown; {suggestion(domain, info.domains)}")
        maps = info.labels.formats if isinstance(info.labels, MapLabels) else {}
        for task in options.tasks or ():
            if task not in maps:
                problems.add(f"{key}.tasks", f"'{task}' is unknown; {suggestion(task, maps)}")
        if options.reference not in options.domains:
            problems.add(f"{key}.reference", f"'{options.reference}' is not among its domains")
    return infos


def settings_of(scope: Scope, benchmark: str, changes: Changes, key: str, fraction: float | None = None) -> Settings:
    """Recipe, model and length of a training.

    Args:
        scope: The preset.
        benchmark: Name of the benchmark.
        changes: What differs from its recipe and model.
        key: Where the changes stand, for messages.
        fraction: Part of the training set; an epoch is a pass over that much of it.
    """
    options, info = scope.config.preset.benchmarks[benchmark], scope.benchmarks[benchmark]
    recipe, model = changed(options.recipe, changes.recipe), changed(options.model, changes.model)
    if recipe.warmup_epochs >= recipe.epochs:
        message = f"warmup_epochs = {recipe.warmup_epochs} leaves none of the {recipe.epochs} epochs after it"
        scope.problems.add(key, message)
    if recipe.augmentation.randaugment and isinstance(info.labels, MapLabels):
        place = f"benchmarks.{benchmark}.recipe.augmentation.randaugment"
        scope.problems.add(place, "maps would have to be transformed with the images; leave it out")
    if recipe.augmentation.resized_crop is not None and not info.encoded:
        scope.problems.add(
            key,
            f"augmentation.resized_crop = {recipe.augmentation.resized_crop} is for benchmarks whose images are "
            f"decoded while training, and {benchmark} is none of them; use crop_padding",
        )
    epoch_images = info.domains[options.reference].train_images
    if recipe.steps_per_epoch is not None:
        epoch_images = recipe.steps_per_epoch * recipe.batch_size
    steps = math.ceil(epoch_images * (fraction or 1) / recipe.batch_size)
    return Settings(recipe, model, recipe.epochs, steps, fraction)


def expand_experiment(scope: Scope, key: str, experiment: Experiment, searches: Mapping[str, Search]) -> list[Cell]:
    """All cells of an experiment, the SD baselines among them.

    Args:
        scope: The preset.
        key: Where the experiment stands, for messages.
        experiment: What the preset says of it.
        searches: All searches of the preset, by name.
    """
    cells: dict[str, Cell] = {}
    for method, given in experiment.methods.items():
        options = _method_options(scope, f"{key}.methods", method, given)
        if options is None:
            continue
        for variant, cell in _grid_cells(scope, key, experiment, method, options):
            if isinstance(options, SearchedOptions):
                reference = _search_reference(scope, key, method, options, variant, cell, searches)
                cell = replace(cell, specification=replace(cell.specification, search=reference))
            cells[cell.name] = cell
    return list(cells.values())


def expand_conflicts(scope: Scope, key: str, count: ConflictCount) -> list[Cell]:
    """Cells of uniform weights in which gradient conflicts are counted, evaluated after every epoch."""
    cells = []
    for _, cell in _grid_cells(scope, key, count, "uniform", methods.parse("uniform", {})):
        specification = cell.specification
        if len(cell.tasks) < 2:
            scope.problems.add(f"{key}.task_sets.{cell.task_set}", "one task has nothing to conflict with; add another")
        if specification.recipe.compile is True:
            scope.problems.add(key, "compile = true: a compiled network gives no gradients by task; leave it out")
        if count.every > specification.steps_per_epoch:
            message = f"{count.every} is more than the {specification.steps_per_epoch} steps of an epoch"
            scope.problems.add(f"{key}.every", message)
        recipe = specification.recipe.model_copy(update={"eval_every": 1, "compile": False})
        specification = replace(specification, recipe=recipe, count_every=count.every)
        cells.append(replace(cell, specification=specification))
    return cells


def expand_searches(scope: Scope) -> dict[str, Search]:
    """All searches of a preset, by name: one for each architecture of a key of `searches`."""
    searches: dict[str, Search] = {}
    benchmark_of_session: dict[str, str] = {}
    for key, options in scope.config.preset.searches.items():
        for search in _searches_of(scope, key, options):
            other = benchmark_of_session.setdefault(search.session, options.benchmark)
            if other != options.benchmark:
                message = f"'{search.session}' is of benchmark {other}; a session is of one benchmark"
                scope.problems.add(f"searches.{key}.session", message)
            searches[search.name] = search
    return searches


def expand_profile(scope: Scope, name: str, options: ProfileOptions) -> Profile | None:
    """A measurement of time and memory; None, and a problem, if it is not possible."""
    key = f"profiles.{name}"
    info = scope.benchmarks.get(options.benchmark)
    if info is None or not isinstance(info.labels, AttributeLabels):
        known = [b for b, i in scope.benchmarks.items() if isinstance(i.labels, AttributeLabels)]
        scope.problems.add(key, f"benchmark '{options.benchmark}' has no attributes here; {suggestion('', known)}")
        return None
    settings = settings_of(scope, options.benchmark, Changes(), key)
    try:
        architecture = Architecture.parse(options.architecture)
        for problem in architectures.problems(architecture, settings.model, info.image_size):
            scope.problems.add(f"{key}.architecture", problem)
    except ValueError as error:
        scope.problems.add(f"{key}.architecture", str(error))
        return None
    compared = {}
    for method, given in {"uniform": {}, **options.methods}.items():
        parsed = _method_options(scope, f"{key}.methods", method, given)
        if parsed is not None:
            compared[method] = parsed
    if options.batch_size is not None:
        settings = replace(settings, recipe=settings.recipe.model_copy(update={"batch_size": options.batch_size}))
    tasks = info.labels.attributes
    specification = _specification(scope, options.benchmark, architecture, settings, tasks, False, None)
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
    scope: Scope, key: str, grid: Grid, method: str, options: MethodOptions
) -> Iterator[tuple[Variant, Cell]]:
    """Variant and cell for every task set, architecture and variant of a grid under one method."""
    benchmark = scope.benchmark(grid.benchmark, key)
    if benchmark is None:
        return
    info = scope.benchmarks[grid.benchmark]
    named = _named_tasks(scope, grid.task_sets, benchmark, info, f"{key}.task_sets")
    if method == "single":
        named = {task: [task] for tasks in named.values() for task in tasks}
    if not named:
        return
    info_method = methods.load(method)
    for variant, changes in grid.variants.items():
        settings = settings_of(scope, grid.benchmark, changes, f"{key}.variants.{variant}")
        if info_method.kind == "feature" and isinstance(info.labels, MapLabels) and settings.model.skips:
            scope.problems.add(f"{key}.methods.{method}", "rotates features of one size; set skips: false")
        for architecture in _possible(scope, key, grid.architectures, grid.benchmark, settings.model):
            for task_set, tasks in named.items():
                try:
                    weights = methods.weight_settings(method, options, tasks, info.train_sizes)
                except ConfigError as error:
                    scope.problems.add(f"{key}.methods.{method} on {task_set}", str(error))
                    continue
                runs = tuple(Run(i, s, tuple(w)) for i, w in enumerate(weights) for s in range(grid.seeds))
                built = options if info_method.build is not None else None
                specification = _specification(
                    scope, grid.benchmark, architecture, settings, tasks, method == "single", built
                )
                cell = Cell(grid.benchmark, task_set, tuple(tasks), architecture, method, variant, specification, runs)
                yield changes, cell


def _method_options(scope: Scope, key: str, method: str, given: dict[str, Any]) -> MethodOptions | None:
    """Options of a method; None, and problems, if the method is unknown or its options are not possible."""
    try:
        methods.load(method)
    except ConfigError as error:
        scope.problems.add(key, str(error))
        return None
    try:
        return methods.parse(method, given)
    except ConfigError as error:
        scope.problems.add_options(key, error)
        return None


def _searches_of(scope: Scope, key: str, options: SearchOptions) -> Iterator[Search]:
    place = f"searches.{key}"
    benchmark = scope.benchmark(options.benchmark, place)
    if benchmark is None:
        return
    named = _named_tasks(scope, options.task_set, benchmark, scope.benchmarks[options.benchmark], place)
    if not named:
        return
    task_set, tasks = next(iter(named.items()))
    if len(tasks) < 2:
        scope.problems.add(f"{place}.task_set", "a search needs at least two tasks")
        return
    settings = settings_of(scope, options.benchmark, options.changes, place, options.fraction)
    whole = settings_of(scope, options.benchmark, options.changes, place)
    for architecture in _possible(scope, place, options.architectures, options.benchmark, settings.model):
        specification = _specification(scope, options.benchmark, architecture, settings, tasks, False, None)
        cell = Cell(options.benchmark, task_set, tuple(tasks), architecture, "uniform", "search", specification, ())
        search = Search(
            key,
            cell,
            options.method,
            options.population,
            options.epochs_ready,
            options.quantile,
            tuple(options.perturbation_factors),
            options.resample_probability,
            options.seed,
            options.session or f"{key}_{architecture.name}",
            whole.epochs * whole.steps_per_epoch,
        )
        if len(search.interval_ends) < 2 and search.exploits:
            message = f"{options.epochs_ready} of {settings.epochs} epochs: there is no exploitation"
            scope.problems.add(f"{place}.epochs_ready", message)
        yield search


def _possible(scope: Scope, key: str, grid: Architectures, benchmark: str, model: Model) -> Iterator[Architecture]:
    """Architectures of a capacity grid that give what the benchmark's tasks are; mistakes are noted."""
    info = scope.benchmarks[benchmark]
    needs_maps = isinstance(info.labels, MapLabels)
    for architecture in architectures.expand(grid):
        if (architecture.family == "dense") != needs_maps:
            family = "dense" if needs_maps else "another than dense"
            scope.problems.add(f"{key}.architectures.family", f"benchmark '{benchmark}' needs {family}")
            continue
        for problem in architectures.problems(architecture, model, info.image_size):
            scope.problems.add(f"{key}.architectures {architecture.name}", problem)
        yield architecture


def _specification(
    scope: Scope,
    benchmark: str,
    architecture: Architecture,
    settings: Settings,
    tasks: Sequence[str],
    single: bool,
    options: MethodOptions | None,
) -> Specification:
    domains = scope.config.preset.benchmarks[benchmark].domains
    return Specification(
        model=architectures.model_options(architecture, settings.model),
        recipe=settings.recipe,
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        outputs=scope.benchmarks[benchmark].labels.outputs(tasks, domains, single),
        root_seed=scope.config.seed,
        threads=scope.config.threads,
        method_options=options,
        fraction=settings.fraction,
    )


def _search_reference(
    scope: Scope,
    key: str,
    method: str,
    options: SearchedOptions,
    variant: Variant,
    cell: Cell,
    searches: Mapping[str, Search],
) -> SearchReference | None:
    """The search that a cell's weights come from; None, and a problem, if there is no such search."""
    given = variant.model_dump(include=set(SearchedOptions.model_fields), exclude_unset=True)
    options = options.model_copy(update=given)
    name = f"{options.search}/{options.search_on or cell.architecture.name}"
    place = f"{key}.{method}.search"
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
    return SearchReference(name, options.policy, search.describe())


def _named_tasks(
    scope: Scope, task_sets: Mapping[str, list[str] | str], benchmark: Benchmark, info: BenchmarkInfo, key: str
) -> dict[str, list[str]]:
    """Task set -> its tasks or domains; nothing, and problems, if one of them does not exist."""
    known = info.labels.known(benchmark.domains, benchmark.tasks)
    named: dict[str, list[str]] = {}
    complete = True
    for name, given in task_sets.items():
        named[name] = info.labels.named(given) if isinstance(given, str) else given
        if not named[name]:
            scope.problems.add(f"{key}.{name}", f"its benchmark has no {given}, name the tasks")
            complete = False
        for task in named[name]:
            if task not in known:
                message = f"'{task}' is not one of its benchmark's; {suggestion(task, known)}"
                scope.problems.add(f"{key}.{name}", message)
                complete = False
    return named if complete else {}


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
