"""Cells that are trained with the policy of a search."""

import math

import populations
import pytest

from scalarization.errors import DataError
from scalarization.provenance import Provenance
from scalarization.search import retraining
from scalarization.search.policies import NoPolicyError
from scalarization.storage import read_metadata, read_run_file

PBT = "digits/mnist+optdigits/vit_d2_w8/pbt/"
PB2 = "digits/mnist+optdigits/vit_d2_w8/pb2/base"
GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"


@pytest.fixture
def plan(make_plan, searching, digits_directory):
    """The plan, with the prepared store in its place."""
    plan = make_plan(searching)
    store = plan.paths.store_file("digits").parent
    store.parent.mkdir(parents=True)
    store.symlink_to(digits_directory)
    return plan


def write_history(plan, weights, name="evolved", diverged=False):
    """Write a search in which member 1 is best at the end and has these weights in its intervals."""
    search = plan.search(f"{name}/vit_d2_w8")
    rows = populations.history(
        search,
        lambda interval, member: (
            weights[interval - 1] if member == 1 else [0.5, 0.5],
            -math.inf if diverged else 50.0 + (member == 1),
        ),
    )
    file = plan.paths.search_file(search)
    populations.write_history(file, search, rows, **Provenance(plan).origin(file))


def train(plan, *names):
    retraining.train(plan, [plan.shard(name) for name in names], None)
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
    with pytest.raises(DataError, match=r"evolved/vit_d2_w8.parquet: "):
        train(plan, PBT + "base")


def test_a_search_without_a_policy(plan):
    """All members diverged: what else the job has to train is trained, and the message names the search."""
    write_history(plan, [(0.3, 0.7)] * 3, diverged=True)
    write_history(plan, [(0.3, 0.7)] * 3, name="bandit")
    names = [PBT + "base", PBT + "last_weights", PB2, GRID]
    with pytest.raises(NoPolicyError) as error:
        train(plan, *names)
    message = str(error.value)
    assert message.count("search evolved/vit_d2_w8: all members diverged") == 1
    assert "searches.evolved.changes.recipe.lr" in message and "\n" not in message
    assert [plan.paths.run_file(plan.cell(name)).exists() for name in names] == [False, False, True, True]
    with pytest.raises(NoPolicyError):
        train(plan, PBT + "base")
