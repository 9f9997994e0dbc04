"""Files of counted conflicts whose numbers are known in advance."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from synthetic import BENCHMARK, EPOCHS, columns_of

from scalarization import storage
from scalarization.experiments import Cell, Member, Plan

STEPS = 50
#: (cell, member, epoch) -> share of conflicts, validation metric.
Formula = Callable[[Cell, Member, int], tuple[float, float]]


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
        "description": "Numbers made up.",
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
    """Write every file of a plan. At every second step one domain is absent, the last."""
    for cell in plan.counted.values():
        rows = [
            _row(cell, member, epoch, pair, formula)
            for member in cell.members
            for epoch in range(1, EPOCHS + 1)
            for pair in itertools.combinations(range(len(cell.tasks)), 2)
        ]
        storage.write_table(plan.run_file(cell), pa.Table.from_pylist(rows, storage.CONFLICT_SCHEMA), {})


def _row(cell: Cell, member: Member, epoch: int, pair: tuple[int, int], formula: Formula) -> dict[str, Any]:
    share, validation = formula(cell, member, epoch)
    i, j = pair
    absent = j == len(cell.tasks) - 1 and len(cell.tasks) > 2
    steps = STEPS // 2 if absent else STEPS
    return {
        **columns_of(cell, member),
        "epoch": epoch,
        "task_i": cell.tasks[i],
        "task_j": cell.tasks[j],
        "conflicts": round(share * steps),
        "steps": steps,
        "zero": STEPS - steps,
        "mean_cosine": 0.1 * (i - j),
        "norm_i": 1.0 + i,
        "norm_j": 1.0 + j,
        "train_loss": 2.0 / epoch,
        "metric": "accuracy",
        "validation": validation,
    }


def plausible(cell: Cell, member: Member, epoch: int) -> tuple[float, float]:
    """Fewer conflicts at a high learning rate, more of them later; accuracy that grows with capacity and epochs."""
    rate, capacity = cell.specification["recipe"]["lr"], cell.architecture.depth + cell.architecture.width / 24
    share = 0.2 + 0.06 * epoch - 2 * rate + 0.02 * ((7 * member.seed + 3 * capacity + epoch) % 3)
    return share, 70 + 2 * capacity + 3 * epoch - 100 * rate + member.seed
