"""Whether rows are those of one whole run: nothing missing, nothing twice, nothing of another run. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scalarization.plan.cells import Cell, Shard
from scalarization.storage import QUALITY

Rows = Sequence[Mapping[str, Any]]


def problem_of_shard(shard: Shard, rows: Rows) -> str | None:
    """Why rows are not those of all runs of a shard, each run whole; None if they are.

    Args:
        shard: The shard.
        rows: Those of its run file.
    """
    by_run: dict[tuple[int, int], list[Mapping[str, Any]]] = {(r.weight_setting, r.seed): [] for r in shard.runs}
    for row in rows:
        if (run := (row["weight_setting"], row["seed"])) not in by_run:
            return f"has weight setting {run[0]}, seed {run[1]}, which is not in {shard.name}"
        by_run[run].append(row)
    for (weight_setting, seed), of_run in by_run.items():
        if problem := problem_of_run(shard.cell, of_run):
            return f"weight setting {weight_setting}, seed {seed}: {problem}"
    return None


def problem_of_run(cell: Cell, rows: Rows) -> str | None:
    """Why rows are not the metrics of one run; None if they are.

    Every evaluation must be there, each metric of it once, and the same metrics in all of them, quality among them.

    Args:
        cell: The run's cell.
        rows: ``epoch``, ``split``, ``task``, ``metric``, ``value``; further columns do not matter.
    """
    metrics: dict[tuple[int, str, str], Counter[str]] = {}
    try:
        for row in rows:
            metrics.setdefault((row["epoch"], row["split"], row["task"]), Counter())[row["metric"]] += 1
        if not all(isinstance(row["value"], float) for row in rows):
            return "has values that are no numbers"
    except (KeyError, TypeError):
        return "has rows without their columns"
    for evaluation in sorted(cell.evaluations ^ metrics.keys(), key=str):
        verb = "lacks" if evaluation in cell.evaluations else "has an unplanned evaluation:"
        return f"{verb} {_named(evaluation)}"
    expected = {metric for (_, split, _), counts in metrics.items() if split != "batches" for metric in counts}
    if not expected & QUALITY.keys():
        return f"has no metric of quality ({' or '.join(QUALITY)})"
    for evaluation, counts in metrics.items():
        if max(counts.values()) > 1:
            return f"has {_named(evaluation)} twice"
        if missing := sorted(({"loss"} if evaluation[1] == "batches" else expected) - counts.keys()):
            return f"lacks {missing[0]} of {_named(evaluation)}"
    return None


def problem_of_counts(cell: Cell, rows: Rows) -> str | None:
    """Why rows are not the conflict counts of one run; None if they are.

    Args:
        cell: The run's cell.
        rows: One per epoch, as :class:`scalarization.training.conflicts.CountingTrainer` makes them.
    """
    num_tasks = len(cell.tasks)
    num_pairs = num_tasks * (num_tasks - 1) // 2
    lengths = dict.fromkeys(("conflicts", "steps", "zero", "mean_cosine"), num_pairs) | {"norm": num_tasks}
    try:
        if [row["epoch"] for row in rows] != list(range(1, cell.specification.epochs + 1)):
            return f"is not of epochs 1 to {cell.specification.epochs}"
        if any(len(row[column]) != length for row in rows for column, length in lengths.items()):
            return f"is not of {num_tasks} tasks"
        if not all(isinstance(row["train_loss"], float) and isinstance(row["validation"], float) for row in rows):
            return "has values that are no numbers"
    except (KeyError, TypeError):
        return "has rows without their columns"
    return None


def _named(evaluation: tuple[int, str, str]) -> str:
    epoch, split, task = evaluation
    return f"'{task}' on {split} at epoch {epoch}"
