"""Progress of a preset, read from its files alone: asks neither Snakemake nor a cluster, writes and locks nothing.

It can be called at any time, wherever the results are. A run counts as done if no job would train it again.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from scalarization.data.store import digest_of, read_description
from scalarization.errors import DataError
from scalarization.plan import Plan, artifacts, estimates, fingerprints, packing
from scalarization.plan.cells import Job, Search, Shard
from scalarization.provenance import Provenance
from scalarization.reports import new_console
from scalarization.search.intervals import Intervals
from scalarization.search.policies import resolve_policies
from scalarization.training.records import RunRecord

#: A run counts as running if its directory was written to within ``checkpoint_seconds`` and this many seconds.
GRACE_SECONDS = 60
STATES = ("done", "running", "waiting", "failed")
_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ (INFO|WARNING|ERROR) (.*)")


@dataclass
class Progress:
    """Progress of all runs of one kind on one benchmark.

    Attributes:
        states: State -> number of runs (of members for searches).
        seconds: Estimated time of what is not trained yet, in seconds of the preset's hardware.
        measured: Seconds that finished runs took on this machine.
        estimated: Seconds that the plan estimates for the same runs.
    """

    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    measured: float = 0.0
    estimated: float = 0.0

    @property
    def remaining(self) -> float:
        """Seconds that remain, corrected by how long finished runs took on this machine."""
        return self.seconds * (self.measured / self.estimated if self.estimated else 1.0)


@dataclass
class Status:
    """Status of a preset.

    Attributes:
        progress: Benchmark and kind (``runs``, ``conflicts``, ``searches``) -> progress of its runs.
        failures: Log file -> the error with which the job ended.
        artifacts: Artifact -> whether its files are current.
        has_page: Whether the front page is current.
    """

    progress: dict[tuple[str, str], Progress]
    failures: dict[Path, str]
    artifacts: dict[str, bool]
    has_page: bool


def status(plan: Plan, now: float | None = None) -> Status:
    """The status of a preset.

    Args:
        plan: The preset.
        now: Time with which the times of files are compared; None: the present.
    """
    inspection = _Inspection(plan, time.time() if now is None else now)
    for job in packing.training_jobs(plan):
        inspection.add_job(job, "runs", plan.paths.log_file(f"train_{job.name}"))
    for job in packing.conflict_jobs(plan):
        inspection.add_job(job, "conflicts", plan.paths.log_file(f"count_conflicts_{job.name}"))
    for session, searches in packing.search_sessions(plan).items():
        inspection.add_session(searches, plan.paths.log_file(f"search_{session}"))
    drawn = {
        artifact: inspection.provenance.problem(plan.paths.drawing_record(artifact)) is None
        for artifact in artifacts.selected(plan)
    }
    has_page = inspection.provenance.problem(plan.paths.page_record) is None
    return Status(inspection.progress, inspection.failures, drawn, has_page)


def print_status(plan: Plan) -> None:
    """Print a line per benchmark and kind of job, the failed jobs, the number of drawn artifacts, and the page."""
    current = status(plan)
    console = new_console()
    title = f"preset {plan.config.preset_name} in {plan.paths.results}"
    table = Table(title=title, title_justify="left")
    table.add_column("benchmark")
    table.add_column("what")
    for column in ("total", *STATES, "machine hours remaining"):
        table.add_column(column, justify="right")
    for (benchmark, kind), progress in current.progress.items():
        counts = [progress.states[state] for state in STATES]
        hours = f"{progress.remaining / 3600:.3g}" + ("" if progress.estimated else " (estimate)")
        table.add_row(benchmark, kind, str(sum(counts)), *map(str, counts), hours if progress.seconds else "0")
    console.print(table)
    running = sum(progress.states["running"] for progress in current.progress.values())
    remaining = sum(progress.remaining for progress in current.progress.values())
    if running and remaining:
        hours = f"{remaining / running / 3600:.3g}"
        console.print(f"{running} running: about {hours} hours remain if as many run at the same time until the end")
    for file, message in current.failures.items():
        console.print(f"failed: {message} ({file})", markup=False, soft_wrap=True)
    page = "is current" if current.has_page else "is not made yet, or not current"
    console.print(f"{sum(current.artifacts.values())} of {len(current.artifacts)} figures and tables are drawn")
    console.print(f"front page: {plan.paths.page_file} {page}", markup=False, soft_wrap=True)


class _Inspection:
    """Adds up the progress of jobs and of search sessions."""

    def __init__(self, plan: Plan, now: float) -> None:
        self._plan, self._now = plan, now
        self.provenance = Provenance(plan)
        self._digests: dict[str, str | None] = {}
        self.progress: dict[tuple[str, str], Progress] = {}
        self.failures: dict[Path, str] = {}

    def add_job(self, job: Job, kind: str, log: Path) -> None:
        progress = self.progress.setdefault((job.benchmark, kind), Progress())
        states: Counter[str] = Counter()
        for shard in job.shards:
            if self._is_written(shard):
                states["done"] += len(shard.runs)
            else:
                states.update(self._run_states(shard, progress))
        self._count(progress, states, log)

    def add_session(self, searches: Iterable[Search], log: Path) -> None:
        for search in searches:
            progress = self.progress.setdefault((search.cell.benchmark, "searches"), Progress())
            states: Counter[str] = Counter()
            if self.provenance.problem(self._plan.paths.search_file(search)) is None:
                states["done"] = search.population
            else:
                fraction, is_recent = self._searched(search)
                progress.seconds += (1 - fraction) * estimates.search_seconds(self._plan, search)
                states["running" if is_recent else "waiting"] = search.population
            self._count(progress, states, log)

    def _count(self, progress: Progress, states: Counter[str], log: Path) -> None:
        """Count the runs of a job. If its log ends with an error, its unfinished runs count as failed."""
        unfinished = states["running"] + states["waiting"]
        if unfinished and (error := _last_error(log)):
            self.failures[log] = error
            states = Counter(done=states["done"], failed=unfinished)
        progress.states.update(states)

    def _is_written(self, shard: Shard) -> bool:
        """Whether the file of a shard, or of its whole cell, is current."""
        paths = self._plan.paths
        return any(self.provenance.problem(f) is None for f in (paths.run_file(shard.cell), paths.shard_file(shard)))

    def _run_states(self, shard: Shard, progress: Progress) -> Iterator[str]:
        """State of every run of a shard that is not written yet."""
        seconds = estimates.seconds(self._plan, shard.cell)
        digest = self._store_digest(shard.cell.benchmark)
        try:
            (shard,) = resolve_policies(self._plan, [shard])
        except DataError:
            digest = None  # its search is not finished, so none of its runs can have started
        code = fingerprints.cell_code(shard.cell)
        for run in shard.runs:
            if digest is None:
                progress.seconds += seconds
                yield "waiting"
                continue
            record = RunRecord(self._plan.paths.checkpoints, shard.cell_of(run), run, digest, code)
            timing = (record.peek() or {}).get("timing")
            if timing:
                if timing["images"]:
                    progress.measured += timing["seconds"]
                    progress.estimated += seconds * timing["images"] / estimates.images(shard.cell)
                yield "done"
                continue
            progress.seconds += seconds * (1 - record.newest_step() / shard.cell.steps)
            yield "running" if self._is_recent(record.directory) else "waiting"

    def _searched(self, search: Search) -> tuple[float, bool]:
        """The trained fraction of a search, and whether it was written to recently."""
        digest = self._store_digest(search.cell.benchmark)
        if digest is None:
            return 0.0, False
        directory = Intervals(self._plan.paths.checkpoints, search, digest).directory
        trained = len(list(directory.glob("[0-9]*.json")))
        return min(1.0, trained / (search.population * len(search.interval_ends))), self._is_recent(directory)

    def _store_digest(self, benchmark: str) -> str | None:
        """Digest of a prepared store; None if it does not exist yet."""
        if benchmark not in self._digests:
            try:
                self._digests[benchmark] = digest_of(read_description(self._plan.paths.store_file(benchmark)))
            except DataError:
                self._digests[benchmark] = None
        return self._digests[benchmark]

    def _is_recent(self, directory: Path) -> bool:
        """Whether a directory, or a file in it, was written to recently."""
        times = (t for file in (directory, *_files(directory)) if (t := _modified(file)) is not None)
        newest = max(times, default=None)
        return newest is not None and self._now - newest < self._plan.config.checkpoint_seconds + GRACE_SECONDS


def _files(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _modified(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # it was replaced or removed meanwhile
        return None


def _last_error(log: Path) -> str | None:
    """The error with which a job ended; None if its log ends otherwise (it exited in time, or was killed)."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    for number in range(len(lines) - 1, -1, -1):
        if match := _LOG_LINE.match(lines[number]):
            if match[1] != "ERROR":
                return None
            # The traceback of an unexpected error ends with the error itself.
            return lines[-1].strip() if number < len(lines) - 1 else match[2]
    return None
