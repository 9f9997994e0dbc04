"""How far a preset is, from files alone: nothing is asked of Snakemake or of a cluster, nothing is written or locked.

So it can be called at any time, wherever the results are. What counts as finished is what a job would not train again.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scalarization.data.store import Store
from scalarization.errors import DataError
from scalarization.experiments import Job, Plan, Share
from scalarization.searches import Search
from scalarization.storage import read_metadata
from scalarization.training.interval import Intervals
from scalarization.training.job import with_policy
from scalarization.training.records import RunRecord

#: A run whose directory was written to within the time between two checkpoints, and this many seconds, is running.
GRACE_SECONDS = 60
STATES = ("done", "running", "waiting", "failed")
_LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ (INFO|WARNING|ERROR) (.*)")


@dataclass
class Part:
    """All runs of one kind on one benchmark.

    Attributes:
        states: State -> number of runs (members of a search).
        seconds: What is left to be trained, in seconds of the preset's hardware, as estimated by the plan.
        measured: Seconds that finished runs took here.
        estimated: Seconds that the plan estimates for them.
    """

    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    measured: float = 0.0
    estimated: float = 0.0

    @property
    def left(self) -> float:
        """Seconds left, corrected by how long finished runs took here."""
        return self.seconds * (self.measured / self.estimated if self.estimated else 1.0)


@dataclass
class Status:
    """What :func:`status` found.

    Attributes:
        parts: Benchmark and kind (``runs``, ``conflicts``, ``searches``) -> its runs.
        failures: Log file -> the error that a job ended with.
        artifacts: Artifact -> whether all its files are there. They may be older than what they are drawn from.
    """

    parts: dict[tuple[str, str], Part]
    failures: dict[Path, str]
    artifacts: dict[str, bool]


def status(plan: Plan, now: float | None = None) -> Status:
    """Look at the files of a preset.

    Args:
        plan: The preset.
        now: Time to compare files' times with; None: the present.
    """
    looked = _Look(plan, time.time() if now is None else now)
    for job in plan.jobs():
        looked.at_job(job, "runs", plan.config.results / "logs" / f"train_{job.name}.log")
    for job in plan.conflict_jobs():
        looked.at_job(job, "conflicts", plan.config.results / "logs" / f"conflicts_{job.name}.log")
    for session, searches in plan.search_sessions().items():
        looked.at_session(searches, plan.config.results / "logs" / f"search_{session}.log")
    artifacts = {a: all(f.is_file() for f in plan.artifact_files(a).values()) for a in plan.artifacts()}
    return Status(looked.parts, looked.failures, artifacts)


def print_status(plan: Plan) -> None:
    """Print a line per benchmark and kind of job, what failed, and how many artifacts are there."""
    found = status(plan)
    console = Console(width=None if Console().is_terminal else 140)
    title = f"preset {plan.config.preset_name} in {plan.config.results}"
    table = Table(title=title, title_justify="left")
    table.add_column("benchmark")
    table.add_column("what")
    for column in ("total", *STATES, "left, machine hours"):
        table.add_column(column, justify="right")
    for (benchmark, kind), part in found.parts.items():
        counts = [part.states[state] for state in STATES]
        hours = f"{part.left / 3600:.3g}" + ("" if part.estimated else " (planned)")
        table.add_row(benchmark, kind, str(sum(counts)), *map(str, counts), hours if part.seconds else "0")
    console.print(table)
    running = sum(part.states["running"] for part in found.parts.values())
    left = sum(part.left for part in found.parts.values())
    if running and left:
        console.print(f"{running} running: about {left / running / 3600:.3g} hours if as many go on at the same time")
    for file, message in found.failures.items():
        console.print(f"failed: {message} ({file})", markup=False, soft_wrap=True)
    console.print(f"{sum(found.artifacts.values())} of {len(found.artifacts)} figures and tables are drawn")


class _Look:
    def __init__(self, plan: Plan, now: float) -> None:
        self._plan, self._now = plan, now
        self._digests: dict[str, str | None] = {}
        self.parts: dict[tuple[str, str], Part] = {}
        self.failures: dict[Path, str] = {}

    def at_job(self, job: Job, kind: str, log: Path) -> None:
        part = self.parts.setdefault((job.benchmark, kind), Part())
        states: Counter[str] = Counter()
        for share in job.shares:
            if self._written(share):
                states["done"] += len(share.members)
            else:
                states.update(self._members(share, part))
        self._add(part, states, log)

    def at_session(self, searches: Iterable[Search], log: Path) -> None:
        for search in searches:
            part = self.parts.setdefault((search.cell.benchmark, "searches"), Part())
            states: Counter[str] = Counter()
            if self._facts(self._plan.search_file(search)).get("specification") == _plain(search.describe()):
                states["done"] = search.population
            else:
                share, fresh = self._searched(search)
                part.seconds += (1 - share) * self._plan.search_seconds(search)
                states["running" if fresh else "waiting"] = search.population
            self._add(part, states, log)

    def _add(self, part: Part, states: Counter[str], log: Path) -> None:
        """Count a job's runs; what is not done of one whose last words are an error has failed."""
        unfinished = states["running"] + states["waiting"]
        if unfinished and (error := _last_error(log)):
            self.failures[log] = error
            states = Counter(done=states["done"], failed=unfinished)
        part.states.update(states)

    def _written(self, share: Share) -> bool:
        """Whether a share's file, or its whole cell's, is there and is what the preset and the code say now."""
        cell = share.cell
        expected = _plain(cell.describe())
        for file in {self._plan.share_file(share), self._plan.run_file(cell)}:
            facts = self._facts(file)
            # What a search found was not known to the plan.
            found = {k: v for k, v in facts.get("specification", {}).items() if k != "policy"}
            if found == expected and facts.get("code") == cell.code and self._holds(file, share):
                return True
        return False

    def _holds(self, file: Path, share: Share) -> bool:
        """Whether a file holds all runs of a share."""
        import pyarrow.parquet as pq

        rows = pq.read_table(file, columns=["member", "seed"]).to_pydict()
        return {(m.index, m.seed) for m in share.members} <= set(zip(rows["member"], rows["seed"], strict=True))

    def _members(self, share: Share, part: Part) -> Iterator[str]:
        """State of every run of a share that is not written yet."""
        seconds = self._plan.seconds(share.cell)
        digest = self._digest(share.cell.benchmark)
        try:
            share = with_policy(self._plan, share)
        except DataError:
            digest = None  # its search is to come: nothing of it can have begun
        for member in share.members:
            if digest is None:
                part.seconds += seconds
                yield "waiting"
                continue
            root = self._plan.config.results / "checkpoints"
            record = RunRecord(root, share.cell, member, digest, share.cell.code)
            timing = _read_json(record.finished_file).get("timing")
            if timing:
                if timing["images"]:
                    part.measured += timing["seconds"]
                    part.estimated += seconds * timing["images"] / self._plan.images(share.cell)
                yield "done"
                continue
            part.seconds += seconds * (1 - _step(record.directory) / share.cell.steps)
            yield "running" if self._fresh(record.directory) else "waiting"

    def _searched(self, search: Search) -> tuple[float, bool]:
        """Share of a search that is trained, and whether anything was written lately."""
        digest = self._digest(search.cell.benchmark)
        if digest is None:
            return 0.0, False
        directory = Intervals(self._plan.config.results / "checkpoints", search, digest).directory
        trained = len(list(directory.glob("[0-9]*.json")))
        return min(1.0, trained / (search.population * len(search.ends))), self._fresh(directory)

    def _digest(self, benchmark: str) -> str | None:
        """Digest of a prepared store, or None while there is none."""
        if benchmark not in self._digests:
            try:
                self._digests[benchmark] = Store(self._plan.store_file(benchmark)).digest
            except DataError:
                self._digests[benchmark] = None
        return self._digests[benchmark]

    def _facts(self, file: Path) -> dict[str, Any]:
        """Metadata of a Parquet file; nothing if it is missing or damaged."""
        try:
            return read_metadata(file)
        except (OSError, ValueError):
            return {}

    def _fresh(self, directory: Path) -> bool:
        """Whether a directory, or a file in it, was written to lately."""
        newest = max((t for f in (directory, *_files(directory)) if (t := _time(f)) is not None), default=None)
        return newest is not None and self._now - newest < self._plan.config.checkpoint_seconds + GRACE_SECONDS


def _plain(described: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a file: tuples as lists, keys as text."""
    return json.loads(json.dumps(described))


def _files(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _time(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # replaced or removed meanwhile
        return None


def _step(directory: Path) -> int:
    """Step of the newest checkpoint."""
    return max((int(f.stem.split("_")[1]) for f in directory.glob("step_*.ckpt")), default=0)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _last_error(log: Path) -> str | None:
    """The error that a job ended with; None if its last words were others (it left in time, or was killed)."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    for number in range(len(lines) - 1, -1, -1):
        if match := _LOG_LINE.match(lines[number]):
            # An unexpected error's traceback ends with what it was.
            return None if match[1] != "ERROR" else (lines[-1].strip() if number < len(lines) - 1 else match[2])
    return None
