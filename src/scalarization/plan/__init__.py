"""Planning: from a preset to cells, jobs, artifacts, paths and estimates. No torch: every Snakemake process does this.

:func:`load_plan` makes a :class:`Plan`, which only holds what the preset consists of. What else there is to know is
asked of the modules of this package: ``estimates``, ``packing``, ``artifacts``, ``fingerprints``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from scalarization.benchmarks import BenchmarkInfo
from scalarization.config import Config, Preset, suggestion
from scalarization.config.messages import one_line
from scalarization.errors import ConfigError
from scalarization.plan import artifacts, expand, packing, sizes
from scalarization.plan.cells import Cell, Profile, Search, Shard
from scalarization.plan.paths import Paths, check_names, check_sessions
from scalarization.plan.populations import expand_searches
from scalarization.plan.problems import Problems
from scalarization.plan.scope import Scope, check_preset
from scalarization.plan.selection import check_selection, select, selects_benchmark, selects_search

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """Everything a preset (or the selected part of it) consists of.

    Attributes:
        config: Knobs and preset.
        paths: Where everything lies.
        benchmarks: Benchmark of the preset -> what it declares.
        experiments: Experiment -> its cells in the whole preset, the SD baselines among them.
        conflicts: Key of `conflicts` -> its cells in the whole preset.
        all_searches: The searches of the whole preset, by name.
        cells: The selected cells, by name, with their selected runs.
        counted: The selected cells in which conflicts are counted; one may have the name of a cell without counting.
        searches: The selected searches, and those that a selected cell takes its weights from, by name.
        profiles: The selected measurements of time and memory, by name.
    """

    config: Config
    paths: Paths
    benchmarks: Mapping[str, BenchmarkInfo]
    experiments: Mapping[str, tuple[Cell, ...]]
    conflicts: Mapping[str, tuple[Cell, ...]]
    all_searches: Mapping[str, Search]
    cells: Mapping[str, Cell]
    counted: Mapping[str, Cell]
    searches: Mapping[str, Search]
    profiles: Mapping[str, Profile]

    @property
    def preset(self) -> Preset:
        """The preset."""
        return self.config.preset

    def cell(self, name: str) -> Cell:
        """The selected cell of a name; ConfigError if there is none."""
        return self._lookup(name, self.cells, "no cell")

    def counted_cell(self, name: str) -> Cell:
        """The selected cell of a name among those of `conflicts`; ConfigError if there is none."""
        return self._lookup(name, self.counted, "conflicts: no cell")

    def search(self, name: str) -> Search:
        """The selected search of a name; ConfigError if there is none."""
        return self._lookup(name, self.searches, "no search")

    def profile(self, name: str) -> Profile:
        """The selected measurement of a name; ConfigError if there is none."""
        return self._lookup(name, self.profiles, "no profile")

    def shard(self, name: str) -> Shard:
        """The shard with a name as given to ``train --cell``; ConfigError if there is none."""
        cell_name = name.partition("@")[0]
        return self._lookup(name, {shard.name: shard for shard in self.shards(self.cell(cell_name))}, "no shard")

    def shards_named(self, name: str) -> list[Shard]:
        """What ``train --cell`` trains: one shard, or all shards of a cell; ConfigError if there are none."""
        return self.shards(self.cells[name]) if name in self.cells else [self.shard(name)]

    def shards(self, cell: Cell) -> list[Shard]:
        """The shards in which a cell is trained."""
        return packing.shards_of(cell, self.preset.jobs.runs_per_job)

    def search_of(self, cell: Cell) -> Search | None:
        """The search that a cell takes its weights from; None for a cell whose weights are known beforehand.

        Of a search that is repeated it is the first one, which stands for the settings of all.
        """
        reference = cell.specification.search
        return self.all_searches[reference.name] if reference else None

    def searches_of(self, cell: Cell) -> tuple[Search, ...]:
        """The searches that the runs of a cell take their weights from, each once: several if it is repeated."""
        reference = cell.specification.search
        if reference is None:
            return ()
        names = dict.fromkeys(reference.of_seed(run.seed).name for run in cell.runs)
        return tuple(self.all_searches[name] for name in names)

    def _lookup(self, name: str, known: Mapping[str, T], problem: str) -> T:
        if name not in known:
            raise ConfigError(f"{self.config.preset_file}: {problem} {one_line(name)}; {suggestion(name, known)}")
        return known[name]


def load_plan(config: Config) -> Plan:
    """Expand a preset, check it, and select the part that ``only:`` names.

    Raises:
        ConfigError: The preset names something unknown or impossible; the message gives file, key and value.
    """
    problems = Problems(config.preset_file)
    scope = Scope(config, check_preset(config, problems), problems)
    problems.raise_if_any()
    all_searches = expand_searches(scope)
    problems.raise_if_any()
    preset = config.preset
    experiments = {
        name: tuple(expand.expand_experiment(scope, f"experiments.{name}", experiment, all_searches))
        for name, experiment in preset.experiments.items()
    }
    conflicts = {
        name: tuple(expand.expand_conflicts(scope, f"conflicts.{name}", count))
        for name, count in preset.conflicts.items()
    }
    profiles = {name: expand.expand_profile(scope, name, options) for name, options in preset.profiles.items()}
    cells = expand.unite(scope, "experiments", experiments)
    counted = expand.unite(scope, "conflicts", conflicts)
    check_names("experiments", experiments, problems)
    check_names("conflicts", conflicts, problems)
    check_sessions(all_searches.values(), problems)
    sizes.check_images((*cells.values(), *counted.values()), all_searches.values(), problems)
    artifacts.check_artifacts(preset, scope.benchmarks, experiments, conflicts, all_searches, problems)
    problems.raise_if_any()
    check_selection(config, [*cells.values(), *counted.values()], problems)
    problems.raise_if_any()
    only = config.only
    cells, counted = select(only, cells), select(only, counted)
    if not cells and not counted:
        raise ConfigError(f"{config.source}: only = {only.describe()}: nothing of the preset is left")
    references = [(cell.specification.search, cell.runs) for cell in cells.values() if cell.specification.search]
    used = {reference.of_seed(run.seed).name for reference, runs in references for run in runs}
    return Plan(
        config,
        Paths(config.results, config.reports, config.data_dir),
        scope.benchmarks,
        experiments,
        conflicts,
        all_searches,
        cells,
        counted,
        {name: search for name, search in all_searches.items() if name in used or selects_search(only, search)},
        {
            name: profile
            for name, profile in profiles.items()
            if profile and selects_benchmark(only, profile.cell.benchmark)
        },
    )
