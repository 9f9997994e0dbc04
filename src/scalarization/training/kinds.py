"""What differs between jobs that train cells and jobs that count conflicts: trainer, and files. No torch."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scalarization.plan.cells import Cell, Run, Shard
from scalarization.storage import write_conflict_file, write_run_file
from scalarization.training.examples import gather_examples
from scalarization.training.records import RunRecord

if TYPE_CHECKING:
    from scalarization.plan import Plan
    from scalarization.training.loop import Trainer

Row = dict[str, Any]


class RunKind(ABC):
    """A kind of runs: how they are trained, and what is kept of them."""

    @abstractmethod
    def trainer_type(self) -> type[Trainer]:
        """The class that trains a run; imports torch."""

    @abstractmethod
    def rows(self, cell: Cell, run: Run, recorded: Sequence[Row]) -> list[Row]:
        """Rows of the shard's file that a run adds.

        Args:
            cell: The run's cell.
            run: The run.
            recorded: Its rows as the trainer makes them.
        """

    @abstractmethod
    def write(
        self,
        plan: Plan,
        shard: Shard,
        rows: Sequence[Row],
        metadata: dict[str, Any],
        records: Sequence[tuple[Row, RunRecord]],
    ) -> None:
        """Write the files of a finished shard.

        Args:
            plan: The preset.
            shard: The shard.
            rows: Rows of all of its runs.
            metadata: Specification, digests, environment, and which runs diverged.
            records: Identity and record of every run.
        """


class PlainRuns(RunKind):
    """Runs that are trained and evaluated."""

    def trainer_type(self) -> type[Trainer]:
        """The plain trainer."""
        from scalarization.training.loop import Trainer

        return Trainer

    def rows(self, cell: Cell, run: Run, recorded: Sequence[Row]) -> list[Row]:
        """One row per epoch, split, task and metric."""
        return [{**identity(cell, run), **row} for row in recorded]

    def write(
        self,
        plan: Plan,
        shard: Shard,
        rows: Sequence[Row],
        metadata: dict[str, Any],
        records: Sequence[tuple[Row, RunRecord]],
    ) -> None:
        """Write the run file and, of dense tasks, predictions."""
        write_run_file(plan.paths.shard_file(shard), rows, metadata)
        gather_examples(plan, shard, records, metadata)


class CountingRuns(RunKind):
    """Runs of uniform weights in which gradient conflicts are counted."""

    def trainer_type(self) -> type[Trainer]:
        """The trainer that counts."""
        from scalarization.training.conflicts import CountingTrainer

        return CountingTrainer

    def rows(self, cell: Cell, run: Run, recorded: Sequence[Row]) -> list[Row]:
        """One row per epoch and pair of tasks."""
        columns = identity(cell, run)
        del columns["weights"]
        pairs = list(itertools.combinations(range(len(cell.tasks)), 2))
        return [
            {
                **columns,
                **{key: row[key] for key in ("epoch", "train_loss", "metric", "validation")},
                **{key: row[key][number] for key in ("conflicts", "steps", "zero", "mean_cosine")},
                "task_i": cell.tasks[i],
                "task_j": cell.tasks[j],
                "norm_i": row["norm"][i],
                "norm_j": row["norm"][j],
            }
            for row in recorded
            for number, (i, j) in enumerate(pairs)
        ]

    def write(
        self,
        plan: Plan,
        shard: Shard,
        rows: Sequence[Row],
        metadata: dict[str, Any],
        records: Sequence[tuple[Row, RunRecord]],
    ) -> None:
        """Write the conflict file."""
        write_conflict_file(plan.paths.shard_file(shard), rows, metadata)


def identity(cell: Cell, run: Run) -> Row:
    """The columns of a run file that tell runs apart."""
    architecture = cell.architecture
    return {
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "architecture": architecture.name,
        "depth": architecture.depth,
        "width": architecture.width,
        "shared_layers": architecture.shared_layers,
        "method": cell.method,
        "variant": cell.variant,
        "weight_setting": run.weight_setting,
        "seed": run.seed,
        "weights": list(run.weights),
    }
