"""One job: runs several searches of one benchmark in one Ray session, and writes their histories."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from scalarization.data.store import Store
from scalarization.errors import UserError
from scalarization.locks import locked
from scalarization.plan import Plan, fingerprints
from scalarization.plan.cells import Search
from scalarization.provenance import Provenance
from scalarization.search.history import History, OnRow, ignore
from scalarization.search.intervals import Intervals
from scalarization.search.loop import SessionLoop, gpus_per_member
from scalarization.search.nodes import ray_on_nodes
from scalarization.search.policies import backtrack
from scalarization.search.ray_start import QUIET, START_SECONDS, limited, ray_here
from scalarization.specification import DomainOutputs
from scalarization.storage import write_table
from scalarization.training.shutdown import GracefulShutdown

logger = logging.getLogger(__name__)


def run_searches(
    plan: Plan,
    searches: Sequence[Search],
    workers: int | None = None,
    time_limit: float | None = None,
    nodes: int = 1,
    on_row: OnRow = ignore,
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
    provenance = Provenance(plan)
    origins = {search.name: provenance.origin(plan.paths.search_file(search)) for search in searches}
    intervals = {s.name: Intervals(plan.paths.checkpoints, s, store.digest) for s in searches}
    with ExitStack() as locks:
        # All copies of a job lock in the same order, so that none waits for a copy that waits for it.
        waited = [
            locks.enter_context(locked(directory, "runs this search", lambda: shutdown.reason))
            for directory in sorted({i.directory for i in intervals.values()})
        ]
        if any(waited) and not any(Provenance(plan).problem(plan.paths.search_file(s)) for s in searches):
            logger.info("%s: finished by another process", ", ".join(s.name for s in searches))
            return
        locks.enter_context(shutdown)
        shutdown.install_handlers()
        start = time.perf_counter()
        history = History(searches, on_row)
        with _ray_session(plan, workers, nodes, shutdown) as num_workers:
            startup_seconds = time.perf_counter() - start
            trained_seconds = SessionLoop(plan, intervals, history, shutdown, num_workers).run()
        session = {
            "searches": [s.name for s in searches],
            "workers": num_workers,
            "seconds": time.perf_counter() - start,
            "startup_seconds": startup_seconds,
            "trained_seconds": trained_seconds,
        }
        for search in searches:
            metadata = {**_metadata(search, store), **origins[search.name], "session": session}
            _write_history(plan, search, history, intervals[search.name], metadata)


def _metadata(search: Search, store: Store) -> dict[str, Any]:
    """What the history of a search depends on, and what its scores rest on."""
    return {
        "specification": search.describe(),
        "data": store.digest,
        "code": fingerprints.search_code(search),
        "validation_images": _validation_images(search, store),
    }


def _validation_images(search: Search, store: Store) -> int:
    """Number of images that the scores of a search rest on."""
    outputs = search.cell.specification.outputs
    domains = search.cell.tasks if isinstance(outputs, DomainOutputs) else outputs.evaluated
    splits = [store.metadata["domains"][domain]["splits"]["validation"] for domain in domains]
    return sum(stop - start for start, stop in splits)


def _write_history(
    plan: Plan, search: Search, history: History, intervals: Intervals, metadata: dict[str, Any]
) -> None:
    """Write the history of a finished search, and remove the states of its members."""
    first = history.sorted_rows(search.name)[0]
    measured = {key: first[key] for key in ("metric", "environment")}
    table = history.table(search.name)
    policy = backtrack(table.to_pylist())
    metadata = {**metadata, **measured, "diverged": history.diverged(search.name)}
    write_table(plan.paths.search_file(search), table, metadata)
    intervals.drop_states(len(search.interval_ends))
    if policy is None:
        logger.warning("%s: all members diverged; it has no policy, and no model is trained with it", search.name)
        return
    weights = zip(search.cell.tasks, policy.weights[-1], strict=True)
    of_member = f"weights at the end: {', '.join(f'{task} {weight:.3g}' for task, weight in weights)}"
    if search.varies_lr:
        of_member = f"learning rate: {policy.lr:.3g}"
    best = f"best score {policy.score:.2f} by member {policy.member}"
    logger.info("%s: %s; its %s", search.name, best, of_member, extra={"terminal": True})


@contextmanager
def _ray_session(plan: Plan, workers: int | None, nodes: int, shutdown: GracefulShutdown) -> Iterator[int]:
    """A Ray session on this machine, on the nodes of a Slurm job, or on the cluster that ``RAY_ADDRESS`` names.

    Yields:
        The number of workers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cpus = math.ceil((workers or len(os.sched_getaffinity(0))) / nodes) * plan.config.threads
    with ExitStack() as stack:
        address = os.environ.get("RAY_ADDRESS")
        if nodes > 1 and not address:
            address = stack.enter_context(ray_on_nodes(nodes, cpus, shutdown))
        if address:
            stack.enter_context(_joined_cluster(address, shutdown))
        else:
            stack.enter_context(ray_here(cpus, shutdown))
        import ray

        resources = ray.cluster_resources()
        room = int(resources.get("CPU", 0)) // plan.config.threads
        gpus = gpus_per_member(plan, resources)
        members = min(workers or room, room, int(resources["GPU"] / gpus) if gpus else room)
        if members < 1:
            raise UserError(f"Ray has no room for a member of {plan.config.threads} threads: {dict(resources)}")
        yield members


@contextmanager
def _joined_cluster(address: str, shutdown: GracefulShutdown) -> Iterator[None]:
    """A connection to Ray's cluster at an address."""
    import ray

    imports = {"env_vars": {"PYTHONPATH": _import_path()}}
    try:
        limited(lambda: ray.init(address, runtime_env=imports, **QUIET), START_SECONDS, shutdown)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"Ray's cluster at {address} cannot be joined: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _import_path() -> str:
    """``PYTHONPATH`` with which the workers of a Ray that was started elsewhere import the code of this process."""
    package = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(dict.fromkeys([package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
