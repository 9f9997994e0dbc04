"""Presets, run files and profiles of many methods on many attributes, with numbers that are known in advance."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import synthetic

from scalarization import storage
from scalarization.plan import Plan

METHODS = ["uniform", "rlw", "uncertainty", "imtl_l", "cagrad", "pcgrad"]
MODEL = {"patch": 8, "heads": 4, "mlp_ratio": 2, "drop_path": 0.0}
EPOCHS = 4
#: Methods whose time and memory are measured in addition to uniform weights.
COMPARED = {"pcgrad": {}, "rotograd": {}, "mgda": {}}
PAIR = ["gender", "activity"]


def experiment(**changes: Any) -> dict[str, Any]:
    """Two groups of the bundled people, one capacity, two seeds, unless changed."""
    return {
        "benchmark": "emoji_people",
        "task_sets": {"pair": PAIR},
        "architectures": {"family": "vit", "depth": [1], "width": [48]},
        "methods": {method: {} for method in METHODS},
        "seeds": 2,
        **changes,
    }


def preset(artifacts: dict[str, dict], **experiments: dict[str, Any]) -> dict[str, Any]:
    """A preset with some experiments and a profile of time and memory."""
    recipe = {"lr": 3e-3, "batch_size": 64, "epochs": EPOCHS, "warmup_epochs": 1, "eval_every": 2}
    profile = {"benchmark": "emoji_people", "architecture": "vit_d1_w48", "tasks": [2, 8, 40], "methods": COMPARED}
    return {
        "description": "Made-up numbers.",
        "benchmarks": {
            "emoji_people": {"domains": ["people"], "reference": "people", "model": MODEL, "recipe": recipe}
        },
        "experiments": experiments or {"people": experiment()},
        "profiles": {"steps": profile},
        "artifacts": artifacts,
    }


def write_runs(plan: Plan, value) -> None:
    """Write run files with ``value(cell, run, split, task, metric)``; where that is None, with any number."""

    def formula(cell, run, split, task, metric):
        number = None if split == "batches" else value(cell, run, split, task, metric)
        return 0.5 if number is None else float(number)

    synthetic.write_runs(plan, formula)


#: Method -> seconds and bytes of a step, as functions of the number of tasks.
MEASURED = {
    "pcgrad": (lambda t: 0.01 * (1 + 2 * t) / 3, lambda t: (100 + 40 * t) * 2**20),
    "rotograd": (lambda t: 0.012, lambda t: (100 + 2 * t) * 2**20),
    "mgda": (lambda t: 0.02, lambda t: 150 * 2**20),
    "uniform": (lambda t: 0.01, lambda t: 100 * 2**20),
}


def write_profile(plan: Plan, name: str = "steps") -> None:
    """Write a profile of time and memory; methods without numbers of their own are as fast as uniform weights."""
    profile = plan.profiles[name]
    rows = []
    for count in reversed(profile.num_tasks):
        for method in reversed(profile.methods):
            seconds, peak = (formula(count) for formula in MEASURED.get(method, MEASURED["uniform"]))
            rows.append(
                {
                    "benchmark": profile.cell.benchmark,
                    "architecture": profile.cell.architecture.name,
                    "batch_size": profile.cell.specification.recipe.batch_size,
                    "method": method,
                    "tasks": count,
                    "seconds_per_step": seconds,
                    "time_ratio": seconds / 0.01,
                    "peak_bytes": peak,
                    "memory_ratio": peak / (100 * 2**20),
                }
            )
    storage.write_table(
        plan.paths.profile_file(name), pa.Table.from_pylist(rows), {"environment": {"device": "an abacus"}}
    )


def write_store(plan: Plan, benchmark: str, positives: bool = True) -> None:
    """Write a ``dataset.json`` in which attribute number n has n positives (twice that in training)."""
    attributes = list(plan.benchmarks[benchmark].labels.attributes)
    counts = {s: [k * n for n in range(len(attributes))] for s, k in (("train", 2), ("validation", 1), ("test", 1))}
    domain = {"splits": {"train": [0, 200], "validation": [200, 250], "test": [250, 300]}}
    if positives:
        domain["positives_per_attribute"] = counts
    storage.write_json(plan.paths.store_file(benchmark), {"attributes": attributes, "domains": {"people": domain}})


def record_majority(plan: Plan, accuracies: dict[str, float]) -> None:
    """Let run files record what a constant answer reaches."""
    for file in map(plan.paths.run_file, plan.cells.values()):
        storage.write_table(file, storage.read_table(file), {**storage.read_metadata(file), "majority": accuracies})
