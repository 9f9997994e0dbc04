"""Intervals of members: together they are one training; what is kept is used, and what was lost is made again."""

import json
from dataclasses import replace

import pytest
import torch

from scalarization.experiments import Member
from scalarization.training.interval import Intervals
from scalarization.training.loop import Trainer

CPU = torch.device("cpu")
A, B, C = (0.3, 0.7), (0.8, 0.2), (0.5, 0.5)


@pytest.fixture
def intervals(search_of, digits_store, digits_data, one_thread, tmp_path):
    """() -> the intervals (2, 2 and 1 epochs) of the search `evolved`, all in one directory."""
    search = search_of()
    assert search.ends == (2, 4, 5)
    return lambda: Intervals(tmp_path / "checkpoints", search, digits_store.digest, (CPU, digits_data))


def comparable(result):
    return {k: v for k, v in result.items() if k != "seconds"}


@pytest.fixture
def uninterrupted(intervals, digits_data):
    """A run of the same cell under the policy A, B, C."""
    search = intervals().search
    specification = {**search.cell.specification, "policy": [A, A, B, B, C]}
    trainer = Trainer(replace(search.cell, specification=specification), Member(0, search.seed, C), digits_data, CPU)
    while trainer.epoch < 5:
        trainer.train_epoch(lambda: None)
    return trainer


def test_intervals_together_are_one_training(intervals, uninterrupted):
    """Through saved states and in fresh objects, as workers do it; against a run under the policy."""
    for lineage in ((A,), (A, B), (A, B, C)):
        result = intervals().train(lineage)
    found = uninterrupted.validate()
    assert result["by_task"] == [found[task]["accuracy"] for task in ("mnist", "optdigits")]
    assert result["score"] == sum(result["by_task"]) / 2
    assert result["steps"] == uninterrupted.steps_per_epoch


def test_one_model_serves_all_members(intervals):
    """Members and intervals one after the other in one object, as a worker takes them, against fresh objects."""
    order = [(A,), (B,), (A, B), (C,), (B, A), (A, B, C), (B, A, A)]
    fresh = {lineage: comparable(intervals().train(lineage)) for lineage in order}
    own = intervals()
    for file in own.directory.iterdir():
        file.unlink()
    again = {lineage: comparable(own.train(lineage)) for lineage in order}
    assert again == fresh
    assert len({result["loss"] for result in fresh.values()}) == len(order)


def test_a_fraction_of_the_training_set(intervals, digits_data):
    """Half of it: an epoch has half the steps, and only the first half of each domain's rows is ever seen."""
    cell = intervals().search.cell
    assert cell.specification["steps_per_epoch"] == 2
    seen = []
    trainer = Trainer(cell, Member(0, 0, C), digits_data, CPU)
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


def test_what_is_known_is_not_trained_again(intervals, monkeypatch):
    first = intervals().train((A,))
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert intervals().train((A,)) == first
    assert intervals().trained((A,)) == first
    assert intervals().trained((B,)) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "missing"])
def test_a_lost_state_is_made_again(intervals, damage):
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
def test_a_lost_result_is_made_again(intervals, damage):
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
    assert intervals().trained((A,)) is None
    assert comparable(intervals().train((A,))) == comparable(expected)


def test_states_are_dropped_when_nobody_goes_on_from_them(intervals):
    for lineage in ((A,), (B,), (A, B), (A, B, C)):
        intervals().train(lineage)
    own = intervals()
    # Nobody goes on after the last interval.
    assert len(list(own.directory.glob("*.ckpt"))) == 3
    own.drop_states(1)
    assert [f.name[:4] for f in own.directory.glob("*.ckpt")] == ["0002"]
    assert len(list(own.directory.glob("*.json"))) == 4
