"""Which job trains what: shards of cells, packed into jobs of about ``jobs.minutes``.

Which job trains a cell has no influence on its result, and runs that are finished are never trained again, so it does
no harm when a change of the preset moves a cell to another job.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scalarization.plan import estimates
from scalarization.plan.cells import Cell, Job, Search, Shard

if TYPE_CHECKING:
    from scalarization.plan import Plan

#: Benchmark and sessions of searches (empty: none), whose shards may meet in a job -> experiments -> shards that they
#: need.
Groups = dict[tuple[str, str], dict[tuple[str, ...], list[Shard]]]


def shards_of(cell: Cell, runs_per_job: int | None) -> list[Shard]:
    """The shards in which a cell is trained.

    Args:
        cell: The cell.
        runs_per_job: Most runs of a shard; None: no limit.
    """
    count = math.ceil(len(cell.runs) / runs_per_job) if runs_per_job else 1
    return [Shard(cell, index, count) for index in range(count)]


def training_jobs(plan: Plan) -> list[Job]:
    """All training jobs: small cells share one of about ``jobs.minutes`` of estimated time, jobs equally long.

    None is shorter than half of that, unless there is no more to train on a benchmark, or after a search.
    """
    groups: Groups = {}
    names = {e: {c.name for c in cells} for e, cells in plan.experiments.items()}
    for cell in plan.cells.values():
        users = tuple(e for e, cells in names.items() if cell.name in cells)
        # What waits for a search must not hold up what does not.
        sessions = dict.fromkeys(search.session for search in plan.searches_of(cell))
        group = groups.setdefault((cell.benchmark, " ".join(sessions)), {})
        group.setdefault(users, []).extend(plan.shards(cell))
    return _pack(plan, groups)


def conflict_jobs(plan: Plan) -> list[Job]:
    """All jobs that count conflicts, packed like :func:`training_jobs`; cells are not split."""
    groups: Groups = {}
    names = {n: {c.name for c in cells} for n, cells in plan.conflicts.items()}
    for cell in plan.counted.values():
        users = tuple(n for n, cells in names.items() if cell.name in cells)
        groups.setdefault((cell.benchmark, ""), {}).setdefault(users, []).append(Shard(cell))
    return _pack(plan, groups)


def search_sessions(plan: Plan) -> dict[str, list[Search]]:
    """Session -> its selected searches, which one job makes at the same time."""
    sessions: dict[str, list[Search]] = {}
    for search in plan.searches.values():
        sessions.setdefault(search.session, []).append(search)
    return sessions


def job_inputs(plan: Plan, job: Job) -> list[Path]:
    """The files that a training job reads: data, and the searches of its cells."""
    searches = {search.name: search for shard in job.shards for search in plan.searches_of(shard.cell)}
    return [plan.paths.store_file(job.benchmark), *map(plan.paths.search_file, searches.values())]


def _pack(plan: Plan, groups: Groups) -> list[Job]:
    limit = plan.preset.jobs.minutes * 60
    jobs: list[Job] = []
    for (benchmark, _), by_users in groups.items():
        packed = _packed(plan, by_users, limit)
        first = sum(job.benchmark == benchmark for job in jobs)
        jobs += [
            Job(f"{benchmark}_{number:04d}", benchmark, tuple(shards), _seconds(plan, shards))
            for number, shards in enumerate(packed, first)
        ]
    return jobs


def _packed(plan: Plan, by_users: Mapping[tuple[str, ...], list[Shard]], limit: float) -> list[list[Shard]]:
    """Shards of each job of one group.

    A job over several experiments trains what one figure has no use for, so that only experiments with little to train
    share one.
    """
    packed: list[list[Shard]] = []
    small: list[Shard] = []
    for shards in by_users.values():
        if _seconds(plan, shards) >= limit / 2:
            packed += _split(plan, shards, limit)
            continue
        small += shards
        if _seconds(plan, small) >= limit / 2:
            packed.append(small)
            small = []
    if packed:
        min(packed, key=lambda shards: _seconds(plan, shards)).extend(small)
    else:
        packed.append(small)
    return packed


def _seconds(plan: Plan, shards: Iterable[Shard]) -> float:
    return sum(len(shard.runs) * estimates.seconds(plan, shard.cell) for shard in shards)


def _split(plan: Plan, shards: list[Shard], limit: float) -> list[list[Shard]]:
    """Shards of jobs of at most about ``limit`` seconds."""
    seconds = [_seconds(plan, [shard]) for shard in shards]
    count = min(len(shards), math.ceil(sum(seconds) / limit)) if limit else len(shards)
    # Each job has half the limit, or one of the shards that have it alone.
    long = [s for s in seconds if s >= limit / 2]
    if limit:
        count = max(1, min(count, len(long) + math.floor((sum(seconds) - sum(long)) / (limit / 2) * (1 + 1e-9))))
    longest_first = sorted(range(len(shards)), key=lambda n: (-seconds[n], n))
    while True:
        # Longest first, each to the job with the least: no job ends long after the others.
        loads = [(0.0, job) for job in range(count)]
        numbers: list[list[int]] = [[] for _ in range(count)]
        for number in longest_first:
            load, job = loads[0]
            heapq.heapreplace(loads, (load + seconds[number], job))
            numbers[job].append(number)
        if count == 1 or loads[0][0] >= limit / 2:
            return [[shards[n] for n in sorted(chosen)] for chosen in numbers]
        count -= max(1, count // 500)  # of thousands of jobs, one less makes no difference
