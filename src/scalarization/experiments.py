"""From a preset to cells, runs and jobs. No torch: every Snakemake process parses this.

A *run* is one trained model, a *cell* all runs that differ only in weights and seed, a *job* one process that trains
some cells (or a share of one).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scalarization import architectures, benchmarks, methods
from scalarization.architectures import Architecture
from scalarization.config import Config, overridden, suggestion
from scalarization.digests import code_digest, counting_digest, training_digest
from scalarization.errors import ConfigError
from scalarization.methods import _searched
from scalarization.searches import Search


@dataclass(frozen=True)
class Member:
    """One run of a cell.

    Attributes:
        index: Which weight setting of the cell.
        seed: Seed index, counted from 0.
        weights: One weight per task of the cell, on the simplex; none yet if a search is to find them.
    """

    index: int
    seed: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """All runs that differ only in weights and seed.

    Attributes:
        benchmark: Benchmark's name.
        task_set: Name of the set of tasks or domains trained together.
        tasks: Its members, in the order of the weights.
        architecture: Backbone and capacity.
        method: How the weights come about.
        variant: Whatever else sets it apart.
        specification: Everything else that a run's numbers depend on: evaluated tasks, model, recipe, steps, seed,
            threads. Written into the run file.
        members: The runs.
    """

    benchmark: str
    task_set: str
    tasks: tuple[str, ...]
    architecture: Architecture
    method: str
    variant: str
    specification: dict[str, Any] = field(hash=False)
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """Identity of the cell and its place below ``runs/``."""
        return "/".join((self.benchmark, self.task_set, self.architecture.name, self.method, self.variant))

    @property
    def slug(self) -> str:
        """The name as one part of a path."""
        return self.name.replace("/", ".")

    @property
    def steps(self) -> int:
        """Training steps of one run."""
        return self.specification["epochs"] * self.specification["steps_per_epoch"]

    @property
    def counts_conflicts(self) -> bool:
        """Whether gradient conflicts are counted while it trains; such cells are a tree of their own."""
        return "conflicts" in self.specification

    @property
    def code(self) -> str:
        """Digest of the code that trains it."""
        if self.counts_conflicts:
            return counting_digest(self.architecture.family)
        return training_digest(self.architecture.family, self.method)

    def describe(self) -> dict[str, Any]:
        """The cell's full specification, ready for JSON; a run's identity is this, its weights and its seed."""
        return {
            "benchmark": self.benchmark,
            "task_set": self.task_set,
            "tasks": list(self.tasks),
            "architecture": self.architecture.name,
            "method": self.method,
            "variant": self.variant,
            **self.specification,
        }


@dataclass(frozen=True)
class Share:
    """A cell, or a part of its members, as one job trains it.

    Attributes:
        cell: The whole cell.
        part: Number of the part, counted from 0.
        parts: How many parts the cell has; 1 if it is not split.
    """

    cell: Cell
    part: int = 0
    parts: int = 1

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of this part: every ``parts``-th, so that parts are equally long."""
        return self.cell.members[self.part :: self.parts]

    @property
    def name(self) -> str:
        """As given to ``train --cell``: the cell's name, and ``@part/parts`` if it is split."""
        return self.cell.name if self.parts == 1 else f"{self.cell.name}@{self.part}/{self.parts}"

    def fingerprint(self) -> str:
        """Changes whenever the runs of this share would come out differently, or are others."""
        content = [self.cell.describe(), [(m.index, m.seed, m.weights) for m in self.members]]
        return _digest(content, self.cell.code)


@dataclass(frozen=True)
class Job:
    """Shares of cells of one benchmark, trained by one process; ``seconds`` is the estimated cost."""

    name: str
    benchmark: str
    shares: tuple[Share, ...]
    seconds: float


class Plan:
    """Everything a preset (or the selected part of it) consists of.

    Args:
        config: Checked configuration.

    Raises:
        ConfigError: The preset names something unknown or impossible; the message gives file, key and value.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._problems: list[str] = []
        self._infos = self._check_benchmarks()
        self._stop_on_problems()
        self._searches = self._expand_searches()
        self._stop_on_problems()
        experiments, counts = config.preset["experiments"], config.preset["conflicts"]
        self.experiment_cells: dict[str, list[Cell]] = {
            name: self._expand(f"experiments.{name}", spec) for name, spec in experiments.items()
        }
        self.conflict_cells: dict[str, list[Cell]] = {
            name: self._expand_conflicts(f"conflicts.{name}", spec) for name, spec in counts.items()
        }
        whole = self._united("experiments", self.experiment_cells)
        counted = self._united("conflicts", self.conflict_cells)
        self._check_artifacts()
        self._check_costs()
        self._check_selection([*whole.values(), *counted.values()])
        self._stop_on_problems()
        self.cells: dict[str, Cell] = {
            name: selected for name, cell in whole.items() if (selected := self._select(cell)) is not None
        }
        #: The cells of `conflicts`; one may have the name of a cell that is trained without counting.
        self.counted: dict[str, Cell] = {
            name: selected for name, cell in counted.items() if (selected := self._select(cell)) is not None
        }
        used = {c.specification["search"]["name"] for c in self.cells.values() if "search" in c.specification}
        #: The selected searches, and those that a selected cell takes its weights from.
        self.searches: dict[str, Search] = {
            name: search for name, search in self._searches.items() if name in used or self._selects(search.cell)
        }
        if not self.cells and not self.counted:
            raise ConfigError(f"{config.source}: only = {config.only}: nothing of the preset is left")

    def info(self, benchmark: str) -> benchmarks.BenchmarkInfo:
        """Facts of one of the preset's benchmarks."""
        return self._infos[benchmark]

    def benchmark(self, name: str) -> dict[str, Any]:
        """What the preset says of one of its benchmarks.

        Raises:
            ConfigError: It has no such benchmark.
        """
        return self._found(name, self.config.preset["benchmarks"], "no benchmark")

    def experiment(self, name: str) -> list[Cell]:
        """The selected cells that an experiment consists of, the SD baselines among them."""
        return [self.cells[c.name] for c in self.experiment_cells[name] if c.name in self.cells]

    def conflicts(self, name: str) -> list[Cell]:
        """The selected cells of a key of `conflicts`."""
        return [self.counted[c.name] for c in self.conflict_cells[name] if c.name in self.counted]

    def artifact_kind(self, artifact: str) -> str:
        """Module in ``analysis`` and ``figures`` that makes an artifact."""
        return self.config.preset["artifacts"][artifact].get("kind", artifact)

    def artifacts(self) -> list[str]:
        """Artifacts of which anything is selected; one of experiments is not made of their searches alone."""
        return [
            artifact
            for artifact, spec in self.config.preset["artifacts"].items()
            if spec.get("costs") in self.costs()
            or self.artifact_cells(artifact)
            or (self.artifact_searches(artifact) and not self.artifact_experiments(artifact))
        ]

    def artifact_experiments(self, artifact: str) -> list[str]:
        """The experiments that an artifact queries; none if it is about costs or conflicts."""
        spec = self.config.preset["artifacts"][artifact]
        return spec.get("experiments") or ([spec["experiment"]] if "experiment" in spec else [])

    def artifact_conflicts(self, artifact: str) -> list[str]:
        """The keys of `conflicts` that an artifact queries."""
        return self.config.preset["artifacts"][artifact].get("conflicts", [])

    def artifact_cells(self, artifact: str) -> list[Cell]:
        """The selected cells that an artifact queries."""
        cells = [c for e in self.artifact_experiments(artifact) for c in self.experiment(e)]
        cells += [c for n in self.artifact_conflicts(artifact) for c in self.conflicts(n)]
        return list({c.name: c for c in cells}.values())

    def artifact_searches(self, artifact: str) -> list[Search]:
        """The selected searches that an artifact queries."""
        return [s for s in self.artifact_searches_planned(artifact) if s.name in self.searches]

    def artifact_searches_planned(self, artifact: str) -> list[Search]:
        """The searches that an artifact queries in the whole preset, in the order in which it lists them."""
        keys = self.config.preset["artifacts"][artifact].get("searches", [])
        return [s for key in keys for s in self._searches.values() if s.key == key]

    def artifact_inputs(self, artifact: str) -> list[Path]:
        """The files that an artifact is summarised from."""
        costs = self.config.preset["artifacts"][artifact].get("costs")
        if costs:
            return [self.costs_file(costs)]
        if self.artifact_kind(artifact) in ("table_a", "figure_a"):
            # What the tasks or domains are is known from the data; nothing needs to be trained for it.
            return [self.store_file(b) for b in dict.fromkeys(c.benchmark for c in self.artifact_cells(artifact))]
        files = [
            *(self.run_file(c) for c in self.artifact_cells(artifact)),
            *(self.search_file(s) for s in self.artifact_searches(artifact)),
        ]
        if self.artifact_kind(artifact) == "predictions":
            files += [f for c in self.artifact_cells(artifact) if (f := self.examples_file(Share(c)))]
        return files

    def artifact_fingerprint(self, artifact: str) -> str:
        """Changes whenever an artifact's query, or what it queries, is another."""
        spec = self.config.preset["artifacts"][artifact]
        whole = [c.name for e in self.artifact_experiments(artifact) for c in self.experiment_cells[e]]
        whole += [c.name for n in self.artifact_conflicts(artifact) for c in self.conflict_cells[n]]
        reported = [f.read_text() for f in sorted((Path(__file__).parent / "analysis" / "reported").glob("*.csv"))]
        content = [spec, whole, [(c.name, len(c.members)) for c in self.artifact_cells(artifact)], reported]
        content.append([s.describe() for s in self.artifact_searches(artifact)])
        return _digest(content, code_digest("analysis", f"analysis.{self.artifact_kind(artifact)}"))

    def costs(self) -> list[str]:
        """Names of the selected measurements of cost."""
        only = self.config.only
        return [
            name
            for name, spec in self.config.preset["costs"].items()
            if spec["benchmark"] in only.get("benchmarks", [spec["benchmark"]])
        ]

    def costs_file(self, name: str) -> Path:
        """Where a measurement of cost is."""
        return self.config.results / "costs" / f"{name}.parquet"

    def costs_cell(self, name: str) -> Cell:
        """What a measurement of cost trains: benchmark, architecture, recipe, and the methods that are compared."""
        spec = self.config.preset["costs"][name]
        info = self._infos[spec["benchmark"]]
        settings = self._settings(spec["benchmark"], {}, f"costs.{name}")
        if "batch_size" in spec:
            settings["recipe"]["batch_size"] = spec["batch_size"]
        compared = {m: methods.with_defaults(m, o) for m, o in {"uniform": {}, **spec["methods"]}.items()}
        benchmark = self.config.preset["benchmarks"][spec["benchmark"]]
        outputs = self._outputs(info, benchmark, "uniform", list(info.attributes))
        specification = {**settings, **outputs, "compared": compared, "tasks": spec["tasks"], "rounds": spec["rounds"]}
        architecture = Architecture.parse(spec["architecture"])
        specification["model"] = architectures.model_options(architecture, settings["model"])
        return Cell(spec["benchmark"], name, info.attributes, architecture, "uniform", "base", specification, ())

    def costs_fingerprint(self, name: str) -> str:
        """Changes whenever a measurement of cost is of something else."""
        cell = self.costs_cell(name)
        roots = [f"methods.{m}" for m in cell.specification["compared"]]
        code = code_digest("training.bench", f"models.{cell.architecture.family}", *roots)
        return _digest(cell.describe(), code)

    def search_file(self, search: Search) -> Path:
        """Where the history of a search is."""
        return search.file(self.config.results)

    def search_sessions(self) -> dict[str, list[Search]]:
        """Session -> its selected searches, which one job makes at the same time."""
        sessions: dict[str, list[Search]] = {}
        for search in self.searches.values():
            sessions.setdefault(search.session, []).append(search)
        return sessions

    def search_fingerprint(self, search: Search) -> str:
        """Changes whenever a search would come out differently."""
        code = code_digest("search.session", f"models.{search.cell.architecture.family}", "methods.uniform")
        return _digest(search.describe(), code)

    def search_seconds(self, search: Search) -> float:
        """Estimated training time of all members of a search, in seconds of the preset's hardware."""
        return search.population * self.seconds(search.cell)

    def full_steps(self, search: Search) -> int:
        """Steps of one training on the whole training set: what the cost of a search is counted in."""
        changes = self.config.preset["searches"][search.key]["changes"]
        settings = self._settings(search.cell.benchmark, changes, f"searches.{search.key}")
        return settings["epochs"] * settings["steps_per_epoch"]

    def search_of(self, cell: Cell) -> Search | None:
        """The search that a cell takes its weights from; None for a cell whose weights are known beforehand."""
        found = cell.specification.get("search")
        return self._searches[found["name"]] if found else None

    def job_inputs(self, job: Job) -> list[Path]:
        """The files that a training job reads: data, and the searches of its cells."""
        searches = {s.name: s for share in job.shares if (s := self.search_of(share.cell))}
        return [self.store_file(job.benchmark), *map(self.search_file, searches.values())]

    def benchmarks(self) -> list[str]:
        """Benchmarks with a selected cell."""
        return list(dict.fromkeys(c.benchmark for c in (*self.cells.values(), *self.counted.values())))

    def run_file(self, cell: Cell) -> Path:
        """Where a cell's runs, or what was counted in them, are."""
        if cell.counts_conflicts:
            return self.config.results / "conflicts" / f"{cell.name}.parquet"
        return self.config.results / "runs" / f"{cell.name}.parquet"

    def share_file(self, share: Share) -> Path:
        """Where the runs of a part of a cell are; the run file itself if the cell is not split."""
        if share.parts == 1:
            return self.run_file(share.cell)
        return self.config.results / "parts" / share.cell.name / f"{share.part}of{share.parts}.parquet"

    def examples_file(self, share: Share) -> Path | None:
        """Where a dense cell's predictions for a few test images are; None for cells without maps."""
        if "maps" not in share.cell.specification:
            return None
        if share.parts == 1:
            return self.config.results / "examples" / f"{share.cell.name}.parquet"
        return self.share_file(share).with_suffix(".examples.parquet")

    def share_outputs(self, share: Share) -> list[Path]:
        """All files that training a share makes."""
        return [file for file in (self.share_file(share), self.examples_file(share)) if file]

    def store_file(self, benchmark: str) -> Path:
        """The file that completes a benchmark's prepared store."""
        return self.config.results / "data" / benchmark / "dataset.json"

    def store_inputs(self, benchmark: str) -> list[Path]:
        """The files that a prepared store waits for: the manifest of what was fetched, if anything is."""
        return [self.config.manifest(benchmark)] if hasattr(benchmarks.load(benchmark), "files") else []

    def summary_file(self, artifact: str) -> Path:
        """The few numbers from which an artifact is drawn."""
        return self.config.results / "summary" / f"{artifact}.parquet"

    def artifact_files(self, artifact: str) -> dict[str, Path]:
        """Format -> file of an artifact: PDF and PNG, for tables Markdown and LaTeX as well."""
        table = "table" in self.artifact_kind(artifact).split("_")
        directory = self.config.reports / ("tables" if table else "figures")
        formats = ("pdf", "png", "md", "tex") if table else ("pdf", "png")
        return {f: directory / f"{artifact}.{f}" for f in formats}

    def shares(self, cell: Cell) -> list[Share]:
        """The parts in which a cell is trained."""
        limit = self.config.preset["jobs"]["members_per_job"]
        parts = math.ceil(len(cell.members) / limit) if limit else 1
        return [Share(cell, part, parts) for part in range(parts)]

    def jobs(self) -> list[Job]:
        """All training jobs: small cells share one of about ``jobs.minutes`` of estimated cost, jobs equally long.

        None is shorter than half of that, unless there is no more to train on a benchmark, or after a search.

        Which job trains a cell has no influence on its result, and members that are finished are never trained
        again, so it does no harm when a change of the preset moves a cell to another job.
        """
        groups: dict[tuple[str, str], dict[tuple[str, ...], list[Share]]] = {}
        names = {e: {c.name for c in cells} for e, cells in self.experiment_cells.items()}
        for cell in self.cells.values():
            users = tuple(e for e, wanted in names.items() if cell.name in wanted)
            # What waits for a search must not hold up what does not.
            search = self.search_of(cell)
            group = groups.setdefault((cell.benchmark, search.session if search else ""), {})
            group.setdefault(users, []).extend(self.shares(cell))
        return self._pack(groups)

    def conflict_jobs(self) -> list[Job]:
        """All jobs that count conflicts, packed like :meth:`jobs`; cells are not split."""
        groups: dict[tuple[str, str], dict[tuple[str, ...], list[Share]]] = {}
        names = {n: {c.name for c in cells} for n, cells in self.conflict_cells.items()}
        for cell in self.counted.values():
            users = tuple(n for n, wanted in names.items() if cell.name in wanted)
            groups.setdefault((cell.benchmark, ""), {}).setdefault(users, []).append(Share(cell))
        return self._pack(groups)

    def _pack(self, groups: dict[tuple[str, str], dict[tuple[str, ...], list[Share]]]) -> list[Job]:
        """Jobs of shares.

        Args:
            groups: Benchmark and session of searches, whose shares may meet in a job -> experiments -> shares that they
                want together.
        """
        limit = self.config.preset["jobs"]["minutes"] * 60
        jobs: list[Job] = []
        for (benchmark, _), together in groups.items():
            found: list[list[Share]] = []
            # A job over several experiments trains what one figure has no use for: only where there is little of each.
            little: list[Share] = []
            for shares in together.values():
                if self._cost(shares) >= limit / 2:
                    found += self._split(shares, limit)
                    continue
                little += shares
                if self._cost(little) >= limit / 2:
                    found.append(little)
                    little = []
            if found:
                min(found, key=self._cost).extend(little)
            else:
                found.append(little)
            first = sum(j.benchmark == benchmark for j in jobs)
            jobs += [
                Job(f"{benchmark}_{number:04d}", benchmark, tuple(shares), self._cost(shares))
                for number, shares in enumerate(found, first)
            ]
        return jobs

    def _cost(self, shares: Iterable[Share]) -> float:
        return sum(len(share.members) * self.seconds(share.cell) for share in shares)

    def _split(self, shares: list[Share], limit: float) -> list[list[Share]]:
        """Shares of jobs of at most about ``limit`` seconds."""
        costs = [self._cost([share]) for share in shares]
        count = min(len(shares), math.ceil(sum(costs) / limit)) if limit else len(shares)
        while True:
            # Longest first, each to the job with the least: no job ends long after the others.
            load = [0.0] * count
            members: list[list[int]] = [[] for _ in range(count)]
            for number in sorted(range(len(shares)), key=lambda n: (-costs[n], n)):
                job = load.index(min(load))
                load[job] += costs[number]
                members[job].append(number)
            if count == 1 or min(load) >= limit / 2:
                return [[shares[n] for n in sorted(numbers)] for numbers in members]
            count -= 1

    def cell(self, name: str) -> Cell:
        """The selected cell of a name.

        Raises:
            ConfigError: The preset, or the selected part of it, has no such cell.
        """
        return self._found(name, self.cells, "no cell")

    def counted_cell(self, name: str) -> Cell:
        """The selected cell of a name among those of `conflicts`.

        Raises:
            ConfigError: The preset, or the selected part of it, counts no conflicts in such a cell.
        """
        return self._found(name, self.counted, "conflicts: no cell")

    def search(self, name: str) -> Search:
        """The selected search of a name.

        Raises:
            ConfigError: The preset, or the selected part of it, has no such search.
        """
        return self._found(name, self.searches, "no search")

    def _found(self, name: str, known: dict[str, Any], problem: str) -> Any:
        if name not in known:
            raise ConfigError(f"{self.config.preset_file}: {problem} {name}; {suggestion(name, known)}")
        return known[name]

    def share(self, name: str) -> Share:
        """The share with a name as given to ``train --cell``.

        Raises:
            ConfigError: The preset has no such cell or part.
        """
        cell_name, _, part = name.partition("@")
        for share in self.shares(self.cell(cell_name)):
            if share.name == name:
                return share
        raise ConfigError(f"{self.config.preset_file}: cell {cell_name} has no part '{part}'; leave it out")

    def flops(self, cell: Cell) -> float:
        """Floating point operations of training one run of a cell: forward, and twice that backward."""
        info = self._infos[cell.benchmark]
        model = cell.specification["model"]
        maps = list(cell.specification.get("maps", {}).values())
        forward = architectures.forward_flops(cell.architecture, model, info.image_size, info.channels, maps)
        return 3 * forward * self.images(cell)

    def images(self, cell: Cell) -> int:
        """Images that one run of a cell is trained on."""
        return cell.steps * cell.specification["recipe"]["batch_size"]

    def seconds(self, cell: Cell) -> float:
        """Estimated training time of one run of a cell, in seconds of the preset's hardware."""
        throughput = self.config.preset["throughput"]
        if cell.counts_conflicts:
            return self._seconds_counting(cell)
        # Of a step that costs 3, forward once and backward twice that, T backward passes repeat the second part.
        separate = not _splits_batches(cell) and methods.needs_task_gradients(cell.method)
        factor = (1 + 2 * len(cell.tasks)) / 3 if separate else 1
        measured = throughput["images_per_second"].get(cell.architecture.name)
        if measured:
            return factor * self.images(cell) / measured
        once = cell.steps * throughput["seconds_per_step"] + self.flops(cell) / throughput["flops_per_second"]
        return factor * once

    def _seconds_counting(self, cell: Cell) -> float:
        """As :meth:`seconds`: T backward passes more at every counted step, or the batch once more in T parts."""
        uncounted = {k: v for k, v in cell.specification.items() if k != "conflicts"}
        plain = self.seconds(replace(cell, specification=uncounted))
        tasks, every = len(cell.tasks), cell.specification["conflicts"]["every"]
        if not _splits_batches(cell):
            return plain * (1 + 2 * tasks / 3 / every)
        overhead = cell.steps * self.config.preset["throughput"]["seconds_per_step"]
        return plain * (1 + 1 / every) + overhead * (tasks - 1) / every

    def _problem(self, key: str, message: str) -> None:
        self._problems.append(f"{self.config.preset_file}: {key}: {message}")

    def _stop_on_problems(self) -> None:
        if self._problems:
            raise ConfigError("\n".join(dict.fromkeys(self._problems)))

    def _check_benchmarks(self) -> dict[str, benchmarks.BenchmarkInfo]:
        infos = {}
        for name, spec in self.config.preset["benchmarks"].items():
            key = f"benchmarks.{name}"
            try:
                info = benchmarks.load(name).INFO
            except ConfigError as error:
                self._problem(key, str(error))
                continue
            infos[name] = info
            for domain in spec["domains"]:
                if domain not in info.domains:
                    self._problem(f"{key}.domains", f"'{domain}' is unknown; {suggestion(domain, info.domains)}")
            for task in spec["tasks"] or ():
                if task not in info.maps:
                    self._problem(f"{key}.tasks", f"'{task}' is unknown; {suggestion(task, info.maps)}")
            if spec["reference"] not in spec["domains"]:
                self._problem(f"{key}.reference", f"'{spec['reference']}' is not among its domains")
        return infos

    def _united(self, section: str, found: dict[str, list[Cell]]) -> dict[str, Cell]:
        """Cells by name, put together where several keys of a section ask for members of one."""
        whole: dict[str, Cell] = {}
        origin: dict[str, str] = {}
        for name, cells in found.items():
            for cell in cells:
                known = whole.get(cell.name)
                if known and known.describe() != cell.describe():
                    self._problem(
                        f"{section}.{name}",
                        f"its cell {cell.name} differs from that of {section}.{origin[cell.name]} "
                        f"in {_difference(known.describe(), cell.describe())}; name a variant in one of them",
                    )
                    continue
                origin.setdefault(cell.name, name)
                whole[cell.name] = _merge(known, cell) if known else cell
        return whole

    def _expand_conflicts(self, key: str, spec: dict[str, Any]) -> list[Cell]:
        """Cells of uniform weights in which conflicts are counted, evaluated after every epoch."""
        cells = []
        for cell in self._expand(key, {**spec, "methods": {"uniform": {}}}):
            if len(cell.tasks) < 2:
                self._problem(f"{key}.task_sets.{cell.task_set}", "one task has nothing to conflict with; add another")
            if cell.specification["recipe"]["compile"] is True:
                self._problem(key, "compile = true: a compiled network gives no gradients by task; leave it out")
            if spec["every"] > cell.specification["steps_per_epoch"]:
                per_epoch = cell.specification["steps_per_epoch"]
                self._problem(f"{key}.every", f"{spec['every']} is more than the {per_epoch} steps of an epoch")
            recipe = {**cell.specification["recipe"], "eval_every": 1, "compile": False}
            changed = {**cell.specification, "recipe": recipe, "conflicts": {"every": spec["every"]}}
            cells.append(replace(cell, specification=changed))
        return cells

    def _expand(self, key: str, spec: dict[str, Any]) -> list[Cell]:
        found: dict[str, Cell] = {}
        if spec["benchmark"] not in self.config.preset["benchmarks"]:
            known = self.config.preset["benchmarks"]
            self._problem(f"{key}.benchmark", f"'{spec['benchmark']}' is not configured; {suggestion('', known)}")
            return []
        benchmark, info = self.config.preset["benchmarks"][spec["benchmark"]], self._infos[spec["benchmark"]]
        task_sets = self._named_tasks(spec["task_sets"], benchmark, info, f"{key}.task_sets")
        if not task_sets:
            return []
        for method, options in spec["methods"].items():
            try:
                method_options = methods.with_defaults(method, options)
            except ConfigError as error:
                self._problem(f"{key}.methods", str(error))
                continue
            for variant, changes in spec["variants"].items():
                settings = self._settings(spec["benchmark"], changes, f"{key}.variants.{variant}")
                for architecture in architectures.expand(spec["architectures"]):
                    if not self._fits(architecture, spec["benchmark"], f"{key}.architectures.family"):
                        continue
                    if method == "rotograd" and info.maps and settings["model"]["skips"]:
                        self._problem(f"{key}.methods.rotograd", "rotates features of one size; set skips: false")
                    for problem in architectures.problems(architecture, settings["model"], info.image_size):
                        self._problem(f"{key}.architectures {architecture.name}", problem)
                    for task_set, tasks in self._task_sets(method, task_sets).items():
                        try:
                            weights = methods.weight_settings(method, options, tasks, info.domains)
                        except ConfigError as error:
                            self._problem(f"{key}.methods.{method} on {task_set}", str(error))
                            continue
                        members = tuple(
                            Member(i, s, tuple(w)) for i, w in enumerate(weights) for s in range(spec["seeds"])
                        )
                        specification = {
                            **settings,
                            "model": architectures.model_options(architecture, settings["model"]),
                            "method_options": {},
                            **self._outputs(info, benchmark, method, tasks),
                        }
                        if hasattr(methods.load(method), "build"):
                            specification["method_options"] = method_options
                        cell = Cell(
                            spec["benchmark"],
                            task_set,
                            tuple(tasks),
                            architecture,
                            method,
                            variant,
                            specification,
                            members,
                        )
                        if method in _searched.METHODS:
                            changed = {k: v for k, v in changes.items() if k in method_options}
                            found_search = self._search_options(method, {**method_options, **changed}, cell, key)
                            specification["search"] = found_search
                        found[cell.name] = cell
        return list(found.values())

    def _expand_searches(self) -> dict[str, Search]:
        found: dict[str, Search] = {}
        benchmarks_of_session: dict[str, str] = {}
        for key, spec in self.config.preset["searches"].items():
            place = f"searches.{key}"
            benchmark = self.config.preset["benchmarks"].get(spec["benchmark"])
            if benchmark is None:
                word = suggestion(spec["benchmark"], self.config.preset["benchmarks"])
                self._problem(f"{place}.benchmark", f"'{spec['benchmark']}' is not configured; {word}")
                continue
            info = self._infos[spec["benchmark"]]
            named = self._named_tasks(spec["task_set"], benchmark, info, place)
            if not named:
                continue
            task_set, tasks = next(iter(named.items()))
            if len(tasks) < 2:
                self._problem(f"{place}.task_set", "a search needs at least two tasks")
                continue
            settings = self._settings(spec["benchmark"], spec["changes"], place, spec["fraction"])
            settings |= {"method_options": {}, **self._outputs(info, benchmark, "uniform", tasks)}
            for architecture in architectures.expand(spec["architectures"]):
                if not self._fits(architecture, spec["benchmark"], f"{place}.architectures.family"):
                    continue
                for problem in architectures.problems(architecture, settings["model"], info.image_size):
                    self._problem(f"{place}.architectures {architecture.name}", problem)
                session = spec.get("session", f"{key}_{architecture.name}")
                if (other := benchmarks_of_session.setdefault(session, spec["benchmark"])) != spec["benchmark"]:
                    problem = f"'{session}' is of benchmark {other}; a session is of one benchmark"
                    self._problem(f"{place}.session", problem)
                specification = {**settings, "model": architectures.model_options(architecture, settings["model"])}
                name = spec["benchmark"]
                cell = Cell(name, task_set, tuple(tasks), architecture, "uniform", "search", specification, ())
                search = Search(
                    key,
                    cell,
                    spec["method"],
                    spec["population"],
                    spec["epochs_ready"],
                    spec["quantile"],
                    tuple(spec["perturbation_factors"]),
                    spec["resample_probability"],
                    spec["seed"],
                    session,
                )
                if len(search.ends) < 2 and search.copies:
                    epochs = settings["epochs"]
                    self._problem(f"{place}.epochs_ready", f"{spec['epochs_ready']} of {epochs} epochs: nobody copies")
                found[search.name] = search
        return found

    def _search_options(self, method: str, options: dict[str, Any], cell: Cell, key: str) -> dict[str, Any]:
        """What the cell's specification says about the search that its weights come from."""
        architecture = options["search_on"] or cell.architecture.name
        name = f"{options['search']}/{architecture}"
        search = self._searches.get(name)
        if search is None:
            self._problem(f"{key}.{method}.search", f"'{name}' is unknown; {suggestion(name, self._searches)}")
            return {}
        if options["policy"] not in _searched.POLICIES:
            word = suggestion(options["policy"], _searched.POLICIES)
            self._problem(f"{key}.{method}.policy", f"'{options['policy']}' is unknown; {word}")
        if search.method != method:
            self._problem(f"{key}.{method}.search", f"'{options['search']}' is a search by {search.method}")
        if (search.cell.benchmark, search.cell.tasks) != (cell.benchmark, cell.tasks):
            self._problem(
                f"{key}.{method}.search",
                f"'{options['search']}' is for {search.cell.benchmark} {', '.join(search.cell.tasks)}, "
                f"not {cell.benchmark} {', '.join(cell.tasks)}",
            )
        return {"name": name, "policy": options["policy"], **search.describe()}

    def _outputs(
        self, info: benchmarks.BenchmarkInfo, benchmark: dict[str, Any], method: str, tasks: list[str]
    ) -> dict[str, Any]:
        if info.setting == "mdl":
            # SD models are looked at on every domain (paper A 2.2), others on what they were trained on.
            evaluated = list(benchmark["domains"] if method == "single" else tasks)
            return {"setting": "mdl", "classes": len(info.classes), "evaluated": evaluated}
        if info.maps:
            maps = {task: info.maps[task].channels for task in tasks}
            return {"setting": "mtl", "maps": maps, "evaluated": list(benchmark["domains"])}
        return {
            "setting": "mtl",
            "labels": list(info.attributes),
            "attributes": {task: list(info.outputs(task)) for task in tasks},
            "evaluated": list(benchmark["domains"]),
        }

    def _fits(self, architecture: Architecture, benchmark: str, key: str) -> bool:
        """Whether a network gives what a benchmark's tasks are, maps or logits; a problem if not."""
        maps = bool(self._infos[benchmark].maps)
        if (architecture.family == "dense") != maps:
            self._problem(key, f"benchmark '{benchmark}' needs {'dense' if maps else 'another than dense'}")
            return False
        return True

    def _named_tasks(
        self, named: dict[str, Any], benchmark: dict[str, Any], info: benchmarks.BenchmarkInfo, key: str
    ) -> dict[str, list[str]]:
        """Task set -> its members; nothing if one of them does not exist, which is then a problem."""
        if info.setting == "mdl":
            known = benchmark["domains"]
        else:
            known = (benchmark["tasks"] or list(info.maps)) if info.maps else [*info.groups, *info.attributes]
        task_sets = {
            name: list(info.groups if tasks == "groups" else info.attributes) if isinstance(tasks, str) else tasks
            for name, tasks in named.items()
        }
        empty = [s for s, tasks in task_sets.items() if not tasks]
        for task_set in empty:
            self._problem(f"{key}.{task_set}", f"its benchmark has no {named[task_set]}, name the tasks")
        unknown = [(s, task) for s, tasks in task_sets.items() for task in tasks if task not in known]
        for task_set, task in unknown:
            self._problem(f"{key}.{task_set}", f"'{task}' is not one of its benchmark's; {suggestion(task, known)}")
        return {} if unknown or empty else task_sets

    def _task_sets(self, method: str, task_sets: dict[str, list[str]]) -> dict[str, list[str]]:
        if method != "single":
            return task_sets
        return {task: [task] for tasks in task_sets.values() for task in tasks}

    def _settings(
        self, benchmark: str, changes: dict[str, Any], key: str, fraction: float | None = None
    ) -> dict[str, Any]:
        """Model, recipe and steps; with a ``fraction`` of the training set an epoch is a pass over that much of it."""
        spec = self.config.preset["benchmarks"][benchmark]
        recipe = overridden(spec["recipe"], changes.get("recipe", {}))
        model = overridden(spec["model"], changes.get("model", {}))
        if recipe["warmup_epochs"] >= recipe["epochs"]:
            value = recipe["warmup_epochs"]
            self._problem(key, f"warmup_epochs = {value} leaves none of the {recipe['epochs']} epochs after it")
        if self._infos[benchmark].maps and recipe["augmentation"]["randaugment"]:
            where = f"benchmarks.{benchmark}.recipe.augmentation.randaugment"
            self._problem(where, "maps would have to be transformed with the images; leave it out")
        if "resized_crop" in recipe["augmentation"] and not self._infos[benchmark].encoded:
            self._problem(
                key,
                f"augmentation.resized_crop = {recipe['augmentation']['resized_crop']} is for benchmarks whose images "
                f"are decoded while training, and {benchmark} is none of them; use crop_padding",
            )
        epoch_images = self._infos[benchmark].domains[spec["reference"]]
        if (steps := recipe.pop("steps_per_epoch")) is not None:
            epoch_images = steps * recipe["batch_size"]
        epochs = recipe.pop("epochs")
        return {
            "model": model,
            "recipe": recipe,
            "epochs": epochs,
            "steps_per_epoch": math.ceil(epoch_images * (fraction or 1) / recipe["batch_size"]),
            **({} if fraction is None else {"fraction": fraction}),
            "root_seed": self.config.seed,
            "threads": self.config.threads,
        }

    def _check_artifacts(self) -> None:
        for artifact, spec in self.config.preset["artifacts"].items():
            key = f"artifacts.{artifact}"
            sources = sum(k in spec for k in ("experiment", "experiments", "costs", "conflicts"))
            if sources > 1 or not (sources or "searches" in spec):
                self._problem(
                    key,
                    "give exactly one of experiment, experiments, costs, conflicts; or searches, alone or with them",
                )
            for search in spec.get("searches", []):
                known = self.config.preset["searches"]
                if search not in known:
                    self._problem(f"{key}.searches", f"'{search}' is unknown; {suggestion(search, known)}")
            known = self.config.preset["experiments"]
            for experiment in self.artifact_experiments(artifact):
                if experiment not in known:
                    self._problem(f"{key}.experiment", f"'{experiment}' is unknown; {suggestion(experiment, known)}")
            counts = self.config.preset["conflicts"]
            for name in self.artifact_conflicts(artifact):
                if name not in counts:
                    self._problem(f"{key}.conflicts", f"'{name}' is unknown; {suggestion(name, counts)}")
            costs = self.config.preset["costs"]
            if spec.get("costs", next(iter(costs), None)) not in [*costs, None]:
                self._problem(f"{key}.costs", f"'{spec['costs']}' is unknown; {suggestion(spec['costs'], costs)}")
            kind = self.artifact_kind(artifact)
            kinds = [f.stem for f in (Path(__file__).parent / "analysis").glob("*.py") if not f.stem.startswith("_")]
            if kind not in kinds:
                self._problem(key, f"kind '{kind}' is unknown; {suggestion(kind, kinds)}")

    def _check_costs(self) -> None:
        for name, spec in self.config.preset["costs"].items():
            key = f"costs.{name}"
            info = self._infos.get(spec["benchmark"])
            if info is None or not info.attributes:
                known = [b for b, i in self._infos.items() if i.attributes]
                self._problem(key, f"benchmark '{spec['benchmark']}' has no attributes here; {suggestion('', known)}")
                continue
            model = self.config.preset["benchmarks"][spec["benchmark"]]["model"]
            try:
                architecture = Architecture.parse(spec["architecture"])
                for problem in architectures.problems(architecture, model, info.image_size):
                    self._problem(f"{key}.architecture", problem)
                for method, options in spec["methods"].items():
                    methods.with_defaults(method, options)
            except (ValueError, ConfigError) as error:
                self._problem(key, str(error))

    def _check_selection(self, cells: Iterable[Cell]) -> None:
        cells = list(cells)
        known = {
            "benchmarks": {c.benchmark for c in cells},
            "capacities": {c.architecture.name for c in cells},
            "seeds": {m.seed for c in cells for m in c.members},
        }
        for key, values in self.config.only.items():
            for value in values:
                if value not in known[key]:
                    word = suggestion(value, known[key])
                    self._problems.append(f"{self.config.source}: only.{key}: {value} is not in the preset; {word}")

    def _selects(self, cell: Cell) -> bool:
        only = self.config.only
        name = cell.architecture.name
        return cell.benchmark in only.get("benchmarks", [cell.benchmark]) and name in only.get("capacities", [name])

    def _select(self, cell: Cell) -> Cell | None:
        if not self._selects(cell):
            return None
        only = self.config.only
        members = tuple(m for m in cell.members if m.seed in only.get("seeds", [m.seed]))
        return replace(cell, members=members) if members else None


def _splits_batches(cell: Cell) -> bool:
    """Whether task gradients come from parts of the batch: of domains, and where no BatchNorm forbids it."""
    return cell.specification["setting"] == "mdl" and cell.architecture.family == "vit"


def _digest(content: Any, code: str) -> str:
    return hashlib.sha256(f"{json.dumps(content, sort_keys=True)} {code}".encode()).hexdigest()[:16]


def _merge(first: Cell, second: Cell) -> Cell:
    """Two experiments may ask for other weights or more seeds of one cell: train the union."""
    weights = list(dict.fromkeys(m.weights for m in (*first.members, *second.members)))
    seeds = {(m.weights, m.seed) for m in (*first.members, *second.members)}
    members = tuple(Member(weights.index(w), s, w) for w, s in sorted(seeds, key=lambda p: (weights.index(p[0]), p[1])))
    return replace(first, members=members)


def _difference(first: dict[str, Any], second: dict[str, Any]) -> str:
    return ", ".join(f"{k} ({first[k]} and {second[k]})" for k in first if first[k] != second.get(k))
