"""Files of counted conflicts whose numbers are known in advance."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from synthetic import BENCHMARK, EPOCHS, columns_of

from scalarization import storage
from scalarization.plan import Plan
from scalarization.plan.cells import Cell, Run

STEPS = 50
#: (cell, run, epoch) -> fraction of steps with a conflict, validation metric.
Formula = Callable[[Cell, Run, int], tuple[float, float]]


def preset(
    kind: str,
    *,
    task_sets: dict[str, list[str]] | None = None,
    depth: tuple[int, ...] = (1, 3),
    width: tuple[int, ...] = (24, 48),
    rates: tuple[float, ...] = (5e-4, 5e-3, 5e-2),
    seeds: int = 2,
) -> dict[str, Any]:
    """A preset with one artifact, named like its kind, of conflicts counted on the bundled digits."""
    shared = {"benchmark": "digits", "seeds": seeds}
    task_sets = task_sets or {"three": ["mnist", "optdigits", "mfeat"]}
    architectures = {"family": "vit", "depth": list(depth), "width": list(width)}
    variants = {f"lr{rate:g}": {"recipe": {"lr": rate}} for rate in rates}
    trained = {"depth": [1], "width": [24], "family": "vit"}
    return {
        "description": "Made-up numbers.",
        "benchmarks": {"digits": BENCHMARK},
        "experiments": {
            "other": {**shared, "task_sets": task_sets, "architectures": trained, "methods": {"uniform": {}}}
        },
        "conflicts": {
            "counted": {**shared, "task_sets": task_sets, "architectures": architectures, "variants": variants}
        },
        "artifacts": {kind: {"conflicts": ["counted"]}},
    }


def write_counts(plan: Plan, formula: Formula) -> None:
    """Write every conflict file of a plan. At every second step the last domain is absent."""
    for cell in plan.counted.values():
        rows = [
            _row(cell, run, epoch, pair, formula)
            for run in cell.runs
            for epoch in range(1, EPOCHS + 1)
            for pair in itertools.combinations(range(len(cell.tasks)), 2)
        ]
        storage.write_conflict_file(plan.paths.run_file(cell), rows, {})


def _row(cell: Cell, run: Run, epoch: int, pair: tuple[int, int], formula: Formula) -> dict[str, Any]:
    fraction, validation = formula(cell, run, epoch)
    i, j = pair
    absent = j == len(cell.tasks) - 1 and len(cell.tasks) > 2
    steps = STEPS // 2 if absent else STEPS
    return {
        **columns_of(cell, run),
        "epoch": epoch,
        "task_i": cell.tasks[i],
        "task_j": cell.tasks[j],
        "conflicts": round(fraction * steps),
        "steps": steps,
        "zero": STEPS - steps,
        "mean_cosine": 0.1 * (i - j),
        "norm_i": 1.0 + i,
        "norm_j": 1.0 + j,
        "train_loss": 2.0 / epoch,
        "metric": "accuracy",
        "validation": validation,
    }


def plausible(cell: Cell, run: Run, epoch: int) -> tuple[float, float]:
    """Fewer conflicts at a high learning rate, more of them later; accuracy that grows with capacity and epochs."""
    lr, capacity = cell.specification.recipe.lr, cell.architecture.depth + cell.architecture.width / 24
    fraction = 0.2 + 0.06 * epoch - 2 * lr + 0.02 * ((7 * run.seed + 3 * capacity + epoch) % 3)
    return fraction, 50 + 2 * capacity + 3 * epoch - 100 * lr + run.seed
