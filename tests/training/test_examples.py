"""Predictions of dense models through whole jobs: kept with each run, gathered by shard and cell, replaced if lost."""

import copy
import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest

from scalarization.data.prepare import prepare
from scalarization.plan.cells import Shard
from scalarization.training.job import train_shards
from scalarization.training.merging import merge_shards

PRESET = {
    "description": "A step on the motorcycle.",
    "jobs": {"runs_per_job": 1},
    "benchmarks": {
        "motorcycle": {
            "domains": ["motorcycle"],
            "reference": "motorcycle",
            "tasks": ["depth", "segmentation_2d"],
            "model": {"channels": 16},
            "recipe": {"optimizer": "sgd", "lr": 0.05, "batch_size": 122, "epochs": 1},
        }
    },
    "experiments": {
        "pair": {
            "benchmark": "motorcycle",
            "task_sets": {"pair": ["segmentation_2d", "depth"]},
            "architectures": {"family": "dense", "depth": [26], "width": [4], "shared_layers": [4]},
            "methods": {"single": {}, "grid": {"p1": [0.2, 0.6]}},
            "seeds": 1,
        }
    },
    "artifacts": {"figure_c": {"experiment": "pair"}},
}


@pytest.mark.usefixtures("one_thread")
def test_baselines_are_trained_once_for_all_numbers_of_shared_layers(make_plan):
    """A single task has no other to share its decoder with: the same network, the same numbers."""
    preset = copy.deepcopy(PRESET)
    preset["jobs"] = {}
    preset["experiments"]["pair"]["architectures"]["shared_layers"] = [0, 5]
    plan = make_plan(preset)
    prepare(plan.paths.store_file("motorcycle").parent, "motorcycle", ["motorcycle"], None, ["depth"])
    shards = [shard for cell in plan.cells.values() if cell.task_set == "depth" for shard in plan.shards(cell)]
    train_shards(plan, shards, None)
    assert len(list((plan.config.results / "checkpoints").iterdir())) == 1
    values = [pq.read_table(plan.paths.run_file(shard.cell)).to_pylist() for shard in shards]
    assert [{r["shared_layers"] for r in rows} for rows in values] == [{0}, {5}]
    # Trained separately, bit for bit.
    shutil.rmtree(plan.config.results / "checkpoints")
    train_shards(plan, shards[1:], None)
    apart = pq.read_table(plan.paths.run_file(shards[1].cell)).to_pylist()
    assert apart == values[1]


@pytest.mark.usefixtures("one_thread")
def test_predictions_of_shards_are_merged_and_lost_ones_replaced(make_plan, prepare_store):
    plan = make_plan(PRESET)
    (cell,) = (cell for cell in plan.cells.values() if cell.method == "grid")
    prepare_store(plan, "motorcycle")
    shards = plan.shards(cell)
    assert len(shards) == 2
    train_shards(plan, shards, None)
    merge_shards(plan, cell)
    assert all(file.is_file() for shard in (*shards, Shard(cell)) for file in plan.paths.shard_outputs(shard))
    rows = pq.read_table(plan.paths.examples_file(Shard(cell))).to_pylist()
    # Three images and their two targets once, two predictions of them for each of two runs.
    kinds = Counter((row["content"], row["weight_setting"]) for row in rows)
    assert kinds == {
        ("image", 0): 3,
        ("target", 0): 6,
        ("prediction", 0): 6,
        ("prediction", 1): 6,
    }
    assert all(len(row["values"]) == 64 * 64 * (3 if row["content"] == "image" else 1) for row in rows)
    assert {row["weight_setting"]: tuple(row["weights"]) for row in rows} == {0: (0.2, 0.8), 1: (0.6, 0.4)}

    records = sorted((plan.config.results / "checkpoints").iterdir())
    times = [(r / "finished.json").stat().st_mtime_ns for r in records]
    (records[0] / "examples.parquet").unlink()
    before = plan.paths.shard_file(shards[0]).read_bytes(), plan.paths.examples_file(shards[0]).read_bytes()
    train_shards(plan, shards, None)
    now = [(r / "finished.json").stat().st_mtime_ns for r in records]
    assert now[0] > times[0] and now[1] == times[1]  # only the run whose predictions were lost
    merge_shards(plan, cell)
    assert str(pq.read_table(plan.paths.examples_file(Shard(cell))).to_pylist()) == str(rows)  # NaN is unlike itself
    assert plan.paths.examples_file(shards[0]).read_bytes() == before[1]
