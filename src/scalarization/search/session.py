"""One job: makes several searches of one benchmark in one Ray session, and writes their histories."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scalarization.data.store import Store
from scalarization.digests import training_digest
from scalarization.errors import StoppedError, UserError
from scalarization.experiments import Plan
from scalarization.locks import locked
from scalarization.policies import HISTORY_SCHEMA, backtrack
from scalarization.search.nodes import OBJECT_STORE, ray_on
from scalarization.searches import Search
from scalarization.storage import read_metadata, write_table
from scalarization.training.interval import Intervals, Lineage
from scalarization.training.stop import Stop

logger = logging.getLogger(__name__)
#: Attempts at an interval beyond the first.
RETRIES = 2
#: Attempts to start Ray, which gives up after 30 s by itself.
STARTS = 3
Row = dict[str, Any]


class History:
    """Histories of the searches of a session, as they come about.

    Args:
        searches: The searches.
        show: Called with every new row.
    """

    def __init__(self, searches: Sequence[Search], show: Callable[[Search, Row], None]) -> None:
        self._searches = {s.name: s for s in searches}
        self._show = show
        self.rows: dict[str, list[Row]] = {s.name: [] for s in searches}

    def add(
        self,
        name: str,
        member: int,
        lineage: Lineage,
        result: dict[str, Any],
        parent: tuple[int, Sequence[float]] | None,
    ) -> None:
        """Add one member's interval.

        Args:
            name: Of the search.
            member: The member.
            lineage: Weights of its intervals, that one's last.
            result: What :meth:`Intervals.train` returned.
            parent: Member, and its weights, from which this one went on; None: from itself.
        """
        search, interval, weights = self._searches[name], len(lineage), lineage[-1]
        copied_from, weights_before = parent or (member, weights)
        row = {
            "search": search.key,
            "method": search.method,
            "benchmark": search.cell.benchmark,
            "task_set": search.cell.task_set,
            "architecture": search.cell.architecture.name,
            "member": member,
            "interval": interval,
            "epoch": search.ends[interval - 1],
            "weights": list(weights),
            "parent": None if interval == 1 else copied_from,
            "copied": copied_from != member,
            "explored": not np.allclose(weights_before, weights, rtol=0, atol=1e-9),
            **result,
        }
        self.rows[name].append(row)
        self._show(search, row)

    def finished(self, name: str, interval: int) -> int:
        """How many members of a search have finished an interval."""
        return sum(row["interval"] == interval for row in self.rows[name])

    def table(self, name: str) -> pa.Table:
        """The history of one search so far."""
        rows = sorted(self.rows[name], key=lambda r: (r["interval"], r["member"]))
        return pa.Table.from_pylist(rows, HISTORY_SCHEMA)


def make_searches(
    plan: Plan,
    searches: Sequence[Search],
    workers: int | None = None,
    time_limit: float | None = None,
    nodes: int = 1,
    show: Callable[[Search, Row], None] = lambda search, row: None,
) -> None:
    """Make searches of one benchmark; what was trained of them before is not trained again.

    Args:
        plan: The preset.
        searches: The searches.
        workers: Members trained at the same time; None: as many as the machine, or Ray's cluster, has room for.
        time_limit: Seconds after which the job must have left.
        nodes: Nodes of the Slurm job that this is, to be used together.
        show: Called with every new row of a history.

    Raises:
        UserError: Searches of several benchmarks; or a member failed again and again.
        DataError: The prepared store is missing or damaged, or an output cannot be written.
        StoppedError: The job was asked to stop; the same call goes on.
    """
    benchmarks = {s.cell.benchmark for s in searches}
    if len(benchmarks) != 1:
        raise UserError(f"one job searches on one benchmark, here are {', '.join(sorted(benchmarks))}")
    stop = Stop(time_limit)
    store = Store(plan.store_file(benchmarks.pop()))
    root = plan.config.results / "checkpoints"
    intervals = {s.name: Intervals(root, s, store.digest) for s in searches}
    with ExitStack() as held:
        # All copies of a job take them in the same order: none waits for one that waits for it.
        waited = [
            held.enter_context(locked(directory, "makes this search", lambda: stop.reason))
            for directory in sorted({i.directory for i in intervals.values()})
        ]
        if any(waited) and all(_is_made(plan.search_file(s), _facts(s, store)) for s in searches):
            logger.info("%s: made by another process", ", ".join(s.name for s in searches))
            return
        _make(plan, searches, intervals, store, stop, workers, nodes, show)


def _facts(search: Search, store: Store) -> dict[str, Any]:
    """What a history depends on."""
    return {
        "specification": search.describe(),
        "data": store.digest,
        "code": training_digest(search.cell.architecture.family, "uniform"),
    }


def _is_made(file: Path, facts: dict[str, Any]) -> bool:
    """Whether a history is there that these facts led to."""
    if not file.exists():
        return False
    metadata = read_metadata(file)
    return {key: metadata.get(key) for key in facts} == json.loads(json.dumps(facts))


def _make(
    plan: Plan,
    searches: Sequence[Search],
    intervals: dict[str, Intervals],
    store: Store,
    stop: Stop,
    workers: int | None,
    nodes: int,
    show: Callable[[Search, Row], None],
) -> None:
    """:func:`make_searches`, by the only process that does."""
    began = time.perf_counter()
    history = History(searches, show)
    with _ray(plan, workers, nodes) as used:
        startup = time.perf_counter() - began
        newly = _run(plan, searches, intervals, history, stop, used)
    session = {
        "searches": [s.name for s in searches],
        "workers": used,
        "seconds": time.perf_counter() - began,
        "startup_seconds": startup,
        "trained_seconds": newly,
    }
    for search in searches:
        metadata = {
            **_facts(search, store),
            "metric": history.rows[search.name][-1]["metric"],
            "session": session,
            "environment": intervals[search.name].environment(),
        }
        table = history.table(search.name)
        policy = backtrack(table.to_pylist())
        write_table(plan.search_file(search), table, metadata)
        intervals[search.name].drop_states(len(search.ends))
        logger.info(
            "%s: best score %.2f by member %d; its weights at the end: %s",
            search.name,
            policy.score,
            policy.member,
            ", ".join(f"{task} {w:.3g}" for task, w in zip(search.cell.tasks, policy.weights[-1], strict=True)),
            extra={"terminal": True},
        )


@contextmanager
def _ray(plan: Plan, workers: int | None, nodes: int) -> Iterator[int]:
    """A Ray session: of this machine, of a Slurm job's nodes, or of the cluster that ``RAY_ADDRESS`` names.

    Gives the number of workers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    cpus = math.ceil((workers or len(os.sched_getaffinity(0))) / nodes) * plan.config.threads
    with ExitStack() as stack:
        address = os.environ.get("RAY_ADDRESS")
        if nodes > 1 and not address:
            address = stack.enter_context(ray_on(nodes, cpus))
        import ray

        if address:
            try:
                ray.init(address, runtime_env={"env_vars": {"PYTHONPATH": _import_path()}}, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UserError(f"Ray's cluster at {address} cannot be joined: {error}") from error
        else:
            _start_here(cpus, quiet)
        stack.callback(ray.shutdown)
        found = ray.cluster_resources()
        room = int(found.get("CPU", 0)) // plan.config.threads
        gpus = _gpus(plan, found)
        yield min(workers or room, room, int(found["GPU"] / gpus) if gpus else room)


def _import_path() -> str:
    """``PYTHONPATH`` with which a Ray that somebody else started finds the code of this process."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))


def _start_here(cpus: int, quiet: dict[str, Any]) -> None:
    import ray

    for attempt in range(STARTS):
        try:
            ray.init("local", num_cpus=cpus, object_store_memory=OBJECT_STORE, include_dashboard=False, **quiet)
            return
        except Exception as error:  # noqa: BLE001 - Ray raises this very class when a busy machine is too slow
            ray.shutdown()
            if attempt == STARTS - 1:
                raise UserError(f"Ray does not start: {error}") from error
            logger.warning("Ray did not start, tried again: %s", error)


def _gpus(plan: Plan, resources: dict[str, float]) -> float:
    """Share of a GPU that a member gets."""
    wanted = plan.config.preset["jobs"]["gpus_per_member"]
    return wanted if resources.get("GPU") and plan.config.device != "cpu" else 0


@dataclass
class _Task:
    """One interval of one member, to be trained by a worker."""

    search: str
    member: int
    lineage: Lineage
    attempts: int = 0
    worker: Any = None

    def failed(self, error: Exception) -> None:
        """Count a failure.

        Raises:
            UserError: There were too many.
        """
        self.attempts += 1
        place = f"{self.search}: member {self.member}, interval {len(self.lineage)}"
        cause = str(error).strip().splitlines()[-1]
        if self.attempts > RETRIES:
            raise UserError(
                f"{place}: failed {self.attempts} times: {cause}. What is finished is kept: mend it, run again"
            ) from error
        logger.warning("%s: failed, tried again: %s", place, cause)


def _run(
    plan: Plan,
    searches: Sequence[Search],
    intervals: dict[str, Intervals],
    history: History,
    stop: Stop,
    workers: int,
) -> float:
    """Train all members of all searches; while one population waits for its last member, another one trains.

    Returns:
        Seconds that workers trained.
    """
    import ray

    from scalarization.search.worker import Worker

    gpus = _gpus(plan, ray.cluster_resources())
    remote = ray.remote(Worker).options(num_cpus=plan.config.threads, num_gpus=gpus)
    names = [s.name for s in searches]
    # Workers import torch while this process imports Ray Tune.
    idle = [remote.remote(os.getcwd(), plan.config, names) for _ in range(workers)]

    from scalarization.search.schedulers import Population

    populations = {s.name: Population(s) for s in searches}
    trained = 0.0

    def report(task: _Task, result: dict[str, Any]) -> None:
        population, interval = populations[task.search], len(task.lineage)
        parent = population.report(task.member, task.lineage, result["score"])
        history.add(task.search, task.member, task.lineage, result, parent)
        write_table(intervals[task.search].directory / "history.parquet", history.table(task.search))
        if history.finished(task.search, interval) == population.size:
            # A member whose worker dies goes on from the end of this interval, and nobody from an earlier one.
            intervals[task.search].drop_states(interval - 1)
            best = max(r["score"] for r in history.rows[task.search] if r["interval"] == interval)
            ends = populations[task.search].search.ends
            logger.info("%s: interval %d/%d, best score %.2f", task.search, interval, len(ends), best)

    def next_task() -> _Task | None:
        """What to train next, of the population that is furthest behind; what is known already is passed over."""
        for population in sorted(populations.values(), key=lambda p: p.progress):
            while (found := population.start()) is not None:
                task = _Task(population.search.name, *found)
                known = intervals[task.search].trained(task.lineage)
                if known is None:
                    return task
                report(task, known)
        return None

    failed: list[_Task] = []
    running: dict[Any, _Task] = {}
    stop.listen()
    while True:
        while len(running) < workers and (task := failed.pop() if failed else next_task()):
            task.worker = idle.pop() if idle else remote.remote(os.getcwd(), plan.config, names)
            running[task.worker.train.remote(task.search, task.lineage)] = task
        if not running:
            return trained
        for future in ray.wait(list(running), num_returns=1, timeout=0.5)[0]:
            task = running.pop(future)
            try:
                result = ray.get(future)
            except (ray.exceptions.RayActorError, ray.exceptions.RayTaskError) as error:
                if stop.reason:  # the signal went to the workers, too
                    break
                task.failed(error)
                failed.append(task)
                # Dead, or spoilt by what failed: the next attempt gets a new one.
                ray.kill(task.worker)
                continue
            idle.append(task.worker)
            trained += result["seconds"]
            report(task, result)
        if stop.reason:
            raise StoppedError(f"{stop.reason}; finished intervals are kept, the same command goes on from there")
