"""Predictions of dense models through whole jobs: kept with each run, gathered by share and cell, made anew if lost."""

import copy
import shutil

import pyarrow.parquet as pq
import pytest

from scalarization.data.prepare import prepare
from scalarization.experiments import Share
from scalarization.training.job import merge_shares, train_shares

PRESET = {
    "description": "A step on the motorcycle.",
    "jobs": {"members_per_job": 1},
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
            "methods": {"grid": {"p1": [0.2, 0.6]}},
            "seeds": 1,
        }
    },
    "artifacts": {"figure_c": {"experiment": "pair"}},
}


@pytest.mark.usefixtures("one_thread")
def test_baselines_are_trained_once_for_all_numbers_of_shared_layers(make_plan):
    """One task shares its decoder with nobody: the same network, the same numbers."""
    preset = copy.deepcopy(PRESET)
    preset["jobs"] = {}
    preset["experiments"]["pair"] |= {"methods": {"single": {}}, "task_sets": {"depth": ["depth"]}}
    preset["experiments"]["pair"]["architectures"]["shared_layers"] = [0, 5]
    plan = make_plan(preset)
    prepare(plan.store_file("motorcycle").parent, "motorcycle", ["motorcycle"], None, ["depth"])
    shares = [share for cell in plan.cells.values() for share in plan.shares(cell)]
    train_shares(plan, shares, None)
    assert len(list((plan.config.results / "checkpoints").iterdir())) == 1
    found = [pq.read_table(plan.run_file(share.cell)).to_pylist() for share in shares]
    assert [{r["shared_layers"] for r in rows} for rows in found] == [{0}, {5}]
    # Trained apart, bit for bit.
    shutil.rmtree(plan.config.results / "checkpoints")
    train_shares(plan, shares[1:], None)
    apart = pq.read_table(plan.run_file(shares[1].cell)).to_pylist()
    assert apart == found[1]


@pytest.mark.usefixtures("one_thread")
def test_predictions_go_through_shares_cells_and_losses(make_plan):
    plan = make_plan(PRESET)
    (cell,) = plan.cells.values()
    prepare(plan.store_file("motorcycle").parent, "motorcycle", ["motorcycle"], None, ["depth", "segmentation_2d"])
    shares = plan.shares(cell)
    assert len(shares) == 2
    train_shares(plan, shares, None)
    merge_shares(plan, cell)
    assert all(file.is_file() for share in (*shares, Share(cell)) for file in plan.share_outputs(share))
    rows = pq.read_table(plan.examples_file(Share(cell))).to_pylist()
    # Three images and their two targets once, two predictions of them for each of two runs.
    found = [(row["content"], row["member"]) for row in rows]
    assert {key: found.count(key) for key in found} == {
        ("image", 0): 3,
        ("target", 0): 6,
        ("prediction", 0): 6,
        ("prediction", 1): 6,
    }
    assert all(len(row["values"]) == 64 * 64 * (3 if row["content"] == "image" else 1) for row in rows)
    assert {row["member"]: tuple(row["weights"]) for row in rows} == {0: (0.2, 0.8), 1: (0.6, 0.4)}

    records = sorted((plan.config.results / "checkpoints").iterdir())
    times = [(r / "finished.json").stat().st_mtime_ns for r in records]
    (records[0] / "examples.parquet").unlink()
    before = plan.share_file(shares[0]).read_bytes(), plan.examples_file(shares[0]).read_bytes()
    train_shares(plan, shares, None)
    now = [(r / "finished.json").stat().st_mtime_ns for r in records]
    assert now[0] > times[0] and now[1] == times[1]  # the one whose predictions were lost, and no other
    merge_shares(plan, cell)
    assert str(pq.read_table(plan.examples_file(Share(cell))).to_pylist()) == str(rows)  # NaN is unlike itself
    assert plan.examples_file(shares[0]).read_bytes() == before[1]
