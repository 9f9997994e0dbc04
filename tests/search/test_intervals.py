"""Intervals of members: together they are one training; saved results are used, lost ones are trained again."""

import io
import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalarization.plan.cells import Run
from scalarization.search.intervals import Intervals
from scalarization.storage import read_json, write_json
from scalarization.training.loop import Trainer
from scalarization.training.records import read_checkpoint, write_checkpoint
from scalarization.training.state import pack, unpack
from scalarization.weights import WeightSchedule

CPU = torch.device("cpu")
A, B, C = (0.3, 0.7), (0.8, 0.2), (0.5, 0.5)


@pytest.fixture
def intervals(search_of, digits_store, digits_data, one_thread, tmp_path):
    """(**changes) -> the intervals (2, 2 and 1 epochs) of the search `evolved`, all in one directory."""

    def intervals(**changes):
        search = search_of(**changes)
        assert search.interval_ends == (2, 4, 5)
        return Intervals(tmp_path / "checkpoints", search, digits_store.digest, (CPU, digits_data))

    return intervals


def comparable(result):
    return replace(result, seconds=0.0)


def parameters(file):
    """All parameters in a saved state."""
    payload = file.read_bytes()
    payload = payload[payload.index(b"PK") :]  # a zip archive
    state = torch.load(io.BytesIO(payload), weights_only=True)
    return b"".join(tensor.numpy().tobytes() for tensor in state["network"].values())


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
    assert result.by_task == [metrics[task]["accuracy"] for task in ("mnist", "optdigits")]
    assert result.score == sum(result.by_task) / 2
    assert result.steps == uninterrupted.steps_per_epoch


def test_one_model_serves_all_members(intervals):
    """One object trains members and intervals one after the other, as a worker does; the reference are new objects."""
    order = [(A,), (B,), (A, B), (C,), (B, A), (A, B, C), (B, A, A)]
    own = intervals()

    def states():
        return {file.name: parameters(file) for file in own.directory.glob("*.ckpt")}

    fresh = {lineage: comparable(intervals().train(lineage)) for lineage in order}
    expected = states()
    for file in own.directory.iterdir():
        file.unlink()
    assert {lineage: comparable(own.train(lineage)) for lineage in order} == fresh
    assert states() == expected and len({*expected.values()}) == 5


def test_a_fraction_of_the_training_set(intervals, digits_data):
    """With half of it an epoch has half the steps, and only the first half of the rows of each domain is drawn."""
    cell = intervals().search.cell
    assert cell.specification.steps_per_epoch == 2
    seen = []
    trainer = Trainer(cell, Run(0, 0, C), digits_data, CPU)
    batches = digits_data.batches
    try:
        digits_data.batches = lambda rows, *more: seen.append(rows.flatten()) or batches(rows, *more)
        for _ in range(5):
            trainer.train_epoch(lambda: None)
    finally:
        del digits_data.batches
    rows = torch.cat(seen)
    for domain in ("mnist", "optdigits"):
        start, size = digits_data.start(domain, "train"), digits_data.size(domain, "train")
        of = rows[(rows >= start) & (rows < start + size)] - start
        assert len(of) and of.max() < size // 2


def test_saved_intervals_are_not_trained_again(intervals, monkeypatch):
    first = intervals().train((A,))
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert intervals().train((A,)) == first
    assert intervals().known_result((A,)) == first
    assert intervals().known_result((B,)) is None


class Exploit:
    """Unpickling it leaves a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


STATES = {
    "cut": lambda content, other: content[:1000],
    "empty": lambda content, other: b"",
    "flipped": lambda content, other: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    "of another lineage": lambda content, other: other,
    "pickle": lambda content, other: pickle.dumps({"network": 1}),
}


@pytest.mark.parametrize("damage", [*STATES, "missing", "directory"])
def test_a_lost_state_is_trained_again(intervals, damage, caplog):
    expected = [intervals().train(lineage) for lineage in ((A,), (A, B))]
    own = intervals()
    state = own._file((A,), "ckpt")
    for file in (own._file((A, B), "json"), own._file((A, B), "ckpt")):
        file.unlink()
    content = state.read_bytes()
    state.unlink()
    if damage in STATES:
        intervals().train((B,))
        state.write_bytes(STATES[damage](content, own._file((B,), "ckpt").read_bytes()))
    elif damage == "directory":
        state.mkdir()
    assert comparable(intervals().train((A, B))) == comparable(expected[1])
    assert f"{state.name}: " in caplog.text and "the interval is trained again" in caplog.text
    assert state.with_name(f"{state.name}.bad").exists() == (damage != "missing")


@pytest.mark.parametrize("content", ["pickle", "torch", "another network"])
def test_a_whole_state_of_something_else_is_trained_again(intervals, content, tmp_path, caplog):
    """Header and checksum are right: only the content is not what it should be, and no code in it runs."""
    expected = [intervals().train(lineage) for lineage in ((A,), (A, B))]
    own = intervals()
    own._file((A, B), "json").unlink()
    state, trace = own._file((A,), "ckpt"), tmp_path / "trace"
    if content == "pickle":
        payload = pickle.dumps(Exploit(trace))
    elif content == "torch":
        payload = pack({"step": 4, "network": [1, 2]})
    else:
        payload = pack(poisoned(own, (A,), lambda tensor: torch.zeros(tensor.numel() + 1)))
    write_checkpoint(state, own._key((A,)), payload)
    assert comparable(intervals().train((A, B))) == comparable(expected[1])
    assert not trace.exists()
    assert f"{state.name}: no state of this search" in caplog.text


RESULTS = {
    "cut": lambda text: text[:50],
    "empty": lambda text: "",
    "zeros": lambda text: "\0" * len(text),
    "a digit changed": lambda text: text.replace('"steps": 4', '"steps": 5'),
    "no object": lambda text: "[]",
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("damage", [*RESULTS, "directory", "of another search", "other content", "of another lineage"])
def test_a_lost_result_is_trained_again(intervals, damage, caplog):
    expected = intervals().train((A,))
    file = intervals()._file((A,), "json")
    content = read_json(file)
    if damage in RESULTS:
        text = file.read_text()
        file.write_text(RESULTS[damage](text))
        assert file.read_text() != text
    elif damage == "directory":
        file.unlink()
        file.mkdir()
    elif damage == "of another search":
        write_json(file, {**content, "identity": {**content["identity"], "seed": 7}})
    elif damage == "other content":
        write_json(file, {**content, "result": [1]})
    else:
        write_json(file, {**content, "lineage": [list(B)]})
    assert intervals().known_result((A,)) is None
    assert comparable(intervals().train((A,))) == comparable(expected)
    assert f"{file.name}: " in caplog.text and "the interval is trained again; quarantined" in caplog.text


def test_states_from_which_no_member_resumes_are_dropped(intervals):
    for lineage in ((A,), (B,), (A, B), (A, B, C)):
        intervals().train(lineage)
    own = intervals()
    # No member resumes after the last interval.
    assert len(list(own.directory.glob("*.ckpt"))) == 3
    own.drop_states(1)
    assert [f.name[:4] for f in own.directory.glob("*.ckpt")] == ["0002"]
    assert len(list(own.directory.glob("*.json"))) == 4


# --- Divergence ---


def poisoned(own, lineage, change):
    """A saved state with other parameters."""
    state = unpack(read_checkpoint(own._file(lineage, "ckpt"), own._key(lineage)), CPU)
    return {**state, "network": {name: change(tensor) for name, tensor in state["network"].items()}}


def test_a_member_that_diverges(intervals):
    """A learning rate of 1e30 for real: no number of it passes for a result, and nothing more is trained."""
    own = intervals(changes={"recipe": {"lr": 1e30}})
    first = own.train((A,))
    assert first.score == -math.inf and all(map(math.isnan, first.by_task))
    assert first.cause.startswith("step ") and "learning rate is too high" in first.cause
    assert not list(own.directory.glob("*.ckpt"))
    (file,) = own.directory.glob("*.json")
    text = file.read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["result"]["score"] is None
    # The next interval needs no worker, and says that nothing was trained.
    again = intervals(changes={"recipe": {"lr": 1e30}})
    assert str(again.known_result((A,))) == str(first)
    for lineage in ((A, A), (A, A, B)):
        result = again.known_result(lineage)
        assert (result.score, result.steps, result.cause) == (-math.inf, 0, "")
        assert str(again.train(lineage)) == str(result)


@pytest.mark.parametrize("on_divergence", ["stop", "continue"])
def test_after_a_member_that_diverged_a_worker_trains_as_before(intervals, on_divergence):
    """The state of the next member replaces weights, moments and what was noted of the divergence, to the last bit."""
    changes = {"changes": {"recipe": {"on_divergence": on_divergence}}}
    own = intervals(**changes)
    own.train((A,))
    own.train((C,))
    expected, state = own.train((C, B)), parameters(own._file((C, B), "ckpt"))
    for suffix in ("json", "ckpt"):
        own._file((C, B), suffix).unlink()
    nan = poisoned(own, (A,), lambda tensor: torch.full_like(tensor, math.nan))
    write_checkpoint(own._file((A,), "ckpt"), own._key((A,)), pack(nan))

    own = intervals(**changes)
    lost = own.train((A, B))
    assert lost.score == -math.inf and lost.cause
    assert (lost.steps < expected.steps) == (on_divergence == "stop")
    assert comparable(own.train((C, B))) == comparable(expected)
    assert parameters(own._file((C, B), "ckpt")) == state
