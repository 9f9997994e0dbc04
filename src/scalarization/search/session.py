"""One job: runs several searches of one benchmark in one Ray session, and writes their histories."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scalarization.data.store import Store
from scalarization.errors import StoppedError, UserError
from scalarization.locks import locked
from scalarization.plan import Plan, fingerprints
from scalarization.plan.cells import Search
from scalarization.search.intervals import Intervals, Lineage
from scalarization.search.nodes import OBJECT_STORE, ray_on_nodes
from scalarization.search.policies import HISTORY_SCHEMA, backtrack
from scalarization.storage import read_metadata, write_table
from scalarization.training.shutdown import GracefulShutdown

logger = logging.getLogger(__name__)
#: Attempts at an interval after the first.
RETRIES = 2
#: Attempts to start Ray, each of which ends after 30 s by itself.
STARTS = 3
Row = dict[str, Any]
#: Called with a search and every new row of its history.
OnRow = Callable[[Search, Row], None]


def _ignore(search: Search, row: Row) -> None:
    """Default of :data:`OnRow`."""


class History:
    """Histories of the searches of a session while they are running.

    Args:
        searches: The searches.
        on_row: Called with every new row.
    """

    def __init__(self, searches: Sequence[Search], on_row: OnRow) -> None:
        self._searches = {s.name: s for s in searches}
        self._on_row = on_row
        self.rows: dict[str, list[Row]] = {s.name: [] for s in searches}

    def add(
        self,
        name: str,
        member: int,
        lineage: Lineage,
        result: dict[str, Any],
        parent: tuple[int, Sequence[float]] | None,
    ) -> None:
        """Add one interval of one member.

        Args:
            name: Name of the search.
            member: The member.
            lineage: Weights of its intervals; the last one is added.
            result: What :meth:`Intervals.train` returned.
            parent: The member whose state the interval resumed from, and its weights; None: the member itself.
        """
        search, interval, weights = self._searches[name], len(lineage), lineage[-1]
        parent_member, parent_weights = parent or (member, weights)
        row = {
            "search": search.key,
            "method": search.method,
            "benchmark": search.cell.benchmark,
            "task_set": search.cell.task_set,
            "architecture": search.cell.architecture.name,
            "member": member,
            "interval": interval,
            "epoch": search.interval_ends[interval - 1],
            "weights": list(weights),
            "parent": None if interval == 1 else parent_member,
            "copied": parent_member != member,
            "explored": not np.allclose(parent_weights, weights, rtol=0, atol=1e-9),
            **result,
        }
        self.rows[name].append(row)
        self._on_row(search, row)

    def of_interval(self, name: str, interval: int) -> list[Row]:
        """Rows of one interval of a search so far, one per member that has finished it."""
        return [row for row in self.rows[name] if row["interval"] == interval]

    def table(self, name: str) -> pa.Table:
        """The history of one search so far."""
        rows = sorted(self.rows[name], key=lambda r: (r["interval"], r["member"]))
        return pa.Table.from_pylist(rows, HISTORY_SCHEMA)


def run_searches(
    plan: Plan,
    searches: Sequence[Search],
    workers: int | None = None,
    time_limit: float | None = None,
    nodes: int = 1,
    on_row: OnRow = _ignore,
) -> None:
    """Run searches of one benchmark; intervals that were trained before are not trained again.

    Args:
        plan: The preset.
        searches: The searches.
        workers: Members trained at the same time; None: as many as the machine, or Ray's cluster, has room for.
        time_limit: Seconds after which the job must have ended.
        nodes: Nodes of this Slurm job, all of which are used.
        on_row: Called with every new row of a history.

    Raises:
        UserError: The searches are of several benchmarks; or an interval failed repeatedly.
        DataError: The prepared store is missing or damaged, or an output cannot be written.
        StoppedError: The job was asked to stop; the same call resumes.
    """
    benchmarks = {s.cell.benchmark for s in searches}
    if len(benchmarks) != 1:
        raise UserError(f"the searches of a job have one benchmark, these have {', '.join(sorted(benchmarks))}")
    shutdown = GracefulShutdown(time_limit)
    store = Store(plan.paths.store_file(benchmarks.pop()))
    intervals = {s.name: Intervals(plan.paths.checkpoints, s, store.digest) for s in searches}
    with ExitStack() as locks:
        # All copies of a job lock in the same order, so that none waits for a copy that waits for it.
        waited = [
            locks.enter_context(locked(directory, "runs this search", lambda: shutdown.reason))
            for directory in sorted({i.directory for i in intervals.values()})
        ]
        if any(waited) and all(_is_finished(plan.paths.search_file(s), _metadata(s, store)) for s in searches):
            logger.info("%s: finished by another process", ", ".join(s.name for s in searches))
            return
        start = time.perf_counter()
        history = History(searches, on_row)
        with _ray_session(plan, workers, nodes) as num_workers:
            startup_seconds = time.perf_counter() - start
            trained_seconds = _SessionLoop(plan, intervals, history, shutdown, num_workers).run()
        session = {
            "searches": [s.name for s in searches],
            "workers": num_workers,
            "seconds": time.perf_counter() - start,
            "startup_seconds": startup_seconds,
            "trained_seconds": trained_seconds,
        }
        for search in searches:
            metadata = {**_metadata(search, store), "session": session}
            _write_history(plan, search, history, intervals[search.name], metadata)


def _metadata(search: Search, store: Store) -> dict[str, Any]:
    """What the history of a search depends on."""
    return {"specification": search.describe(), "data": store.digest, "code": fingerprints.search_code(search)}


def _is_finished(file: Path, metadata: dict[str, Any]) -> bool:
    """Whether a history exists and has this metadata."""
    if not file.exists():
        return False
    written = read_metadata(file)
    return {key: written.get(key) for key in metadata} == json.loads(json.dumps(metadata))


def _write_history(
    plan: Plan, search: Search, history: History, intervals: Intervals, metadata: dict[str, Any]
) -> None:
    """Write the history of a finished search, and remove the states of its members."""
    metric = history.rows[search.name][-1]["metric"]
    metadata = {**metadata, "metric": metric, "environment": intervals.environment()}
    table = history.table(search.name)
    policy = backtrack(table.to_pylist())
    write_table(plan.paths.search_file(search), table, metadata)
    intervals.drop_states(len(search.interval_ends))
    weights = zip(search.cell.tasks, policy.weights[-1], strict=True)
    logger.info(
        "%s: best score %.2f by member %d; its weights at the end: %s",
        search.name,
        policy.score,
        policy.member,
        ", ".join(f"{task} {weight:.3g}" for task, weight in weights),
        extra={"terminal": True},
    )


@contextmanager
def _ray_session(plan: Plan, workers: int | None, nodes: int) -> Iterator[int]:
    """A Ray session on this machine, on the nodes of a Slurm job, or on the cluster that ``RAY_ADDRESS`` names.

    Yields:
        The number of workers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    cpus = math.ceil((workers or len(os.sched_getaffinity(0))) / nodes) * plan.config.threads
    with ExitStack() as stack:
        address = os.environ.get("RAY_ADDRESS")
        if nodes > 1 and not address:
            address = stack.enter_context(ray_on_nodes(nodes, cpus))
        import ray

        if address:
            try:
                ray.init(address, runtime_env={"env_vars": {"PYTHONPATH": _import_path()}}, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UserError(f"Ray's cluster at {address} cannot be joined: {error}") from error
        else:
            _start_ray_here(cpus, quiet)
        stack.callback(ray.shutdown)
        resources = ray.cluster_resources()
        room = int(resources.get("CPU", 0)) // plan.config.threads
        gpus = _gpus_per_member(plan, resources)
        yield min(workers or room, room, int(resources["GPU"] / gpus) if gpus else room)


def _import_path() -> str:
    """``PYTHONPATH`` with which the workers of a Ray that was started elsewhere import the code of this process."""
    package = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))


def _start_ray_here(cpus: int, quiet: dict[str, Any]) -> None:
    import ray

    for attempt in range(STARTS):
        try:
            ray.init("local", num_cpus=cpus, object_store_memory=OBJECT_STORE, include_dashboard=False, **quiet)
            return
        except Exception as error:  # Ray raises this very class when a busy machine is too slow
            ray.shutdown()
            if attempt == STARTS - 1:
                raise UserError(f"Ray does not start: {error}") from error
            logger.warning("Ray did not start, trying again: %s", error)


def _gpus_per_member(plan: Plan, resources: Mapping[str, float]) -> float:
    """The fraction of a GPU that each member gets; 0 without a GPU."""
    use_gpu = resources.get("GPU") and plan.config.device != "cpu"
    return plan.preset.jobs.gpus_per_member if use_gpu else 0


@dataclass
class _Task:
    """One interval of one member, to be trained by a worker."""

    search: str
    member: int
    lineage: Lineage
    attempts: int = 0
    worker: Any = None

    def count_failure(self, error: Exception) -> None:
        """Count a failed attempt.

        Raises:
            UserError: It was the last attempt.
        """
        self.attempts += 1
        name = f"{self.search}: member {self.member}, interval {len(self.lineage)}"
        cause = str(error).strip().splitlines()[-1]
        if self.attempts > RETRIES:
            raise UserError(
                f"{name}: failed {self.attempts} times: {cause}. Finished intervals are saved; remove the cause and "
                "run the same command again"
            ) from error
        logger.warning("%s: failed, trying again: %s", name, cause)


class _SessionLoop:
    """Trains all members of all searches; while one population waits for its last member, another one trains.

    Args:
        plan: The preset.
        intervals: Search -> its intervals.
        history: Takes the results.
        shutdown: Says when to stop.
        num_workers: Members trained at the same time.
    """

    def __init__(
        self,
        plan: Plan,
        intervals: dict[str, Intervals],
        history: History,
        shutdown: GracefulShutdown,
        num_workers: int,
    ) -> None:
        import ray

        from scalarization.search.worker import Worker

        gpus = _gpus_per_member(plan, ray.cluster_resources())
        self._worker_class = ray.remote(Worker).options(num_cpus=plan.config.threads, num_gpus=gpus)
        self._worker_arguments = (os.getcwd(), plan.config, list(intervals))
        # Workers import torch while this process imports Ray Tune.
        self._idle = [self._new_worker() for _ in range(num_workers)]

        from scalarization.search.schedulers import Population

        self._populations = {name: Population(i.search) for name, i in intervals.items()}
        self._intervals, self._history, self._shutdown = intervals, history, shutdown
        self._num_workers = num_workers
        self._failed: list[_Task] = []
        self._running: dict[Any, _Task] = {}
        self._trained_seconds = 0.0

    def run(self) -> float:
        """Train everything.

        Returns:
            Seconds during which workers trained.

        Raises:
            UserError: An interval failed repeatedly.
            StoppedError: The job was asked to stop.
        """
        self._shutdown.install_handlers()
        while self._start_tasks():
            self._collect()
            if reason := self._shutdown.reason:
                raise StoppedError(f"{reason}; finished intervals are saved; run the same command again to resume")
        return self._trained_seconds

    def _new_worker(self) -> Any:
        return self._worker_class.remote(*self._worker_arguments)

    def _start_tasks(self) -> bool:
        """Give every free worker a task; returns whether any task is running."""
        while len(self._running) < self._num_workers:
            task = self._failed.pop() if self._failed else self._next_task()
            if task is None:
                break
            task.worker = self._idle.pop() if self._idle else self._new_worker()
            self._running[task.worker.train.remote(task.search, task.lineage)] = task
        return bool(self._running)

    def _next_task(self) -> _Task | None:
        """The next interval to train, of the population with the least progress; saved results are reported at once."""
        for population in sorted(self._populations.values(), key=lambda p: p.progress):
            while (started := population.start()) is not None:
                task = _Task(population.search.name, *started)
                saved = self._intervals[task.search].saved_result(task.lineage)
                if saved is None:
                    return task
                self._report(task, saved)
        return None

    def _collect(self) -> None:
        """Wait for a task to end, at most half a second, and report its result."""
        import ray

        for future in ray.wait(list(self._running), num_returns=1, timeout=0.5)[0]:
            task = self._running.pop(future)
            try:
                result = ray.get(future)
            except (ray.exceptions.RayActorError, ray.exceptions.RayTaskError) as error:
                if self._shutdown.reason:  # workers get the signal, too
                    return
                task.count_failure(error)
                self._failed.append(task)
                # The worker has died, or its state is not reliable: the next attempt gets a new worker.
                ray.kill(task.worker)
                continue
            self._idle.append(task.worker)
            self._trained_seconds += result["seconds"]
            self._report(task, result)

    def _report(self, task: _Task, result: dict[str, Any]) -> None:
        """Report a result to the population, and write the history so far."""
        population, intervals = self._populations[task.search], self._intervals[task.search]
        interval = len(task.lineage)
        parent = population.report(task.member, task.lineage, result["score"])
        self._history.add(task.search, task.member, task.lineage, result, parent)
        write_table(intervals.directory / "history.parquet", self._history.table(task.search))
        finished = self._history.of_interval(task.search, interval)
        if len(finished) == population.size:
            # A member whose worker dies resumes from the end of this interval; no member resumes from an earlier one.
            intervals.drop_states(interval - 1)
            count = len(population.search.interval_ends)
            best = max(row["score"] for row in finished)
            logger.info("%s: interval %d/%d, best score %.2f", task.search, interval, count, best)
