"""Figures and tables: what kinds there are, what each artifact of a preset reads, and where its files are."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scalarization.benchmarks import BenchmarkInfo
from scalarization.config import ROOT, Preset, suggestion
from scalarization.config.models import ArtifactOptions
from scalarization.errors import ConfigError
from scalarization.plan.cells import Cell, Search, Shard
from scalarization.plan.problems import Problems

if TYPE_CHECKING:
    import pandas as pd

    from scalarization.plan import Plan

#: Captions of the kinds, for Snakemake's report.
CAPTIONS = ROOT / "workflow" / "report"
#: What a kind reads: run files (and searches); those and predictions; conflict files; the prepared store; a profile;
#: all run files, searches, conflict files and profiles that are selected; nothing.
Reads = Literal["runs", "examples", "conflicts", "store", "profile", "everything", "nothing"]
#: Keys of an artifact that name what it is made of.
SOURCES = ("experiment", "experiments", "conflicts", "searches", "profile")
#: What a kind needs: alternatives, of each of which exactly one key must be given. All other keys are refused.
Needs = tuple[tuple[str, ...], ...]
EXPERIMENT: Needs = (("experiment",),)
EXPERIMENTS: Needs = (("experiment", "experiments"),)
SEARCHES: Needs = (("searches",),)
CONFLICTS: Needs = (("conflicts",),)
PROFILE: Needs = (("profile",),)
#: Names nothing: such a kind reads everything, or nothing.
NOTHING: Needs = ()


@dataclass(frozen=True)
class Source:
    """What an artifact is made of in the whole preset, whatever ``only:`` selects.

    Attributes:
        artifact: Its name.
        options: What the preset says of it.
        experiments: Experiment -> its cells, the SD baselines among them.
        conflicts: Key of `conflicts` -> its cells.
        searches: The searches, in the order in which the artifact lists them.
        benchmarks: Benchmark -> what it declares.
        preset: The preset.
    """

    artifact: str
    options: ArtifactOptions
    experiments: Mapping[str, tuple[Cell, ...]]
    conflicts: Mapping[str, tuple[Cell, ...]]
    searches: tuple[Search, ...]
    benchmarks: Mapping[str, BenchmarkInfo]
    preset: Preset

    @property
    def cells(self) -> list[Cell]:
        """All cells of its experiments, each once."""
        return list({cell.name: cell for cells in self.experiments.values() for cell in cells}.values())


#: What must hold for an artifact to be made: source -> what is wrong, ready to follow ``artifacts.NAME: ``; None: fine.
Precondition = Callable[[Source], str | None]


@dataclass(frozen=True)
class ArtifactKind:
    """What an artifact's query declares; a module of :mod:`scalarization.analysis` exports one as ``KIND``.

    Attributes:
        name: Name of the module, of the drawing's module in ``figures`` or ``tables``, and of the caption.
        output: ``figure`` or ``table``.
        reads: What it is summarised from.
        needs: Which keys of an artifact name what it is made of.
        summarize: (plan, artifact) -> summary.
        preconditions: Checked for the whole preset when it is planned.
        columns: Columns of the summary and their types; a summary without one of them is not drawn. Empty: any.
    """

    name: str
    output: Literal["figure", "table"]
    reads: Reads
    needs: Needs
    summarize: Callable[[Plan, str], pd.DataFrame]
    preconditions: tuple[Precondition, ...] = field(default=())
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def caption(self) -> Path:
        """Its caption."""
        return CAPTIONS / f"{self.name}.rst"

    @property
    def drawing(self) -> str:
        """Module that draws it, below this package."""
        return f"{self.output}s.{self.name}"


@functools.cache
def kind_names() -> tuple[str, ...]:
    """Names of all kinds: modules of ``scalarization.analysis`` that export ``KIND``."""
    package = importlib.import_module("scalarization.analysis")
    names = (m.name for m in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(n for n in names if "KIND" in vars(importlib.import_module(f"scalarization.analysis.{n}"))))


@functools.cache
def load_kind(name: str) -> ArtifactKind:
    """What one kind declares.

    Raises:
        ConfigError: There is no such kind, or its caption or its drawing is missing.
    """
    exists = name.isidentifier() and importlib.util.find_spec(f"scalarization.analysis.{name}") is not None
    declared = vars(importlib.import_module(f"scalarization.analysis.{name}")) if exists else {}
    if "KIND" not in declared:
        raise ConfigError(f"kind '{name}' is unknown; {suggestion(name, kind_names())}")
    kind: ArtifactKind = declared["KIND"]
    if not kind.caption.is_file():
        raise ConfigError(f"kind '{name}' has no caption; write {kind.caption.relative_to(ROOT)}")
    if importlib.util.find_spec(f"scalarization.{kind.drawing}") is None:
        raise ConfigError(f"kind '{name}' has no drawing; write src/scalarization/{kind.drawing.replace('.', '/')}.py")
    return kind


def options_of(plan: Plan, artifact: str) -> ArtifactOptions:
    """What the preset says of an artifact; ConfigError if it says nothing."""
    known = plan.preset.artifacts
    if artifact not in known:
        raise ConfigError(f"{plan.config.preset_file}: no artifact '{artifact}'; {suggestion(artifact, known)}")
    return known[artifact]


def kind_of(plan: Plan, artifact: str) -> ArtifactKind:
    """The kind of an artifact of the preset."""
    return load_kind(options_of(plan, artifact).kind or artifact)


def experiments_of(plan: Plan, artifact: str) -> list[str]:
    """The experiments that an artifact queries; none if it is about a profile or conflicts."""
    if _reads_everything(plan, artifact):
        return list(plan.experiments)
    return _experiments(options_of(plan, artifact))


def conflicts_of(plan: Plan, artifact: str) -> list[str]:
    """The keys of `conflicts` that an artifact queries."""
    if _reads_everything(plan, artifact):
        return list(plan.conflicts)
    return options_of(plan, artifact).conflicts or []


def cells_of(plan: Plan, artifact: str) -> list[Cell]:
    """The selected cells that an artifact queries."""
    cells = [
        plan.cells[c.name] for e in experiments_of(plan, artifact) for c in plan.experiments[e] if c.name in plan.cells
    ]
    cells += [
        plan.counted[c.name] for n in conflicts_of(plan, artifact) for c in plan.conflicts[n] if c.name in plan.counted
    ]
    return list({(cell.name, cell.counts_conflicts): cell for cell in cells}.values())


def profiles_of(plan: Plan, artifact: str) -> list[str]:
    """The selected keys of `profiles` that an artifact queries."""
    if _reads_everything(plan, artifact):
        return list(plan.profiles)
    profile = options_of(plan, artifact).profile
    return [profile] if profile is not None and profile in plan.profiles else []


def planned_searches(plan: Plan, artifact: str) -> list[Search]:
    """The searches that an artifact queries in the whole preset, in the order in which it lists them."""
    if _reads_everything(plan, artifact):
        return list(plan.all_searches.values())
    return _searches(options_of(plan, artifact), plan.all_searches)


def searches_of(plan: Plan, artifact: str) -> list[Search]:
    """The selected searches that an artifact queries."""
    return [search for search in planned_searches(plan, artifact) if search.name in plan.searches]


def selected(plan: Plan) -> list[str]:
    """Artifacts of which anything is selected; one of experiments is not made of their searches alone."""
    return [
        artifact
        for artifact in plan.preset.artifacts
        if kind_of(plan, artifact).reads == "nothing"
        or profiles_of(plan, artifact)
        or cells_of(plan, artifact)
        or (searches_of(plan, artifact) and not experiments_of(plan, artifact))
    ]


def inputs_of(plan: Plan, artifact: str) -> list[Path]:
    """The files that an artifact is summarised from."""
    kind, cells, paths = kind_of(plan, artifact), cells_of(plan, artifact), plan.paths
    if kind.reads == "store":
        # What the tasks or domains are is known from the data; nothing needs to be trained for it.
        return [paths.store_file(benchmark) for benchmark in dict.fromkeys(cell.benchmark for cell in cells)]
    files = [*map(paths.run_file, cells), *map(paths.search_file, searches_of(plan, artifact))]
    files += map(paths.profile_file, profiles_of(plan, artifact))
    if kind.reads == "examples":
        files += [file for cell in cells if (file := paths.examples_file(Shard(cell)))]
    return files


def files_of(plan: Plan, artifact: str) -> dict[str, Path]:
    """Format -> file of an artifact: PDF and PNG, for tables Markdown and LaTeX as well."""
    return plan.paths.artifact_files(artifact, kind_of(plan, artifact).output)


def check_artifacts(
    preset: Preset,
    benchmarks: Mapping[str, BenchmarkInfo],
    experiments: Mapping[str, tuple[Cell, ...]],
    conflicts: Mapping[str, tuple[Cell, ...]],
    searches: Mapping[str, Search],
    problems: Problems,
) -> None:
    """Note artifacts that cannot be made: unknown kinds and sources, and what their kinds require.

    What kinds require is checked only if nothing else is wrong: cells may be missing where something is.
    """
    complete = not problems
    for artifact, options in preset.artifacts.items():
        key = f"artifacts.{artifact}"
        try:
            kind = load_kind(options.kind or artifact)
        except ConfigError as error:
            problems.add(key, str(error))
            continue
        messages = list(_wrong_keys(kind, options)) or list(_unknown_names(preset, options))
        for name, message in messages:
            problems.add(f"{key}.{name}" if name else key, message)
        if messages or not complete:
            continue
        source = Source(
            artifact,
            options,
            {name: experiments[name] for name in _experiments(options)},
            {name: conflicts[name] for name in options.conflicts or ()},
            tuple(_searches(options, searches)),
            benchmarks,
            preset,
        )
        for precondition in kind.preconditions:
            problem = precondition(source)
            if problem:
                problems.add(key, problem)
                break  # the others may rest on it


def _wrong_keys(kind: ArtifactKind, options: ArtifactOptions) -> Iterable[tuple[str, str]]:
    """Key and message of everything that a kind needs and does not get, or gets and does not need."""
    given = [key for key in SOURCES if key in options.describe()]
    for keys in kind.needs:
        named = " or ".join(f"'{key}'" for key in keys)
        if not any(key in given for key in keys):
            yield "", f"key {named} is missing"
        elif all(key in given for key in keys) and len(keys) > 1:
            yield "", f"give {named}, not both"
    needed = [key for keys in kind.needs for key in keys]
    for key in given:
        if key not in needed:
            needs = " and ".join(" or ".join(keys) for keys in kind.needs)
            yield key, f"kind {kind.name} is not made of {key}, but of {needs}; leave it out"


def _unknown_names(preset: Preset, options: ArtifactOptions) -> Iterable[tuple[str, str]]:
    """Key and message of everything that an artifact names and the preset does not have."""
    named: tuple[tuple[str, list[str], Mapping[str, object]], ...] = (
        ("searches", options.searches or [], preset.searches),
        ("experiment", [options.experiment] if options.experiment is not None else [], preset.experiments),
        ("experiments", options.experiments or [], preset.experiments),
        ("conflicts", options.conflicts or [], preset.conflicts),
        ("profile", [options.profile] if options.profile is not None else [], preset.profiles),
    )
    for key, names, known in named:
        for name in names:
            if name not in known:
                yield key, f"'{name}' is unknown; {suggestion(name, known)}"


def _reads_everything(plan: Plan, artifact: str) -> bool:
    return kind_of(plan, artifact).reads == "everything"


def _experiments(options: ArtifactOptions) -> list[str]:
    return options.experiments or ([] if options.experiment is None else [options.experiment])


def _searches(options: ArtifactOptions, searches: Mapping[str, Search]) -> list[Search]:
    return [search for key in options.searches or () for search in searches.values() if search.key == key]
