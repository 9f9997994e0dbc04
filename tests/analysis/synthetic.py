"""Presets and run files on the bundled digits, with numbers that are known in advance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from scalarization import analysis, storage
from scalarization.analysis import result_files
from scalarization.plan import Plan
from scalarization.plan.cells import Cell, Run

#: (cell, run, split, task, metric) -> value at the last epoch. ``split`` is ``train``, ``validation`` or ``test``; the
#: loss of the ``batches`` is of task ``average``.
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


def dense_preset(kind: str, *, methods: dict[str, dict], width: tuple[int, ...] = (8, 16), seeds: int = 1) -> dict:
    """A preset with one artifact, named like its kind, on two dense tasks of the bundled motorcycle."""
    recipe = {"optimizer": "sgd", "lr": 0.1, "batch_size": 64, "epochs": EPOCHS}
    return {
        "description": "Made-up numbers.",
        "benchmarks": {
            "motorcycle": {"domains": ["motorcycle"], "reference": "motorcycle", "model": {}, "recipe": recipe}
        },
        "experiments": {
            "pair": {
                "benchmark": "motorcycle",
                "task_sets": {"pair": ["segmentation_2d", "depth"]},
                "architectures": {"family": "dense", "depth": [26], "width": list(width), "shared_layers": [0]},
                "methods": methods,
                "seeds": seeds,
            }
        },
        "artifacts": {kind: {"experiment": "pair"}},
    }


def write_runs(plan: Plan, formula: Formula) -> None:
    """Write every run file of a plan, with misleading rows at the earlier evaluations."""
    for cell in plan.cells.values():
        write_cell(plan, cell, formula)


def write_cell(plan: Plan, cell: Cell, formula: Formula) -> None:
    """Write the run file of one cell."""
    rows = [row for run in cell.runs for row in run_rows(cell, run, formula)]
    storage.write_run_file(plan.paths.run_file(cell), rows, cell.describe())


def diverge(plan: Plan, cell: Cell, run: Run) -> None:
    """Write a run file again, now with the values of one run as training leaves them where it diverged at the end."""
    rows = storage.read_run_file(plan.paths.run_file(cell)).to_pylist()
    for row in rows:
        is_run = (row["weight_setting"], row["seed"]) == (run.weight_setting, run.seed)
        if is_run and row["epoch"] == cell.specification.epochs:
            row["value"] = math.nan
    storage.write_run_file(plan.paths.run_file(cell), rows, cell.describe())


def run_rows(cell: Cell, run: Run, formula: Formula) -> Iterator[dict[str, Any]]:
    """All rows of one run: the formula's at the last epoch, others on the subset for training and before."""
    metrics = result_files.METRICS[type(cell.specification.outputs)]
    for epoch, split, task in sorted(cell.evaluations):
        last = epoch == cell.specification.epochs
        if split == "batches":
            value = formula(cell, run, split, task, "loss") if last else 7.0
            yield row_of(cell, run, epoch, split, task, "loss", value)
            continue
        for metric in metrics:
            if last and split != "train_subset":
                value = formula(cell, run, split, task, metric)
            else:
                value = 99.9 - run.weight_setting % 99
            yield row_of(cell, run, epoch, split, task, metric, value)


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
        # Weights that a search finds are not in the plan.
        "weights": list(run.weights) or [1 / len(cell.tasks)] * len(cell.tasks),
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
    base = {"train": 86.0, "validation": 81.0, "test": 80.5}[split] + capacity - 3 * size[task]
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
    return storage.read_table(path).to_pandas(), storage.read_metadata(path)
