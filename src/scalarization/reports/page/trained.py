"""What the front page says of the training: how many models, how long, on what, with which versions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalarization.config import ROOT
from scalarization.errors import DataError
from scalarization.plan import Plan, artifacts
from scalarization.plan.cells import Cell
from scalarization.provenance import Provenance
from scalarization.storage import read_metadata, read_table

SECONDS_OF_GIT = 10


@dataclass
class Group:
    """What was trained on one benchmark for one purpose.

    Attributes:
        benchmark: The benchmark.
        purpose: ``runs``, ``runs with counted conflicts`` or ``members of searches``.
        models: Number of trained models.
        seeds: Seeds that they have, of members those of their searches.
        diverged: How many of them diverged.
        seconds: Time that their training took, added up; of those whose time is known.
        timed: Number of models whose time is known.
    """

    benchmark: str
    purpose: str
    models: int = 0
    seeds: set[int] = field(default_factory=set)
    diverged: int = 0
    seconds: float = 0.0
    timed: int = 0

    @property
    def time(self) -> str:
        """The time in words."""
        return duration(self.seconds) + (f" ({self.timed} of {self.models})" if self.timed < self.models else "")


@dataclass
class Trained:
    """Everything that was trained for the artifacts of the page.

    Attributes:
        groups: By benchmark and purpose.
        devices: Processors and graphics cards.
        threads: Compute threads of a training process.
        versions: Package -> its versions.
    """

    groups: list[Group] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    threads: set[int] = field(default_factory=set)
    versions: dict[str, set[str]] = field(default_factory=dict)

    @property
    def total(self) -> Group:
        """All groups together."""
        total = Group("in all", "")
        for group in self.groups:
            total.models += group.models
            total.diverged += group.diverged
            total.seconds += group.seconds
            total.timed += group.timed
        return total

    def add(self, environment: dict[str, Any]) -> None:
        """Note what a file was made with."""
        if device := environment.get("device"):
            self.devices.add("CPU" if device == "cpu" else device)
        if threads := environment.get("threads"):
            self.threads.add(threads)
        for package, version in environment.get("versions", {}).items():
            self.versions.setdefault(package, set()).add(version)


def summary(plan: Plan, drawn: Iterable[str], provenance: Provenance) -> Trained:
    """What was trained for some artifacts, from the metadata of their files.

    Args:
        plan: The plan.
        drawn: The artifacts.
        provenance: Says which of the files are current; others do not count.
    """
    inputs = {file for name in drawn for file in artifacts.inputs_of(plan, name)}
    files = {file for file in inputs if file.is_file() and provenance.problem(file) is None}
    result = Trained()
    groups: dict[tuple[str, str], Group] = {}

    def group(benchmark: str, purpose: str) -> Group:
        return groups.setdefault((benchmark, purpose), Group(benchmark, purpose))

    for cell in (*plan.cells.values(), *plan.counted.values()):
        file = plan.paths.run_file(cell)
        if file in files:
            purpose = "runs with counted conflicts" if cell.counts_conflicts else "runs"
            result.add(_add_cell(plan, cell, read_metadata(file), group(cell.benchmark, purpose)))
    for search in plan.searches.values():
        file = plan.paths.search_file(search)
        if file in files:
            of_search = group(search.cell.benchmark, "members of searches")
            metadata = read_metadata(file)
            of_search.models += search.population
            of_search.seeds.add(search.seed)
            of_search.timed += search.population
            of_search.diverged += len({note["member"] for note in metadata.get("diverged", [])})
            of_search.seconds += sum(read_table(file)["seconds"].to_pylist())
            result.add(metadata.get("environment") or {})
    for name in plan.profiles:
        file = plan.paths.profile_file(name)
        if file in files:
            result.add(read_metadata(file).get("environment") or {})
    order = list(plan.benchmarks)
    result.groups = sorted(groups.values(), key=lambda of: (order.index(of.benchmark), of.purpose != "runs"))
    return result


def _add_cell(plan: Plan, cell: Cell, metadata: dict[str, Any], group: Group) -> dict[str, Any]:
    """Count the runs of a cell; returns what they were trained with."""
    group.models += len(cell.runs)
    group.seeds |= {run.seed for run in cell.runs}
    group.diverged += len(metadata.get("diverged", []))
    runs = {(run.weight_setting, run.seed) for run in cell.runs}
    seconds = {run: time for run, time in _times(plan, cell) if run in runs}
    group.timed += len(seconds)
    group.seconds += sum(seconds.values())
    return metadata.get("environment") or {}


def _times(plan: Plan, cell: Cell) -> Iterator[tuple[tuple[int, int], float]]:
    """Weight setting and seed of every run whose time is known, and its seconds."""
    for shard in plan.shards(cell):
        try:
            rows = read_table(plan.paths.timings_file(shard)).to_pylist()
        except DataError:
            continue  # results that were copied without their timings, or damaged ones: only the time is unknown
        for row in rows:
            yield (row["weight_setting"], row["seed"]), row["seconds"]


def duration(seconds: float) -> str:
    """Seconds in words: ``40 seconds``, ``12 minutes``, ``3.4 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:,.0f} hours"


def commit(root: Path = ROOT) -> str:
    """The commit of the code that makes the page, and whether files were changed since; empty if it is not known."""

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS_OF_GIT)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return ""
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + (", with changes that are not committed" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""
