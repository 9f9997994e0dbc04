"""Trains the members of several searches at the same time, with workers of a Ray session that is running."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalarization.errors import StoppedError, UserError
from scalarization.plan import Plan
from scalarization.search.history import History
from scalarization.search.intervals import Intervals, Lineage, Result
from scalarization.search.scores import DIVERGED
from scalarization.storage import write_table
from scalarization.training.shutdown import GracefulShutdown

logger = logging.getLogger(__name__)
#: Attempts at an interval after the first.
RETRIES = 2
#: Seconds within which the first worker must have started: it imports torch and opens the images.
START_SECONDS = 300


def gpus_per_member(plan: Plan, resources: Mapping[str, float]) -> float:
    """The fraction of a GPU that each member gets; 0 without a GPU."""
    use_gpu = resources.get("GPU") and plan.config.device != "cpu"
    return plan.preset.jobs.gpus_per_member if use_gpu else 0


def cause_of(error: Exception) -> str:
    """Why a worker has failed, in one line."""
    import ray

    text = str(error).strip()
    # Ray has a worker's traceback in the text; of a process that is gone it knows no cause, and says so in many words.
    if isinstance(error, ray.exceptions.RayActorError) and "creation task" not in text:
        return "its worker's process has died; it was killed, or the memory is too small (fewer --workers need less)"
    return text.splitlines()[-1].strip(" .") if text else type(error).__name__


@dataclass
class Task:
    """One interval of one member, to be trained by a worker."""

    search: str
    member: int
    lineage: Lineage
    attempts: int = 0
    worker: Any = None

    @property
    def name(self) -> str:
        """What is trained, for messages."""
        return f"{self.search}: member {self.member}, interval {len(self.lineage)}"

    def count_failure(self, error: Exception) -> None:
        """Count a failed attempt.

        Raises:
            UserError: It was the last attempt.
        """
        self.attempts += 1
        cause = cause_of(error)
        if self.attempts > RETRIES:
            raise UserError(
                f"{self.name}: failed {self.attempts} times: {cause}. Finished intervals are saved; remove the cause "
                "and run the same command again"
            ) from error
        logger.warning("%s: failed, trying again: %s", self.name, cause)


class SessionLoop:
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

        gpus = gpus_per_member(plan, ray.cluster_resources())
        self._worker_class = ray.remote(Worker).options(num_cpus=plan.config.threads, num_gpus=gpus)
        self._worker_arguments = (os.getcwd(), plan.config, list(intervals))
        # Workers import torch while this process imports Ray Tune.
        self._idle = [self._new_worker() for _ in range(num_workers)]
        #: Each ends when a worker has started, or has failed to; empty once one has.
        self._starting = [worker.start.remote() for worker in self._idle]
        self._start = time.monotonic()

        from scalarization.search.schedulers import Population

        self._populations = {name: Population(i.search) for name, i in intervals.items()}
        self._intervals, self._history, self._shutdown = intervals, history, shutdown
        self._num_workers = num_workers
        self._failed: list[Task] = []
        self._running: dict[Any, Task] = {}
        self._trained_seconds = 0.0

    def run(self) -> float:
        """Train everything.

        Returns:
            Seconds during which workers trained.

        Raises:
            UserError: An interval failed repeatedly, or no worker starts.
            StoppedError: The job was asked to stop.
        """
        self._shutdown.install_handlers()
        while self._start_tasks():
            self._collect()
            if reason := self._shutdown.reason:
                raise StoppedError(f"{reason}; finished intervals are saved; run the same command again to resume")
            self._check_start()
        return self._trained_seconds

    def _new_worker(self) -> Any:
        return self._worker_class.remote(*self._worker_arguments)

    def _check_start(self) -> None:
        import ray

        if not self._starting:
            return
        if ray.wait(self._starting, num_returns=1, timeout=0)[0]:
            self._starting = []
        elif time.monotonic() - self._start > START_SECONDS:
            raise UserError(
                f"no worker of Ray has started in {START_SECONDS} s: the machine is too busy, or its memory too small "
                f"for {self._num_workers} workers; set fewer (--workers) and run the same command again"
            )

    def _start_tasks(self) -> bool:
        """Give every free worker a task; returns whether any task is running."""
        while len(self._running) < self._num_workers:
            task = self._failed.pop() if self._failed else self._next_task()
            if task is None:
                break
            task.worker = self._idle.pop() if self._idle else self._new_worker()
            self._running[task.worker.train.remote(task.search, task.lineage)] = task
        return bool(self._running)

    def _next_task(self) -> Task | None:
        """The next interval to train, of the population with the least progress; known results are reported at once."""
        for population in sorted(self._populations.values(), key=lambda p: p.progress):
            while (started := population.start()) is not None:
                task = Task(population.search.name, *started)
                known = self._intervals[task.search].known_result(task.lineage)
                if known is None:
                    return task
                self._report(task, known)
        return None

    def _collect(self) -> None:
        """Wait for a task to end, at most half a second, and report its result."""
        import ray

        for future in ray.wait(list(self._running), num_returns=1, timeout=0.5)[0]:
            task = self._running.pop(future)
            try:
                result = ray.get(future)
            except ray.exceptions.RayError as error:
                if self._shutdown.reason:  # workers get the signal, too
                    return
                task.count_failure(error)
                self._failed.append(task)
                # The worker has died, or its state is not reliable: the next attempt gets a new worker.
                ray.kill(task.worker)
                continue
            if result.intervals != self._intervals[task.search].directory.name:
                raise UserError(f"{task.name}: the code was changed during the search; run the same command again")
            self._idle.append(task.worker)
            self._trained_seconds += result.seconds
            self._report(task, result)

    def _report(self, task: Task, result: Result) -> None:
        """Report a result to the population, and write the history so far."""
        population, intervals = self._populations[task.search], self._intervals[task.search]
        interval = len(task.lineage)
        parent = population.report(task.member, task.lineage, result.score)
        self._history.add(task.search, task.member, task.lineage, result, parent)
        write_table(intervals.directory / "history.parquet", self._history.table(task.search))
        if result.cause:
            exploits = population.search.exploits and interval < len(population.search.interval_ends)
            then = "the next round of exploitation replaces it" if exploits else "it is not trained any further"
            logger.warning("%s: diverged (%s); %s", task.name, result.cause, then)
        finished = self._history.of_interval(task.search, interval)
        if len(finished) == population.size:
            # A member whose worker dies resumes from the end of this interval; no member resumes from an earlier one.
            intervals.drop_states(interval - 1)
            best = max(row["score"] for row in finished)
            state = "all members diverged" if best == DIVERGED else f"best score {best:.2f}"
            logger.info("%s: interval %d/%d, %s", task.search, interval, len(population.search.interval_ends), state)
