"""Records of runs: what is of another run, incomplete or no state at all is set aside; nothing in it is executed."""

import io
import os
import pickle
import types

import pytest
import torch

from scalarization.errors import DataError
from scalarization.plan.cells import Shard
from scalarization.storage import read_json, write_json, write_table
from scalarization.training.conflicts import CountingTrainer
from scalarization.training.job import count_conflicts, train_shards
from scalarization.training.records import RunRecord, read_checkpoint, write_checkpoint

from .conftest import GRID, SINGLE

ROWS = (
    {"epoch": 2, "split": "batches", "task": "average", "metric": "loss", "value": 2.0},
    {"epoch": 3, "split": "batches", "task": "average", "metric": "loss", "value": 1.0},
    *(
        {"epoch": epoch, "split": split, "task": task, "metric": metric, "value": 50.0}
        for epoch, split, tasks in (
            (2, "train_subset", ("mnist", "optdigits")),
            (2, "validation", ("mnist", "optdigits")),
            (3, "train_subset", ("mnist", "optdigits")),
            (3, "train", ("mnist", "optdigits")),
            (3, "validation", ("mnist", "optdigits")),
            (3, "test", ("mnist", "optdigits")),
        )
        for task in tasks
        for metric in ("accuracy", "loss")
    ),
)


def without(rows, **columns):
    return [row for row in rows if any(row[name] != value for name, value in columns.items())]


def changed(rows, **columns):
    return [*rows[:-1], {**rows[-1], **columns}]


#: Rows that are not those of the run, and what is said of them.
UNFIT = {
    "none": ([], "lacks 'average' on batches at epoch 2"),
    "an epoch missing": (without(ROWS, epoch=2), "lacks 'average' on batches at epoch 2"),
    "the last epoch missing": (without(ROWS, epoch=3), "lacks 'average' on batches at epoch 3"),
    "a task missing": (without(ROWS, task="mnist"), "lacks 'mnist' on train_subset at epoch 2"),
    "a task of a split missing": (without(ROWS, split="test", task="mnist"), "lacks 'mnist' on test at epoch 3"),
    "another task": ([*ROWS, {**ROWS[-1], "task": "mfeat"}], "has an unplanned evaluation: 'mfeat' on test at epoch 3"),
    "another epoch": ([*ROWS, {**ROWS[-1], "epoch": 1}], "has an unplanned evaluation: 'optdigits' on test at epoch 1"),
    "every row twice": ([*ROWS, *ROWS], "has 'average' on batches at epoch 2 twice"),
    "a row twice": ([*ROWS, ROWS[-1]], "has 'optdigits' on test at epoch 3 twice"),
    "a metric missing": (
        without(ROWS, split="test", task="mnist", metric="accuracy"),
        "lacks accuracy of 'mnist' on test at epoch 3",
    ),
    "no metric of quality": (without(ROWS, metric="accuracy"), "has no metric of quality (accuracy or l1)"),
    "text for a number": (changed(ROWS, value="50"), "has values that are no numbers"),
    "null for a number": (changed(ROWS, value=None), "has values that are no numbers"),
    "no rows but numbers": ([1, 2], "has rows without their columns"),
    "a column missing": ([{k: v for k, v in ROWS[0].items() if k != "split"}, *ROWS[1:]], "without their columns"),
    "a list for a task": (changed(ROWS, task=["mnist"]), "has rows without their columns"),
}


@pytest.fixture
def record(make_plan, tiny, tmp_path):
    """Record of a run of the grid."""
    cell = make_plan(tiny).cells[GRID]
    return RunRecord(tmp_path / "checkpoints", cell, cell.runs[0], "data", "code")


def finish(record, rows=ROWS, /, **changes):
    record.finish(list(rows), {"seconds": 1.0, "images": 1}, {"device": "cpu"}, {}, {})
    if changes:
        write_json(record.finished_file, {**read_json(record.finished_file), **changes})


def quarantined(record):
    return sorted(file.name for file in record.directory.glob("*.bad"))


def test_what_was_finished_is_read(record):
    assert record.finished() is None and record.peek() is None
    finish(record)
    assert record.finished()["rows"] == record.peek()["rows"] == list(ROWS)
    finish(record, changed(ROWS, value=float("nan")))  # of a run that diverged
    assert record.finished() is not None and not quarantined(record)


@pytest.mark.parametrize("unfit", UNFIT)
def test_rows_that_do_not_fit_the_run(record, caplog, unfit):
    rows, reason = UNFIT[unfit]
    finish(record, rows)
    before = record.finished_file.read_bytes()
    assert record.peek() is None and record.finished_file.read_bytes() == before
    assert record.finished() is None and quarantined(record) == ["finished.json.bad"]
    (message,) = caplog.messages
    assert message.startswith(f"{record.finished_file}: ") and reason in message
    assert message.endswith("; quarantined as finished.json.bad")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": {}}, "belongs to another run"),
        ({"rows": None}, "incomplete"),
        ({"environment": "cpu"}, "incomplete"),
        ({"timing": []}, "incomplete"),
        ({"diverged": 1}, "incomplete"),
    ],
)
def test_records_of_another_run_or_incomplete_ones(record, caplog, changes, reason):
    finish(record, **changes)
    assert record.finished() is None and quarantined(record) == ["finished.json.bad"] and reason in caplog.text


def test_a_directory_in_the_place_of_a_record(record, caplog):
    record.finished_file.mkdir(parents=True)
    (record.directory / "step_000000001.ckpt").mkdir()
    assert record.finished() is None and not list(record.checkpoints())
    assert quarantined(record) == ["finished.json.bad", "step_000000001.ckpt.bad"]
    assert caplog.text.count("not readable: [Errno 21] Is a directory") == 2


def test_a_record_that_cannot_be_set_aside_is_named(record):
    finish(record, ROWS[1:])
    (record.directory / "finished.json.bad" / "full").mkdir(parents=True)
    with pytest.raises(DataError, match=r"finished\.json: lacks .*; could not be renamed: .*Remove it, then run again"):
        record.finished()


def test_a_finished_run_leaves_neither_checkpoints_nor_what_killed_writers_left(record):
    record.save(3, b"state")
    cut_off = record.directory / ".step_000000004.ckpt.x.part"
    cut_off.write_bytes(b"cut off")
    finish(record)
    assert [f.name for f in record.directory.iterdir()] == [record.finished_file.name]


def test_leftovers_that_cannot_be_removed_do_not_matter(record, caplog):
    finish(record)
    (record.directory / "step_000000001.ckpt" / "full").mkdir(parents=True)
    assert record.finished()["rows"] == list(ROWS)
    assert "step_000000001.ckpt: no longer needed, could not be removed" in caplog.text


def test_other_files_are_no_checkpoints(record):
    record.save(7, b"state")
    for name in ("step_x.ckpt", "step_8.ckpt", "step_000000009.ckpt.bad"):
        (record.directory / name).write_bytes(b"")
    assert [payload for _, payload in record.checkpoints()] == [b"state"] and record.newest_step() == 7
    assert quarantined(record) == ["step_000000009.ckpt.bad"]


def test_conflict_counts_that_do_not_fit_the_run(make_plan, tiny, prepare_store, caplog):
    tiny["conflicts"] = {
        "pair": {k: tiny["experiments"]["pair"][k] for k in ("benchmark", "task_sets", "architectures", "seeds")}
    }
    plan = make_plan(tiny)
    prepare_store(plan, "digits")
    (cell,) = plan.counted.values()
    count_conflicts(plan, [cell], None)
    (file,) = plan.paths.checkpoints.glob("*/finished.json")
    whole = read_json(file)
    damage = {
        "is not of epochs 1 to 3": lambda rows: rows[:-1],
        "is not of 2 tasks": lambda rows: [{**row, "norm": [1.0]} for row in rows],
        "has values that are no numbers": lambda rows: [{**row, "train_loss": None} for row in rows],
        "has rows without their columns": lambda rows: [{"epoch": row["epoch"]} for row in rows],
    }
    for reason, change in damage.items():
        write_json(file, {**whole, "rows": change(whole["rows"])})
        caplog.clear()
        count_conflicts(plan, [cell], None)
        assert f"finished.json: {reason}; quarantined as" in caplog.text
        assert read_json(file)["rows"] == whole["rows"]


# --- Checkpoints that are undamaged, of the run, and still no state of it ---


class Bomb:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("bomb",)


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def scripted():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    return buffer.getvalue()


def edited(**changes):
    """(state's content) -> the same with some entries changed; None removes one."""
    return lambda state: saved({k: v for k, v in {**state, **changes}.items() if v is not None})


def with_optimizer(change):
    def with_optimizer(state):
        optimizer = state["optimizer"]
        optimizer["state"] = {number: change(kept) for number, kept in optimizer["state"].items()}
        return saved({**state, "optimizer": optimizer})

    return with_optimizer


#: (content of a state) -> bytes.
NO_STATES = {
    "nothing": lambda state: b"",
    "text": lambda state: b"not a state",
    "a pickle": lambda state: pickle.dumps(state["rows"]),
    "a pickle that runs code": lambda state: pickle.dumps(Bomb()),
    "a pickle that runs code within a state": lambda state: saved({**state, "rows": [Bomb()]}),
    "a module": lambda state: saved(torch.nn.Linear(1, 1)),
    "a TorchScript archive": lambda state: scripted(),
    "another object in the format of old": lambda state: saved([1], _use_new_zipfile_serialization=False),
    "a cut archive": lambda state: saved(state)[:-100],
    "a list": lambda state: saved([state]),
    **{
        f"{name} missing": edited(**{name: None})
        for name in ("step", "consumed", "network", "optimizer", "rows", "loss", "watch", "method_step")
    },
    **{
        f"text for {name}": edited(**{name: "text"})
        for name in ("step", "consumed", "network", "optimizer", "rows", "loss", "watch", "method_step")
    },
    "a further entry": edited(more=1),
    "a step after the last": edited(step=10**6),
    "a step before the first": edited(step=-1),
    "counts of another number of domains": edited(consumed=[1]),
    "a sum that is a vector": edited(loss={"sum": torch.zeros(2, dtype=torch.float64), "steps": 1}),
    "a divergence that is another's": edited(watch={"step": 1}),
    "rows that are numbers": edited(rows=[1]),
    "a method's state": edited(method_step={"counts": 1}),
    "a network of other shapes": lambda state: saved(
        {**state, "network": {k: v[..., :1] for k, v in state["network"].items()}}
    ),
    "a network of other numbers": lambda state: saved(
        {**state, "network": {k: v.half() for k, v in state["network"].items()}}
    ),
    "a network without a layer": lambda state: saved({**state, "network": dict(list(state["network"].items())[1:])}),
    "an optimiser without groups": lambda state: saved({**state, "optimizer": {"state": {}, "param_groups": []}}),
    "an optimiser without entries": lambda state: saved({**state, "optimizer": {}}),
    "an optimiser of another kind": with_optimizer(lambda kept: {"momentum_buffer": kept["exp_avg"]}),
    "an optimiser of other shapes": with_optimizer(lambda kept: {**kept, "exp_avg": torch.zeros(3)}),
    "an optimiser with numbers": with_optimizer(lambda kept: {**kept, "exp_avg": 1.0}),
}


@pytest.fixture
def trainer(tiny, trainer_of, train):
    """A run that was left after its fifth step."""
    return train(trainer_of(tiny), until=5)


@pytest.mark.filterwarnings("ignore")  # torch deprecates some of these formats
@pytest.mark.parametrize("payload", NO_STATES)
def test_no_state_of_the_run(trainer, tiny, trainer_of, payload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    with pytest.raises(ValueError) as raised:
        trainer_of(tiny).load_state(NO_STATES[payload](content))
    assert "\n" not in str(raised.value).strip() and not (tmp_path / "bomb").exists()


def test_a_state_in_the_format_of_old_is_a_state(trainer, tiny, trainer_of):
    content = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    fresh = trainer_of(tiny)
    fresh.load_state(saved(content, _use_new_zipfile_serialization=False))
    assert fresh.step == 5


@pytest.mark.parametrize("method", ["dwa", "famo", "uncertainty", "nash_mtl", "rotograd", "cagrad"])
def test_states_of_another_method(tiny, trainer_of, train, method):
    tiny["experiments"]["pair"]["methods"] = {"single": {}, "uniform": {}, method: {}}
    uniform, other = (GRID.replace("grid", name) for name in ("uniform", method))
    states = {name: train(trainer_of(tiny, cell=name), until=5).state() for name in (uniform, other)}
    for name, foreign in ((uniform, other), (other, uniform)):
        with pytest.raises(ValueError):
            trainer_of(tiny, cell=name).load_state(states[foreign])
        trainer_of(tiny, cell=name).load_state(states[name])
    content = torch.load(io.BytesIO(states[other]), weights_only=True)
    for changes in ([], [1, 2], [{}, {}, {}], [content["method"][0], 1]):
        with pytest.raises(ValueError):
            trainer_of(tiny, cell=other).load_state(saved({**content, "method": changes}))


def test_counts_of_another_number_of_tasks(tiny, make_plan, digits_data, one_thread):
    tiny["conflicts"] = {
        "pair": {k: tiny["experiments"]["pair"][k] for k in ("benchmark", "task_sets", "architectures", "seeds")}
    }
    (cell,) = make_plan(tiny).counted.values()
    trainer = CountingTrainer(cell, cell.runs[0], digits_data, torch.device("cpu"))
    content = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    trainer.load_state(saved(content))
    content["method_step"]["norm"] = torch.zeros(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"method_step\.norm is torch\.float64 \[3\], not torch\.float64 \[2\]"):
        trainer.load_state(saved(content))


def test_memory_that_runs_out_says_nothing_about_a_state(trainer, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("no room")

    state = trainer.state()
    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.load_state(state)
    monkeypatch.undo()
    monkeypatch.setattr(trainer.network, "load_state_dict", full)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.load_state(state)


@pytest.mark.usefixtures("one_thread")
def test_a_job_goes_on_from_the_newest_state_that_fits(tiny, make_plan, digits_directory, caplog, trainer_of, train):
    """Four checkpoints with the right checksums and key, of which the second oldest is a state of the run."""
    plan = make_plan(tiny)
    store = plan.paths.store_file("digits").parent
    store.parent.mkdir(parents=True)
    store.symlink_to(digits_directory)
    shard = Shard(plan.cells[SINGLE])
    train_shards(plan, [shard], None)
    (finished,) = plan.paths.checkpoints.glob("*/finished.json")
    expected = read_json(finished)["rows"]
    record = types.SimpleNamespace(directory=finished.parent, key=finished.parent.name)
    finished.unlink()

    trainer = train(trainer_of(tiny, cell=SINGLE), until=5)
    content = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    payloads = [b"junk", trainer.state(), pickle.dumps(Bomb()), edited(network=None)(content)]
    for step, payload in enumerate(payloads, 1):
        write_checkpoint(record.directory / f"step_{step:09d}.ckpt", record.key, payload)
        assert read_checkpoint(record.directory / f"step_{step:09d}.ckpt", record.key) == payload
    caplog.set_level("INFO")
    train_shards(plan, [shard], None)
    assert read_json(finished)["rows"] == expected
    assert quarantined(record) == ["step_000000003.ckpt.bad", "step_000000004.ckpt.bad"]
    assert "not a state of this program (UnpicklingError); quarantined as step_000000003.ckpt.bad" in caplog.text
    assert "state has other entries: network; quarantined as step_000000004.ckpt.bad" in caplog.text
    assert "resuming from step 5" in caplog.text


def test_predictions_of_another_run_are_not_used(make_plan, tiny, tmp_path, caplog):
    """Rows that would fit, undamaged, in the place of another run's predictions."""
    from .test_examples import PRESET

    plan = make_plan(PRESET)
    (cell,) = (cell for cell in plan.cells.values() if cell.method == "grid")
    first, second = (RunRecord(tmp_path / "checkpoints", cell, run, "data", "code") for run in cell.runs)
    rows = [{"example": 0, "content": "image", "task": None, "shape": [1, 1, 3], "values": [0.0, 1.0, 2.0]}]
    for record in (first, second):
        record.write_examples(rows)
    evaluations = [dict(zip(("epoch", "split", "task"), e, strict=True)) for e in cell.evaluations]
    evaluations = [
        {**e, "metric": metric, "value": 1.0}
        for e in evaluations
        for metric in (("loss",) if e["split"] == "batches" else ("l1", "l1_constant"))
    ]
    finish(first, evaluations)
    assert first.finished() and first.read_examples().to_pylist() == rows
    file = first.directory / "examples.parquet"
    file.write_bytes((second.directory / "examples.parquet").read_bytes())
    assert first.finished() is None and quarantined(first) == ["examples.parquet.bad"]
    write_table(file, first_table := second.read_examples(), {"identity": first.identity})
    assert first.finished() and first.read_examples().equals(first_table)
    file.unlink()
    assert first.finished() is None and quarantined(first) == ["examples.parquet.bad"]
    assert caplog.text.count("belongs to another run; quarantined as examples.parquet.bad") == 1
