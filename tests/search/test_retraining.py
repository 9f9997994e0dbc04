"""Cells that are trained with the policy of a search."""

import pyarrow as pa
import pytest

from scalarization.errors import DataError
from scalarization.search.policies import HISTORY_SCHEMA, resolve_policies
from scalarization.storage import read_metadata, read_run_file, write_table
from scalarization.training.job import train_shards

PBT = "digits/mnist+optdigits/vit_d2_w8/pbt/"
GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"


@pytest.fixture
def plan(make_plan, searching, digits_directory):
    """The plan, with the prepared store in its place."""
    plan = make_plan(searching)
    store = plan.paths.store_file("digits").parent
    store.parent.mkdir(parents=True)
    store.symlink_to(digits_directory)
    return plan


def write_history(plan, weights, name="evolved"):
    """Write a search in which member 1 is best at the end and has these weights in its intervals."""
    search = plan.search(f"{name}/vit_d2_w8")
    rows = [
        {
            "member": member,
            "interval": interval,
            "epoch": end,
            "weights": list(w) if member else [0.5, 0.5],
            "score": 50.0 + member,
            "parent": member if interval > 1 else None,
        }
        for interval, (end, w) in enumerate(zip(search.interval_ends, weights, strict=True), 1)
        for member in range(2)
    ]
    write_table(plan.paths.search_file(search), pa.Table.from_pylist(rows, HISTORY_SCHEMA))


def train(plan, *names):
    train_shards(plan, resolve_policies(plan, [plan.shard(name) for name in names]), None)
    return [read_run_file(plan.paths.run_file(plan.cell(name))).to_pylist() for name in names]


def values(rows, weight):
    keys = ("epoch", "split", "task", "metric", "value")
    return [tuple(r[k] for k in keys) for r in rows if r["weights"][0] == weight]


def test_the_policy_of_a_member_that_never_copied_is_constant_weights(plan):
    """Bit for bit the values of the grid's run with the same weights, on all training data."""
    write_history(plan, [(0.3, 0.7)] * 3)
    base, last, grid = train(plan, PBT + "base", PBT + "last_weights", GRID)
    assert len(values(base, 0.3)) == len(base) == len(last)
    assert values(base, 0.3) == values(last, 0.3) == values(grid, 0.3)


def test_weights_change_with_the_epoch(plan):
    policy = [(0.9, 0.1), (0.6, 0.4), (0.3, 0.7)]
    write_history(plan, policy)
    base, last, grid = train(plan, PBT + "base", PBT + "last_weights", GRID)
    assert values(last, 0.3) == values(grid, 0.3) != values(base, 0.3)
    # The run file has the last weights, its metadata the whole policy: epochs 1-2, 3-4, 5.
    metadata = read_metadata(plan.paths.run_file(plan.cell(PBT + "base")))
    by_epoch = [policy[0], policy[0], policy[1], policy[1], policy[2]]
    assert metadata["specification"]["policy"] == [list(w) for w in by_epoch]
    assert metadata["specification"]["search"]["name"] == "evolved/vit_d2_w8"


def test_another_policy_is_trained_and_the_same_policy_is_not_trained_again(plan, monkeypatch):
    write_history(plan, [(0.9, 0.1)] * 3)
    (first,) = train(plan, PBT + "base")
    write_history(plan, [(0.2, 0.8)] * 3)
    (second,) = train(plan, PBT + "base")
    assert values(first, 0.9) != values(second, 0.2)
    write_history(plan, [(0.9, 0.1)] * 3)
    monkeypatch.setattr("scalarization.training.loop.Trainer.train_epoch", None)
    assert train(plan, PBT + "base") == [first]


def test_a_missing_search(plan):
    with pytest.raises(DataError, match=r"evolved/vit_d2_w8.parquet: no such search; run it with: snakemake"):
        train(plan, PBT + "base")
