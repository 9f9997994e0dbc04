"""Presets and run files on the bundled digits, with numbers that are known in advance."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scalarization import analysis, storage
from scalarization.plan import Plan
from scalarization.plan.cells import Cell, Run

#: (cell, run, split, task, metric) -> value. ``split`` is ``train``, ``validation`` or ``test``.
Formula = Callable[[Cell, Run, str, str, str], float]
EPOCHS = 4

BENCHMARK = {
    "domains": ["mnist", "optdigits", "mfeat"],
    "reference": "optdigits",
    "model": {"patch": 4, "heads": 4, "mlp_ratio": 2, "drop_path": 0.0},
    "recipe": {"lr": 3e-3, "batch_size": 64, "epochs": EPOCHS, "warmup_epochs": 1, "eval_every": 2},
}
METHODS = {"single": {}, "grid": {"p1": [0.1, 0.3, 0.5, 0.7, 0.9]}, "proportional": {}}


def preset(
    kind: str,
    *,
    task_sets: dict[str, list[str]] | None = None,
    depth: tuple[int, ...] = (1, 3),
    width: tuple[int, ...] = (24, 48),
    methods: dict[str, dict] | None = None,
    seeds: int = 2,
    variants: dict[str, dict] | None = None,
    other_experiments: dict[str, dict] | None = None,
) -> dict[str, Any]:
    """A preset with one artifact, named like its kind, on the bundled digits."""
    experiment: dict[str, Any] = {
        "benchmark": "digits",
        "task_sets": task_sets or {"mnist+optdigits": ["mnist", "optdigits"]},
        "architectures": {"family": "vit", "depth": list(depth), "width": list(width)},
        "methods": methods or METHODS,
        "seeds": seeds,
        "variants": variants or {"base": {}},
    }
    return {
        "description": "Made-up numbers.",
        "benchmarks": {"digits": BENCHMARK},
        "experiments": {**(other_experiments or {}), "pair": experiment},
        "artifacts": {kind: {"experiment": "pair"}},
    }


def write_runs(plan: Plan, formula: Formula, metric: str = "accuracy") -> None:
    """Write every run file of a plan, with misleading rows at the earlier evaluation."""
    for cell in plan.cells.values():
        rows, last = [], cell.specification.epochs
        for run in cell.runs:
            for task in cell.specification.outputs.evaluated:
                for split in ("train", "validation", "test"):
                    for name in (metric, "loss"):
                        rows.append(row_of(cell, run, last, split, task, name, formula(cell, run, split, task, name)))
                for split in ("train_subset", "validation"):
                    rows.append(row_of(cell, run, last - 2, split, task, metric, 99.9 - run.weight_setting))
            for epoch, factor in ((last - 2, 10), (last, 1)):
                value = factor * formula(cell, run, "batches", "average", "loss")
                rows.append(row_of(cell, run, epoch, "batches", "average", "loss", value))
        storage.write_run_file(plan.paths.run_file(cell), rows, cell.describe())


def columns_of(cell: Cell, run: Run) -> dict[str, Any]:
    """The columns that identify a run."""
    return {
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "architecture": cell.architecture.name,
        "depth": cell.architecture.depth,
        "width": cell.architecture.width,
        "shared_layers": cell.architecture.shared_layers,
        "method": cell.method,
        "variant": cell.variant,
        "weight_setting": run.weight_setting,
        "seed": run.seed,
    }


def row_of(cell: Cell, run: Run, epoch: int, split: str, task: str, metric: str, value: float) -> dict[str, Any]:
    """A row of a run file."""
    return {
        **columns_of(cell, run),
        "weights": list(run.weights),
        "epoch": epoch,
        "split": split,
        "task": task,
        "metric": metric,
        "value": value,
    }


def plausible(cell: Cell, run: Run, split: str, task: str, metric: str) -> float:
    """Smooth numbers as a real experiment would give them: each task gains from some of the other's data."""
    size = {"mnist": 0.9, "optdigits": 0.1, "mfeat": 0.1}
    capacity = 0.6 * cell.architecture.depth + cell.architecture.width / 24
    noise = 0.5 * math.sin(97 * run.seed + 31 * run.weight_setting + 5 * len(task) + 2 * len(split) + 11 * capacity**2)
    if metric == "loss":
        return 0.3 / capacity * (1 + 0.1 * noise) * (2 - size.get(cell.tasks[0], 0.5))
    base = {"train": 97.0, "validation": 92.0, "test": 91.5}[split] + capacity - 3 * size[task]
    if cell.method == "single":
        return (base if task == cell.tasks[0] else 0.55 * base + 5 * size[cell.tasks[0]]) + noise
    p = run.weights[cell.tasks.index(task)]
    helped = -1.0 if split == "train" else 0.3 * capacity
    return base + helped + 5 * (1 - (1 - p) ** 2) * p**0.3 - 4.5 + noise


def read_back(plan: Plan, kind: str, directory: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """An artifact's summary and metadata as a drawing gets them: written to Parquet and read again."""
    path = directory / "summary.parquet"
    summary = pa.Table.from_pandas(analysis.summarize(plan, kind), preserve_index=False)
    storage.write_table(path, summary, analysis.metadata(plan, kind))
    return pq.read_table(path).to_pandas(), storage.read_metadata(path)
