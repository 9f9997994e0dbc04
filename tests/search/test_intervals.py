"""Intervals of members: together they are one training; saved results are used, lost ones are trained again."""

import json

import pytest
import torch

from scalarization.plan.cells import Run
from scalarization.search.intervals import Intervals
from scalarization.training.loop import Trainer
from scalarization.weights import WeightSchedule

CPU = torch.device("cpu")
A, B, C = (0.3, 0.7), (0.8, 0.2), (0.5, 0.5)


@pytest.fixture
def intervals(search_of, digits_store, digits_data, one_thread, tmp_path):
    """() -> the intervals (2, 2 and 1 epochs) of the search `evolved`, all in one directory."""
    search = search_of()
    assert search.interval_ends == (2, 4, 5)
    return lambda: Intervals(tmp_path / "checkpoints", search, digits_store.digest, (CPU, digits_data))


def comparable(result):
    return {k: v for k, v in result.items() if k != "seconds"}


@pytest.fixture
def uninterrupted(intervals, digits_data):
    """A run of the same cell under the policy A, B, C."""
    search = intervals().search
    trainer = Trainer(search.cell, Run(0, search.seed, C), digits_data, CPU, WeightSchedule((A, A, B, B, C)))
    while trainer.epoch < 5:
        trainer.train_epoch(lambda: None)
    return trainer


def test_intervals_together_are_one_training(intervals, uninterrupted):
    """Intervals resume from saved states in new objects, as in workers; the reference is one run under the policy."""
    for lineage in ((A,), (A, B), (A, B, C)):
        result = intervals().train(lineage)
    metrics = uninterrupted.validate()
    assert result["by_task"] == [metrics[task]["accuracy"] for task in ("mnist", "optdigits")]
    assert result["score"] == sum(result["by_task"]) / 2
    assert result["steps"] == uninterrupted.steps_per_epoch


def test_one_model_serves_all_members(intervals):
    """One object trains members and intervals one after the other, as a worker does; the reference are new objects."""
    order = [(A,), (B,), (A, B), (C,), (B, A), (A, B, C), (B, A, A)]
    fresh = {lineage: comparable(intervals().train(lineage)) for lineage in order}
    own = intervals()
    for file in own.directory.iterdir():
        file.unlink()
    again = {lineage: comparable(own.train(lineage)) for lineage in order}
    assert again == fresh
    assert len({result["loss"] for result in fresh.values()}) == len(order)


def test_a_fraction_of_the_training_set(intervals, digits_data):
    """With half of it an epoch has half the steps, and only the first half of the rows of each domain is drawn."""
    cell = intervals().search.cell
    assert cell.specification.steps_per_epoch == 2
    seen = []
    trainer = Trainer(cell, Run(0, 0, C), digits_data, CPU)
    batch = digits_data.batch
    try:
        digits_data.batch = lambda rows, *more: seen.append(rows) or batch(rows, *more)
        for _ in range(5):
            trainer.train_epoch(lambda: None)
    finally:
        del digits_data.batch
    rows = torch.cat(seen)
    for domain in ("mnist", "optdigits"):
        start, size = digits_data.start(domain, "train"), digits_data.size(domain, "train")
        of = rows[(rows >= start) & (rows < start + size)] - start
        assert len(of) and of.max() < size // 2


def test_saved_intervals_are_not_trained_again(intervals, monkeypatch):
    first = intervals().train((A,))
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert intervals().train((A,)) == first
    assert intervals().saved_result((A,)) == first
    assert intervals().saved_result((B,)) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "missing"])
def test_a_lost_state_is_trained_again(intervals, damage):
    expected = [intervals().train(lineage) for lineage in ((A,), (A, B))]
    own = intervals()
    state = own._file((A,), "ckpt")
    for file in (own._file((A, B), "json"), own._file((A, B), "ckpt")):
        file.unlink()
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:1000])
    elif damage == "flipped":
        content = bytearray(state.read_bytes())
        content[-5] ^= 1
        state.write_bytes(content)
    elif damage == "foreign":
        intervals().train((B,))
        state.write_bytes(own._file((B,), "ckpt").read_bytes())
    else:
        state.unlink()
    assert comparable(intervals().train((A, B))) == comparable(expected[1])


@pytest.mark.parametrize("damage", ["cut", "foreign", "no JSON object"])
def test_a_lost_result_is_trained_again(intervals, damage):
    expected = intervals().train((A,))
    file = intervals()._file((A,), "json")
    if damage == "cut":
        file.write_text(file.read_text()[:50])
    elif damage == "foreign":
        content = json.loads(file.read_text())
        content["identity"]["seed"] = 7
        file.write_text(json.dumps(content))
    else:
        file.write_text("[]")
    assert intervals().saved_result((A,)) is None
    assert comparable(intervals().train((A,))) == comparable(expected)


def test_states_from_which_no_member_resumes_are_dropped(intervals):
    for lineage in ((A,), (B,), (A, B), (A, B, C)):
        intervals().train(lineage)
    own = intervals()
    # No member resumes after the last interval.
    assert len(list(own.directory.glob("*.ckpt"))) == 3
    own.drop_states(1)
    assert [f.name[:4] for f in own.directory.glob("*.ckpt")] == ["0002"]
    assert len(list(own.directory.glob("*.json"))) == 4
