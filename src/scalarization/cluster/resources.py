"""What a job requests from a cluster, by the estimates of the plan. No torch: every Snakemake process imports this."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scalarization.plan import Plan, estimates
from scalarization.plan.cells import Job, Profile, Search

#: Minutes that every job requests in addition to its training: a slow file system, imports, evaluation, saving in time.
OVERHEAD_MINUTES = 10
#: MB for the batches in preparation, and for what is kept in memory, of data that are read from disk while training.
ON_DISK_MB = 4096
#: Minutes that a profile requests: it takes a few minutes and cannot be resumed.
PROFILE_MINUTES = 60


@dataclass(frozen=True)
class Request:
    """Resources of one job at its first attempt.

    Attributes:
        gpu: GPUs.
        cpus: CPU cores.
        memory_mb: Main memory in MB; attempt n gets n times as much, at most ``max_memory_mb``.
        max_memory_mb: The most memory ever requested: what the nodes have.
        minutes: Wall time; attempt n gets n times as much, at most ``max_minutes``.
        max_minutes: The longest wall time ever requested. The next attempt resumes what was not finished by then.
        nodes: Nodes, each with this number of GPUs and cores and this much memory.
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
    """Request of a job that trains, or counts conflicts."""
    return _request(plan, _cores(plan, job.benchmark), _memory(plan, job.benchmark), _minutes(plan, job.seconds))


def of_session(plan: Plan, searches: Sequence[Search]) -> Request:
    """Request of a job that runs the searches of a session on one or several nodes; its cores are those of its workers.

    Members that share a GPU are assumed to train no faster at the same time than one after the other.
    """
    jobs = plan.preset.jobs
    members = sum(s.population for s in searches)
    seconds = sum(estimates.search_seconds(plan, search) for search in searches)
    workers = max(1, math.floor(1 / jobs.gpus_per_member)) if _gpus(plan) else jobs.search_workers
    nodes = min(jobs.search_nodes, math.ceil(members / workers))
    workers = min(workers, math.ceil(members / nodes))
    seconds /= nodes if _gpus(plan) else min(members, nodes * workers)
    # A worker needs about half the memory of a training job: it holds results once and does not evaluate on test data.
    memory = _memory(plan, searches[0].cell.benchmark) * (2 + workers) // 2
    return replace(_request(plan, workers * plan.config.threads, memory, _minutes(plan, seconds)), nodes=nodes)


def of_profile(plan: Plan, profile: Profile) -> Request:
    """Request of a job that measures time and memory."""
    return _request(plan, plan.config.threads, 2 * _memory(plan, profile.cell.benchmark), PROFILE_MINUTES)


def _cores(plan: Plan, benchmark: str) -> int:
    """Cores of a training process: its compute threads, and the threads that decode images."""
    return plan.config.threads + (plan.config.workers if plan.benchmarks[benchmark].encoded else 0)


def _gpus(plan: Plan) -> int:
    """GPUs of a job. The submitting machine may have none, so ``device: auto`` requests one."""
    return 0 if plan.config.device == "cpu" else 1


def _minutes(plan: Plan, seconds: float) -> int:
    """Wall time to request for an estimated number of seconds."""
    seconds += plan.preset.throughput.seconds_per_job
    return OVERHEAD_MINUTES + math.ceil(plan.preset.jobs.time_factor * seconds / 60)


def _request(plan: Plan, cpus: int, memory: int, minutes: int) -> Request:
    jobs = plan.preset.jobs
    return Request(_gpus(plan), cpus, memory, jobs.max_memory_mb, minutes, jobs.max_minutes)


def _memory(plan: Plan, benchmark: str) -> int:
    """MB of one process: libraries, and the data that are kept in memory."""
    info = plan.benchmarks[benchmark]
    data_mb = info.memory_mb(plan.preset.benchmarks[benchmark].domains)
    return plan.preset.jobs.memory_mb + (min(data_mb, ON_DISK_MB) if info.stays_on_disk else data_mb)
