"""What every part of a preset is expanded with: benchmarks, task sets, options of methods, possible architectures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scalarization import architectures, benchmarks, methods
from scalarization.architectures import Architecture
from scalarization.benchmarks import BenchmarkInfo
from scalarization.benchmarks.base import AttributeLabels, ClassLabels, MapLabels, images_left
from scalarization.config import Benchmark, Changes, Config, MethodOptions, suggestion
from scalarization.config.models import Architectures
from scalarization.errors import ConfigError
from scalarization.plan.problems import Problems
from scalarization.plan.settings import Origin, Settings, settings_of
from scalarization.plan.sizes import Tally
from scalarization.specification import Specification


@dataclass(frozen=True)
class Scope:
    """What every part of a preset is expanded with.

    Attributes:
        config: Knobs and preset.
        benchmarks: Benchmark of the preset -> what it declares.
        problems: Collects mistakes.
        tally: Counts cells and runs.
    """

    config: Config
    benchmarks: Mapping[str, BenchmarkInfo]
    problems: Problems
    tally: Tally = field(default_factory=Tally)

    def benchmark(self, name: str, key: str) -> Benchmark | None:
        """What the preset says of a benchmark; None, and a problem, if it says nothing."""
        known = self.config.preset.benchmarks
        if name not in known:
            self.problems.add(f"{key}.benchmark", f"'{name}' is not configured; {suggestion(name, known)}")
        return known.get(name)

    def origin(self, benchmark: str, changes: Changes, place: str) -> Origin:
        """Where the values of a training on a benchmark stand; ``place`` is that of changed keys of the recipe."""
        return Origin(benchmark, self.config.preset.benchmarks[benchmark], self.benchmarks[benchmark], changes, place)

    def specification(
        self,
        benchmark: str,
        architecture: Architecture,
        settings: Settings,
        tasks: Sequence[str],
        single: bool = False,
        options: MethodOptions | None = None,
    ) -> Specification:
        """What the numbers of a training depend on.

        Args:
            benchmark: Name of the benchmark.
            architecture: Backbone and capacity.
            settings: Recipe, model and length.
            tasks: What is trained jointly.
            single: Whether it is a single-dataset baseline.
            options: Options of the method; None for methods that only set weights.
        """
        domains = self.config.preset.benchmarks[benchmark].domains
        return Specification(
            model=architectures.model_options(architecture, settings.model),
            recipe=settings.recipe,
            epochs=settings.epochs,
            steps_per_epoch=settings.steps_per_epoch,
            outputs=self.benchmarks[benchmark].labels.outputs(tasks, domains, single),
            root_seed=self.config.seed,
            threads=self.config.threads,
            method_options=options,
            fraction=settings.fraction,
            train_images=self.config.preset.benchmarks[benchmark].limited_domains or None,
        )


def check_preset(config: Config, problems: Problems) -> dict[str, BenchmarkInfo]:
    """What each benchmark of a preset declares; those that do not exist are left out.

    Mistakes that concern no single experiment are noted: unknown benchmarks, domains and tasks, recipes that contradict
    themselves, and those of `throughput` and `jobs`.
    """
    infos = {}
    for name, options in config.preset.benchmarks.items():
        try:
            infos[name] = benchmarks.load(name)
        except ConfigError as error:
            problems.add(f"benchmarks.{name}", str(error))
            continue
        before = len(problems)
        _check_benchmark(name, options, infos[name], problems)
        infos[name] = infos[name].limited(options.limited_domains)
        if len(problems) == before:
            settings_of(Origin(name, options, infos[name], Changes(), ""), problems)
    jobs = config.preset.jobs
    if jobs.memory_mb > jobs.max_memory_mb:
        problems.add(f"jobs.memory_mb = {jobs.memory_mb}", f"is more than max_memory_mb = {jobs.max_memory_mb}")
    for name in config.preset.throughput.images_per_second:
        try:
            Architecture.parse(name)
        except ValueError as error:
            problems.add("throughput.images_per_second", str(error))
    return infos


def _check_benchmark(name: str, options: Benchmark, info: BenchmarkInfo, problems: Problems) -> None:
    key = f"benchmarks.{name}"
    for domain in options.domains:
        if domain not in info.domains:
            problems.add(f"{key}.domains", f"'{domain}' is unknown; {suggestion(domain, info.domains)}")
    maps = info.labels.formats if isinstance(info.labels, MapLabels) else {}
    for task in options.tasks or ():
        if task not in maps:
            problems.add(f"{key}.tasks", f"'{task}' is unknown; {suggestion(task, maps)}")
    if options.reference not in options.domains:
        problems.add(f"{key}.reference", f"'{options.reference}' is not among its domains")
    for domain, limit in options.limited_domains.items():
        _check_train_images(f"{key}.train_images", domain, limit, options, info, problems)


def _check_train_images(
    key: str, domain: str, limit: float, options: Benchmark, info: BenchmarkInfo, problems: Problems
) -> None:
    """Note a domain that is not prepared, and a number of its training images that it cannot have."""
    if domain not in options.domains or domain not in info.domains:
        problems.add(key, f"'{domain}' is not among its domains; {suggestion(domain, options.domains)}")
        return
    declared = info.domains[domain].train_images
    images = images_left(declared, limit)
    classes = len(info.labels.names) if isinstance(info.labels, ClassLabels) else 1
    if images > declared:
        problems.add(f"{key} = {limit:g}", f"{domain} has {declared:,} training images")
    elif images < classes:
        problems.add(
            f"{key} = {limit:g}", f"leaves {images:,} training images of {domain}, which has {classes} classes"
        )


def method_options(scope: Scope, key: str, method: str, given: dict[str, Any]) -> MethodOptions | None:
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


def named_tasks(
    scope: Scope, task_sets: Mapping[str, list[str] | str], benchmark: str, key: str
) -> dict[str, tuple[str, ...]]:
    """Task set -> its tasks or domains; nothing, and problems, if one of them is not possible.

    Args:
        scope: The preset.
        task_sets: What the preset says of them.
        benchmark: Name of their benchmark.
        key: Where they stand.
    """
    options, labels = scope.config.preset.benchmarks[benchmark], scope.benchmarks[benchmark].labels
    known = labels.known(options.domains, options.tasks)
    named: dict[str, tuple[str, ...]] = {}
    complete = True
    for name, given in task_sets.items():
        named[name] = tuple(labels.named(given) if isinstance(given, str) else given)
        messages = [] if named[name] else [f"its benchmark has no {given}, name the tasks"]
        messages += [
            f"'{task}' is not one of its benchmark's; {suggestion(task, known)}"
            for task in named[name]
            if task not in known
        ]
        if isinstance(labels, AttributeLabels) and not messages:
            messages += _overlaps(labels, named[name])
        for message in messages:
            scope.problems.add(f"{key}.{name}", message)
            complete = False
    return named if complete else {}


def _overlaps(labels: AttributeLabels, tasks: Sequence[str]) -> Iterator[str]:
    """What is wrong with tasks that have an attribute in common."""
    task_of: dict[str, str] = {}
    for task in tasks:
        for attribute in labels.groups.get(task, (task,)):
            other = task_of.setdefault(attribute, task)
            if other != task:
                yield f"'{other}' and '{task}' both have attribute '{attribute}'; leave one of them out"


def possible_architectures(
    scope: Scope, key: str, grid: Architectures, origin: Origin, settings: Settings
) -> Iterator[Architecture]:
    """Architectures of a capacity grid that give what the benchmark's tasks are; mistakes are noted."""
    for architecture in architectures.expand(grid):
        if check_architecture(scope, f"{key}.architectures", architecture, origin, settings):
            yield architecture


def check_architecture(scope: Scope, key: str, architecture: Architecture, origin: Origin, settings: Settings) -> bool:
    """Note what makes an architecture impossible; returns whether it gives what the benchmark's tasks are.

    Args:
        scope: The preset.
        key: Where it stands.
        architecture: Backbone and capacity.
        origin: The benchmark, and what differs from its recipe and model.
        settings: Recipe and model.
    """
    info = origin.info
    needs_maps = isinstance(info.labels, MapLabels)
    if (architecture.family == "dense") != needs_maps:
        family = "dense" if needs_maps else "another than dense"
        scope.problems.add(f"{key}.family", f"benchmark '{origin.benchmark}' needs {family}")
        return False
    problems = architectures.problems(architecture, settings.model, info.image_size)
    for problem in problems:
        scope.problems.add(f"{key} {architecture.name}", problem)
    if not problems and architectures.smallest_map(architecture, info.image_size) == 1:
        origin.check_batch_norm(settings.recipe, architecture.name, scope.problems)
    return True
