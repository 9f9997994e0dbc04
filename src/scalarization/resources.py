"""What a job asks a cluster for, from the plan's estimates. No torch: every Snakemake process parses this."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scalarization.experiments import Job, Plan
from scalarization.searches import Search

#: Minutes that every job asks for beside its training: waiting for a file system, imports, evaluation, leaving in time.
OVERHEAD_MINUTES = 10
#: Memory for batches on their way, and for what is kept, of data that stay on disk.
DISK_MB = 4096
#: What a measurement of costs asks for: it cannot go on where it was stopped, and takes minutes.
BENCH_MINUTES = 60


@dataclass(frozen=True)
class Request:
    """Resources of one job at its first attempt.

    Attributes:
        gpu: GPUs.
        cpus: CPU cores.
        memory_mb: Main memory in MB; a later attempt gets as many times more, up to ``max_memory_mb``.
        max_memory_mb: The most memory ever asked for: what the nodes have.
        minutes: Wall time; a later attempt gets as many times more, up to ``max_minutes``.
        max_minutes: Longest wall time ever asked for. What is left then is done by the next attempt.
        nodes: Nodes, each with so many GPUs, cores and so much memory.
    """

    gpu: int
    cpus: int
    memory_mb: int
    max_memory_mb: int
    minutes: int
    max_minutes: int
    nodes: int = 1

    def memory(self, attempt: int) -> int:
        """MB of an attempt, counted from 1."""
        return min(self.memory_mb * attempt, self.max_memory_mb)

    def runtime(self, attempt: int) -> int:
        """Minutes of an attempt, counted from 1."""
        return min(self.minutes * attempt, self.max_minutes)


def of_job(plan: Plan, job: Job) -> Request:
    """A job that trains, or counts conflicts."""
    return _request(plan, threads(plan, job.benchmark), _memory(plan, job.benchmark), _minutes(plan, job.seconds))


def threads(plan: Plan, benchmark: str) -> int:
    """Cores of a training process: its compute threads, and those that decode images."""
    return plan.config.threads + plan.config.workers * plan.info(benchmark).encoded


def of_session(plan: Plan, searches: Sequence[Search]) -> Request:
    """A job that makes the searches of a session, on one node or several; its cores are those of its workers.

    Members that share a GPU are not assumed to be faster together than one after the other.
    """
    jobs = plan.config.preset["jobs"]
    members = sum(s.population for s in searches)
    seconds = sum(map(plan.search_seconds, searches))
    workers = max(1, math.floor(1 / jobs["gpus_per_member"])) if gpus(plan) else jobs["search_workers"]
    nodes = min(jobs["search_nodes"], math.ceil(members / workers))
    workers = min(workers, math.ceil(members / nodes))
    seconds /= nodes if gpus(plan) else min(members, nodes * workers)
    # A worker needs about half of what a job does: no second copy of results, no evaluation of test data.
    memory = _memory(plan, searches[0].cell.benchmark) * (2 + workers) // 2
    return replace(_request(plan, workers * plan.config.threads, memory, _minutes(plan, seconds)), nodes=nodes)


def of_costs(plan: Plan, name: str) -> Request:
    """A job that makes a measurement of costs."""
    memory = _memory(plan, plan.config.preset["costs"][name]["benchmark"])
    return _request(plan, plan.config.threads, 2 * memory, BENCH_MINUTES)


def gpus(plan: Plan) -> int:
    """GPUs of a job. The machine that submits need not have one itself, so ``device: auto`` asks for one."""
    return 0 if plan.config.device == "cpu" else 1


def _minutes(plan: Plan, seconds: float) -> int:
    """Wall time to ask for where so many seconds are expected."""
    seconds += plan.config.preset["throughput"]["seconds_per_job"]
    return OVERHEAD_MINUTES + math.ceil(plan.config.preset["jobs"]["time_factor"] * seconds / 60)


def _request(plan: Plan, cpus: int, memory: int, minutes: int) -> Request:
    jobs = plan.config.preset["jobs"]
    return Request(gpus(plan), cpus, memory, jobs["max_memory_mb"], minutes, jobs["max_minutes"])


def _memory(plan: Plan, benchmark: str) -> int:
    """MB of one process: libraries, and twice the images (training, the other splits, and batches on their way).

    What is decoded while training, or is larger than what is kept in memory of dense data, stays on disk.
    """
    info = plan.info(benchmark)
    domains = plan.config.preset["benchmarks"][benchmark]["domains"]
    images = sum(info.domains[domain] for domain in domains)
    pixel_bytes = info.channels + sum(m.channels * np.dtype(m.dtype).itemsize for m in info.maps.values())
    kept = math.ceil(2 * images * info.image_size**2 * pixel_bytes / 2**20)
    if info.encoded or info.maps:
        kept = min(kept, DISK_MB)
    return plan.config.preset["jobs"]["memory_mb"] + kept
