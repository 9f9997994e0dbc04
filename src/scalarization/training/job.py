"""One job: trains some cells, or shards of cells, and writes their run files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scalarization.data.majority import majority_accuracies
from scalarization.data.store import Store
from scalarization.errors import StoppedError, UserError
from scalarization.locks import locked
from scalarization.plan import fingerprints
from scalarization.plan.cells import Cell, Run, Shard
from scalarization.provenance import Provenance
from scalarization.storage import quarantine, write_table
from scalarization.training.data import environment, open_data
from scalarization.training.kinds import CountingRuns, PlainRuns, Row, RunKind, identity
from scalarization.training.records import NOTES, RunRecord
from scalarization.training.shutdown import GracefulShutdown

if TYPE_CHECKING:
    import torch

    from scalarization.data.base import Data
    from scalarization.plan import Plan
    from scalarization.training.loop import Trainer

logger = logging.getLogger(__name__)
#: Least time between two progress lines of a run, unless it was evaluated.
LOG_SECONDS = 15


def train_shards(plan: Plan, shards: Sequence[Shard], time_limit: float | None) -> None:
    """Train the runs that are not yet trained, and write one run file per shard.

    Args:
        plan: The preset.
        shards: What to train, all of one benchmark; weights that a search finds are already in them.
        time_limit: Seconds after which the job must have exited; it saves its state some time before. None: no limit.

    Raises:
        UserError: Shards are of several benchmarks, or CUDA is asked for and not available.
        DataError: The prepared store is missing or damaged, or an output cannot be written.
        StoppedError: The job was asked to stop; its state is saved, and the same call resumes from it.
    """
    TrainingJob(plan, shards, PlainRuns(), GracefulShutdown(time_limit)).run()


def count_conflicts(plan: Plan, cells: Sequence[Cell], time_limit: float | None) -> None:
    """Train cells with uniform weights, count gradient conflicts meanwhile, and write one conflict file per cell.

    Args:
        plan: The preset.
        cells: What to train, all of one benchmark.
        time_limit: As in :func:`train_shards`.

    Raises:
        UserError, DataError, StoppedError: As in :func:`train_shards`.
    """
    TrainingJob(plan, [Shard(cell) for cell in cells], CountingRuns(), GracefulShutdown(time_limit)).run()


class TrainingJob:
    """Trains shards of one benchmark, one run after the other; the runs share device and images.

    Args:
        plan: The preset.
        shards: What to train.
        kind: How runs are trained, and what is kept of them.
        shutdown: When to stop.

    Raises:
        UserError: Shards are of several benchmarks.
        DataError: The prepared store is missing or damaged.
    """

    def __init__(self, plan: Plan, shards: Sequence[Shard], kind: RunKind, shutdown: GracefulShutdown) -> None:
        benchmarks = sorted({shard.cell.benchmark for shard in shards})
        if len(benchmarks) != 1:
            raise UserError(f"one job trains cells of one benchmark, these are of {', '.join(benchmarks)}")
        self.plan, self.shards, self.kind, self.shutdown = plan, shards, kind, shutdown
        self.store = Store(plan.paths.store_file(benchmarks[0]))
        self._provenance = Provenance(plan)
        self._opened: tuple[torch.device, Data] | None = None
        #: CPU seconds from the start of the process to the first run; counted as the first run's.
        self._startup_seconds = 0.0
        self._num_runs = sum(len(shard.runs) for shard in shards)
        self._num_done = 0

    def run(self) -> None:
        """Train all shards.

        Raises:
            UserError, DataError, StoppedError: As in :func:`train_shards`.
        """
        with self.shutdown:
            for shard in self.shards:
                began = time.monotonic()
                self._train_shard(shard)
                duration = _clock(time.monotonic() - began)
                logger.info("%s: %d runs in %s", shard.name, len(shard.runs), duration, extra={"terminal": True})

    def _train_shard(self, shard: Shard) -> None:
        """Train the runs of a shard that are not finished, then write its files."""
        cell, code = shard.cell, fingerprints.cell_code(shard.cell)
        origin = self._provenance.origin(self.plan.paths.shard_file(shard))
        rows: list[Row] = []
        timings: list[Row] = []
        records: list[tuple[Row, RunRecord]] = []
        notes: dict[str, list[Row]] = {name: [] for name in NOTES}
        trained_with: dict[str, Any] = {}
        for run in shard.runs:
            trained = shard.cell_of(run)
            record = RunRecord(self.plan.paths.checkpoints, trained, run, self.store.digest, code)
            finished = record.finished()
            if finished is None:
                with locked(record.directory, "trains this run", lambda: self.shutdown.reason):
                    # Another process may have trained it while this one waited for the lock.
                    finished = record.finished() or self._train_run(trained, run, record)
            self._num_done += 1
            records.append((identity(cell, run), record))
            rows += self.kind.rows(cell, run, finished["rows"])
            timing = {"cell": cell.name, "weight_setting": run.weight_setting, "seed": run.seed, **finished["timing"]}
            timings.append(timing)
            for name, of_runs in notes.items():
                if finished[name]:
                    of_runs.append({"weight_setting": run.weight_setting, "seed": run.seed, **finished[name]})
            trained_with = finished["environment"]
        metadata = {
            "specification": shard.describe(),
            "code": code,
            "data": self.store.digest,
            "environment": trained_with,
            "majority": majority_accuracies(self.store.metadata, cell),
            **notes,
            **origin,
        }
        self.kind.write(self.plan, shard, rows, metadata, records)
        write_table(self.plan.paths.timings_file(shard), pa.Table.from_pylist(timings))

    def _train_run(self, cell: Cell, run: Run, record: RunRecord) -> dict[str, Any]:
        """Train a run, from its newest checkpoint if it has one; returns its record's content without identity."""
        began = time.perf_counter()
        trainer = self._trainer(cell, run, record)
        startup_seconds, self._startup_seconds = self._startup_seconds, 0.0
        self._train_to_the_end(trainer, record, began)
        seconds = time.perf_counter() - began
        images = trainer.trained_steps * trainer.recipe.batch_size
        timing = {
            "startup_cpu_seconds": startup_seconds,
            "seconds": seconds,
            "evaluation_seconds": trainer.evaluation_seconds,
            "images": images,
            "images_per_second": images / max(1e-9, seconds - trainer.evaluation_seconds),
        }
        trained_with = environment(trainer.device)
        diverged = trainer.diverged.describe() if trainer.diverged else {}
        method = trainer.method
        failures = {"failures": method.failures, "steps": method.calls} if method and method.failures else {}
        record.write_examples(trainer.examples())
        record.finish(trainer.rows, timing, trained_with, diverged, failures)
        notes = {"diverged": diverged, "solver_failures": failures}
        return {"rows": trainer.rows, "timing": timing, "environment": trained_with, **notes}

    def _trainer(self, cell: Cell, run: Run, record: RunRecord) -> Trainer:
        """A trainer of a run, resumed from its newest checkpoint that can be read."""
        device, data = self._open()
        trainer_type = self.kind.trainer_type()
        trainer = trainer_type(cell, run, data, device)
        for file, payload in record.checkpoints():
            try:
                trainer.load_state(payload)
            except ValueError as error:
                quarantine(file, str(error))
                trainer = trainer_type(cell, run, data, device)  # part of the foreign state is in the old one
                continue
            logger.info("%s: resuming from step %d", self._label(trainer), trainer.step)
            break
        return trainer

    def _open(self) -> tuple[torch.device, Data]:
        """Device and images; opened at the first call, from which on signals stop the job gracefully."""
        if self._opened is None:
            self._opened = open_data(self.plan.config, [shard.cell for shard in self.shards], self.store)
            self._startup_seconds = time.process_time()
            self.shutdown.install_handlers()
        return self._opened

    def _train_to_the_end(self, trainer: Trainer, record: RunRecord, began: float) -> None:
        """Train, evaluate, save checkpoints and log progress; stop when asked to."""
        epochs = trainer.cell.specification.epochs
        after_step = self._checkpointing(trainer, record)
        logged = time.monotonic()
        while trainer.epoch < epochs:
            trainer.train_epoch(after_step)
            loss = trainer.mean_loss
            num_rows = len(trainer.rows)
            trainer.evaluate_epoch()
            if trainer.step < trainer.cell.steps:
                after_step()
            evaluated = len(trainer.rows) > num_rows
            if not trainer.stopped and (evaluated or time.monotonic() - logged >= LOG_SECONDS):
                logged = time.monotonic()
                steps_per_second = trainer.trained_steps / (time.perf_counter() - began)
                logger.info(
                    "%s | epoch %d/%d | loss %.4f | %s images/s | %s left in this run",
                    self._label(trainer),
                    trainer.epoch,
                    epochs,
                    loss,
                    f"{steps_per_second * trainer.recipe.batch_size:,.0f}",
                    _clock((trainer.cell.steps - trainer.step) / steps_per_second),
                )

    def _checkpointing(self, trainer: Trainer, record: RunRecord) -> Callable[[], None]:
        """What is called after every step: saves the state when it is time, and stops when asked to."""
        saved = time.monotonic()

        def after_step() -> None:
            nonlocal saved
            reason = self.shutdown.reason
            if reason or time.monotonic() - saved >= self.plan.config.checkpoint_seconds:
                record.save(trainer.step, trainer.state())
                saved = time.monotonic()
            if reason:
                raise StoppedError(
                    f"{self._label(trainer)}: {reason}; state saved at step {trainer.step} of {trainer.cell.steps}; "
                    "run the same command again to resume"
                )

        return after_step

    def _label(self, trainer: Trainer) -> str:
        weights = ",".join(f"{w:.3g}" for w in trainer.run.weights)
        run = f"run {self._num_done + 1}/{self._num_runs}"
        return f"{trainer.cell.name} {run} (p {weights}, seed {trainer.run.seed})"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
