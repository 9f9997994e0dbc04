"""A run that diverged does not pass for a good one: its metrics are NaN, it is reported once, other runs go on.

As in ray issue 8671: `emoji_people` at a learning rate of 1e30 had the accuracy of a healthy run, because the largest
of NaN logits is that of class 0, and NaN is not above 0.
"""

import copy
import dataclasses
import json
import logging
import math
import signal
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.append(str(Path(__file__).resolve().parents[1]))

import dense_data

from scalarization import analysis, methods, tables
from scalarization.architectures import Architecture
from scalarization.config import DenseOptions, ResNetOptions, ViTOptions
from scalarization.data.dense import DenseDeviceData
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import StoppedError
from scalarization.methods.base import GradientMethod
from scalarization.plan.cells import Profile
from scalarization.plotting.labels import TIMES
from scalarization.specification import AttributeOutputs, DenseOutputs, DomainOutputs
from scalarization.storage import read_conflict_file, read_metadata, read_run_file
from scalarization.training.conflicts import CountingTrainer
from scalarization.training.divergence import ROWS, FirstBadStep
from scalarization.training.gradients import Batch
from scalarization.training.job import count_conflicts, train_shards
from scalarization.training.loop import Trainer
from scalarization.training.merging import merge_shards
from scalarization.training.objectives import AttributeObjective, DenseObjective, DomainObjective
from scalarization.training.profile import measure, measure_profile

from ..conftest import recipe, train
from ..training.conftest import GRID, TRAINED, make_cell, parameters, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
GROUPS = {"gender": ("male", "female"), "role": ("job", "fantasy"), "subject": ("portrait", "hand", "body_part")}
DIGITS = ("mnist", "optdigits", "mfeat")
MAPS = {"deep": 1, "plain": 2}
SETTINGS = ("attributes", "domains", "dense")
STEPS, EPOCHS = 2, 3
BAD = (math.nan, math.inf, -math.inf)
#: At this learning rate every weight is far off after the first step.
WILD = {"lr": 1e30}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stores")
    prepare(directory / "people", "emoji_people", ["people"], directory)
    prepare(directory / "digits", "digits", list(DIGITS), directory)
    people, digits = (Store(directory / name / "dataset.json") for name in ("people", "digits"))
    return {"attributes": people, "domains": digits, "dense": dense_data.write(directory / "dense")}


@pytest.fixture(scope="module")
def data(stores):
    """Setting -> images."""
    return {
        "attributes": DeviceData(stores["attributes"], ["people"], CPU),
        "domains": DeviceData(stores["domains"], list(DIGITS), CPU),
        "dense": DenseDeviceData(stores["dense"], ["plain", "deep"], CPU),
    }


@pytest.fixture
def cell_of(stores):
    """(setting, method, count_every=None, resnet=False, **recipe) -> a cell of three epochs of two steps."""

    def cell_of(setting, method="uniform", count_every=None, resnet=False, **changes):
        batch = {"batch_size": 3 if setting == "dense" else 24, "augmentation": {"crop_padding": 1}}
        settings = recipe(**{**batch, **changes})
        architecture = Architecture("vit", 2, 8)
        model = ViTOptions(patch=16 if setting == "attributes" else 8, heads=2, mlp_ratio=2, drop_path=0.2)
        if resnet:
            architecture, model = Architecture("resnet", 14, 32), ResNetOptions(stem="deep", channels=8)
        if setting == "dense":
            architecture, model = Architecture("dense", 26, 4, 2), DenseOptions(channels=16)
            tasks, outputs = MAPS, DenseOutputs(MAPS, ("random",))
        elif setting == "attributes":
            labels = tuple(stores[setting].metadata["attributes"])
            tasks, outputs = GROUPS, AttributeOutputs(labels, GROUPS, ("people",))
        else:
            tasks, outputs = DIGITS, DomainOutputs(10, DIGITS)
        cell = make_cell(tasks, architecture, model, outputs, settings, method, STEPS, count_every=count_every)
        return dataclasses.replace(cell, specification=dataclasses.replace(cell.specification, epochs=EPOCHS))

    return cell_of


@pytest.fixture
def trainer_of(cell_of, data):
    """(setting, method, kind=Trainer, **as for cell_of) -> a fresh trainer."""

    def trainer_of(setting, method="uniform", kind=Trainer, **changes):
        cell = cell_of(setting, method, **changes)
        return kind(cell, uniform_run(cell), data[setting], CPU)

    return trainer_of


@pytest.fixture(autouse=True)
def terminal(caplog):
    """Collects messages that the terminal gets."""
    caplog.set_level(logging.INFO)
    return lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def values_by_epoch(trainer):
    by_epoch = {}
    for row in trainer.rows:
        by_epoch.setdefault(row["epoch"], []).append(row["value"])
    return by_epoch


def finite_epochs(trainer):
    """Epochs whose values are all finite; all of the other epochs' values are NaN."""
    by_epoch = values_by_epoch(trainer)
    assert list(by_epoch) == list(range(1, EPOCHS + 1))
    finite = {epoch for epoch, values in by_epoch.items() if all(map(math.isfinite, values))}
    assert all(math.isnan(value) for epoch in by_epoch.keys() - finite for value in by_epoch[epoch])
    return finite


def before_step(trainer, number, change):
    """Call `change(batch)` before step `number` (from 1) of a trainer is computed."""
    step = trainer.method_step

    class Changed(type(step)):
        def __call__(self, batch, *arguments):
            if trainer.step + 1 == number:
                change(batch)
            return super().__call__(batch, *arguments)

    step.__class__ = Changed


def poison(tensor, value=math.nan):
    with torch.no_grad():
        tensor.view(-1)[0] = value


def infinite_loss_at(trainer, number):
    """The loss of a step is infinite, but not its gradient: the weights stay as they are in another run."""
    objective, part_loss = trainer.objective, trainer.objective.part_loss

    def changed(*arguments):
        loss = part_loss(*arguments)
        return loss + math.inf if trainer.step + 1 == number else loss

    objective.part_loss = changed


# --- Whatever is trained, however ---


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["uniform", *TRAINED])
def test_no_value_of_a_wild_run_is_a_number(trainer_of, terminal, setting, method):
    trainer = train(trainer_of(setting, method, **WILD))
    assert not finite_epochs(trainer)
    assert trainer.trained_steps == STEPS and trainer.step == STEPS * EPOCHS
    (warning,) = terminal()
    assert warning.startswith(f"{trainer.cell.name} (p ") and "seed 0): diverged at step 2 of 6: " in warning
    assert "learning rate is too high (lr: 1e+30)" in warning and "on_divergence: stop" in warning
    assert trainer.diverged.step == 2 and trainer.diverged.cause in warning
    rows = [row for row in trainer.examples() if row["content"] == "prediction"]
    assert (setting == "dense") == bool(rows) and all(math.isnan(v) for row in rows for v in row["values"])


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 3},
        {"precision": "bfloat16"},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.0},
        {"resnet": True},
        {"eval_every": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["uniform", "uncertainty", "cagrad"])
def test_no_value_of_a_wild_run_is_a_number_with_other_recipes(trainer_of, terminal, method, changes):
    changes |= {"resolve": "micro"} if "accumulate" in changes else {}
    trainer = train(trainer_of("domains", method, **WILD, **changes))
    assert trainer.rows and all(math.isnan(row["value"]) for row in trainer.rows)
    assert len(terminal()) == 1 and ("precision: float32" in terminal()[0]) == ("precision" in changes)


def test_no_value_of_a_compiled_wild_run_is_a_number(trainer_of, terminal, monkeypatch):
    """Traced as in a real run, executed op by op."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: real(network, backend="eager"))
    trainer = train(trainer_of("attributes", compile=True, **WILD))
    assert trainer.forward is not trainer.network and not finite_epochs(trainer) and len(terminal()) == 1


@pytest.mark.parametrize("setting", SETTINGS)
def test_continue_trains_on(trainer_of, terminal, setting):
    trainer = train(trainer_of(setting, on_divergence="continue", **WILD))
    assert not finite_epochs(trainer) and trainer.trained_steps == STEPS * EPOCHS
    assert len(terminal()) == 1 and "training continues" in terminal()[0]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", ["uniform", "uncertainty", "pcgrad", "rotograd"])
def test_healthy_runs_are_silent(trainer_of, terminal, setting, method):
    trainer = train(trainer_of(setting, method))
    assert finite_epochs(trainer) == {1, 2, 3} and trainer.diverged is None and not terminal()


# --- What was not finite, and when ---


@pytest.mark.parametrize("on_divergence", ["stop", "continue"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_infinite_loss_that_recovers(trainer_of, terminal, setting, on_divergence):
    healthy = train(trainer_of(setting))
    trainer = trainer_of(setting, on_divergence=on_divergence)
    infinite_loss_at(trainer, 3)
    train(trainer)
    (warning,) = terminal()
    assert "diverged at step 3 of 6: the loss is not finite" in warning
    if on_divergence == "stop":
        assert finite_epochs(trainer) == {1} and trainer.trained_steps == 4
        assert trainer.diverged.step == 3
    else:
        assert finite_epochs(trainer) == {1, 3} and trainer.diverged is None
        assert values_by_epoch(trainer)[3] == values_by_epoch(healthy)[3]
        assert torch.equal(parameters(trainer), parameters(healthy))
    assert values_by_epoch(trainer)[1] == values_by_epoch(healthy)[1]


def test_an_epoch_that_is_not_evaluated_does_not_spoil_the_next(trainer_of):
    """The mean loss begins anew after it; all else of the third epoch is its own."""
    trainer = trainer_of("domains", eval_every=3, on_divergence="continue")
    infinite_loss_at(trainer, 3)
    train(trainer)
    every = train(trainer_of("domains"))
    assert [r["value"] for r in trainer.rows] == values_by_epoch(every)[3]


@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_gradient_is_named(trainer_of, terminal, number):
    """A forward pass as ever, and NaN on the way back."""
    trainer = trainer_of("domains")
    head = trainer.network.head.weight
    before_step(trainer, number, lambda batch: handles.append(head.register_hook(lambda grad: grad * math.nan)))
    first = next(trainer.network.parameters())
    before_step(trainer, number, lambda batch: handles.append(first.register_hook(lambda grad: grad * math.nan)))
    handles = []
    train(trainer)
    assert finite_epochs(trainer) == set(range(1, (number - 1) // STEPS + 1))
    assert f"diverged at step {number} of 6: the gradient is not finite" in terminal()[0]


@pytest.mark.parametrize("number", [1, 2, 6])
def test_gradient_elsewhere_is_found_by_the_weights(trainer_of, terminal, number):
    """Of the last layer alone, at any step: the weight is NaN for good."""
    trainer = trainer_of("domains")
    head = trainer.network.head.bias
    before_step(trainer, number, lambda batch: head.register_hook(lambda grad: grad * math.nan))
    train(trainer)
    assert finite_epochs(trainer) == set(range(1, (number - 1) // STEPS + 1))
    # At an epoch's last step no loss follows that could tell.
    finding = "the loss is" if number == 1 else "a weight or a moment of the optimiser is"
    assert f"diverged at step {number + (number == 1)} of 6: {finding} not finite" in terminal()[0]


def test_moments_of_the_optimiser_are_looked_at(trainer_of, terminal):
    """The square of a gradient overflows: all is finite but this moment of AdamW, and the weight never moves again."""
    trainer = trainer_of("domains")
    head = trainer.network.head.bias
    before_step(trainer, 4, lambda batch: head.register_hook(lambda grad: torch.full_like(grad, 1e25)))
    train(trainer)
    assert finite_epochs(trainer) == {1} and torch.isfinite(parameters(trainer)).all()
    assert "a weight or a moment of the optimiser is not finite" in terminal()[0]


@pytest.mark.parametrize("bad", BAD)
def test_first_step_points_to_the_data(trainer_of, terminal, bad):
    trainer = trainer_of("attributes")
    before_step(trainer, 1, lambda batch: poison(batch.images, bad))
    train(trainer)
    assert not finite_epochs(trainer)
    assert "diverged at step 1 of 6: the loss is not finite; likely cause: the images" in terminal()[0]


@pytest.mark.parametrize("method", ["uncertainty", "pcgrad", "rotograd"])
def test_task_is_named(trainer_of, terminal, method):
    trainer = trainer_of("attributes", method)
    losses = trainer.objective.task_losses
    trainer.objective.task_losses = lambda *arguments: losses(*arguments) * torch.tensor([1.0, math.inf, 1.0])
    train(trainer)
    assert not finite_epochs(trainer)
    assert "diverged at step 1 of 6: the loss of task 'role' is not finite" in terminal()[0]


@pytest.mark.parametrize("method", ["uncertainty", "imtl_l"])
def test_weights_that_a_method_learns_may_be_the_cause(trainer_of, terminal, method):
    """exp(-s) and exp(s) overflow, though all losses are finite."""
    trainer = trainer_of("attributes", method)
    before_step(
        trainer, 3, lambda batch: poison(next(trainer.method.parameters()), 1e3 if method == "imtl_l" else -1e3)
    )
    train(trainer)
    assert finite_epochs(trainer) == {1}
    expected = f"diverged at step 3 of 6: the scalarized loss is not finite; likely cause: method '{method}'"
    assert expected in terminal()[0]


def test_logits_that_famo_learns_may_be_the_cause(trainer_of, terminal):
    trainer = trainer_of("attributes", "famo")
    before_step(trainer, 3, lambda batch: poison(next(trainer.method.parameters())))
    train(trainer)
    assert finite_epochs(trainer) == {1}
    assert "likely cause: method 'famo'" in terminal()[0]


def test_gradient_that_a_method_makes_of_finite_ones(trainer_of, terminal, monkeypatch):
    class Overflowing(GradientMethod):
        def forward(self, jacobian):
            return jacobian.mean(0) / 0

    info = dataclasses.replace(methods.load("pcgrad"), build=lambda *_: Overflowing())
    monkeypatch.setattr(methods, "load", lambda name: info)
    trainer = train(trainer_of("domains", "pcgrad"))
    assert not finite_epochs(trainer)
    assert "the gradient is not finite; likely cause: method 'pcgrad'" in terminal()[0]


def test_gradient_that_a_method_hides(trainer_of, terminal, monkeypatch):
    """A method that makes finite numbers of NaN does not hide it."""

    class Hiding(GradientMethod):
        def forward(self, jacobian):
            return jacobian.nan_to_num(0.0, 0.0, 0.0).mean(0)

    info = dataclasses.replace(methods.load("pcgrad"), build=lambda *_: Hiding())
    monkeypatch.setattr(methods, "load", lambda name: info)
    trainer = trainer_of("domains", "pcgrad")
    row = trainer.method_step.task_gradients.add

    def add(batch, jacobian, losses):
        row(batch, jacobian, losses)
        jacobian[1] *= math.nan

    trainer.method_step.task_gradients.add = add
    train(trainer)
    assert not finite_epochs(trainer) and torch.isfinite(parameters(trainer)).all()
    assert "diverged at step 1 of 6: the gradient of task 'optdigits' is not finite" in terminal()[0]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("on_divergence", ["stop", "continue"])
def test_predictions_in_evaluation(trainer_of, terminal, bad, on_divergence):
    """All steps are finite; one image of validation is not, at the second epoch."""
    trainer = trainer_of("domains", on_divergence=on_divergence)

    def spoil(module, images, logits):
        if not module.training and trainer.epoch == 2:
            logits[-1, 3] = bad
        return logits

    trainer.network.register_forward_hook(spoil)
    train(trainer)
    assert finite_epochs(trainer) == ({1} if on_divergence == "stop" else {1, 3})
    assert "diverged at step 4 of 6: a prediction or a loss on train_subset of 'mnist' is not finite" in terminal()[0]


def test_running_statistics_are_looked_at(trainer_of, terminal):
    """They have no influence on training, only on evaluation."""
    trainer = trainer_of("domains", resnet=True)
    (statistics, *_) = [buffer for name, buffer in trainer.network.named_buffers() if "running_var" in name]
    before_step(trainer, 3, lambda batch: poison(statistics, math.inf))
    train(trainer)
    assert finite_epochs(trainer) == {1} and len(terminal()) == 1


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("row", [0, -1])
def test_one_bad_prediction_makes_all_metrics_nan(stores, data, setting, bad, row):
    """Of the first or the last image, as a number at which a metric would not show it."""
    objective = {
        "attributes": lambda: AttributeObjective("people", GROUPS, stores[setting].metadata["attributes"]),
        "domains": lambda: DomainObjective(DIGITS, 10),
        "dense": lambda: DenseObjective("random", MAPS),
    }[setting]()
    domain = objective.domains[0]
    start, size = data[setting].start(domain, "test"), data[setting].size(domain, "test")
    images = data[setting].only(list(MAPS)) if setting == "dense" else data[setting]
    seen = []

    def network(batch, spoiled):
        if setting == "dense":
            predictions = tuple(torch.zeros(len(batch), c, *batch.shape[2:]) for c in MAPS.values())
        else:
            predictions = torch.zeros(len(batch), objective.outputs)
        seen.append(len(batch))
        is_there = sum(seen) == size if row == -1 else len(seen) == 1
        if spoiled and is_there:
            part = predictions[1] if setting == "dense" else predictions
            part[row].view(-1)[-1] = bad
        return predictions

    healthy = objective.evaluate(lambda batch: network(batch, False), images, domain, start, size)
    assert healthy.finite and all(math.isfinite(v) for m in healthy.metrics.values() for v in m.values())
    seen.clear()
    bad_one = objective.evaluate(lambda batch: network(batch, True), images, domain, start, size)
    assert sum(seen) == size and not bad_one.finite
    assert bad_one.metrics.keys() == healthy.metrics.keys()
    for task, metrics in bad_one.metrics.items():
        assert metrics.keys() == healthy.metrics[task].keys() and all(map(math.isnan, metrics.values()))


def test_loss_that_overflows_though_all_logits_are_finite(data):
    largest = torch.finfo(torch.float32).max
    network = lambda batch: torch.tensor([largest] + [-largest] * 9).expand(len(batch), 10)  # noqa: E731
    start, size = data["domains"].start("mnist", "test"), data["domains"].size("mnist", "test")
    evaluation = DomainObjective(DIGITS, 10).evaluate(network, data["domains"], "mnist", start, size)
    assert not evaluation.finite and math.isnan(evaluation.metrics["mnist"]["accuracy"])


def test_bad_prediction_at_an_unknown_pixel_is_found(data):
    """No error is computed there, and no NaN would show."""
    images, objective = data["dense"].only(["deep", "plain"]), DenseObjective("random", MAPS)
    start, size = images.start("random", "test"), images.size("random", "test")
    (_, labels), *_ = images.evaluation_batches(start, size, 32)
    unknown = labels.isnan()
    assert unknown[:, :1].any()

    def network(batch):
        maps = torch.zeros_like(labels)
        maps[unknown] = math.nan
        return maps[:, :1], maps[:, 1:]

    evaluation = objective.evaluate(network, images, "random", start, size)
    assert not evaluation.finite and math.isnan(evaluation.metrics["deep"]["l1"])


# --- Resuming ---


@pytest.mark.parametrize("on_divergence", ["stop", "continue"])
@pytest.mark.parametrize("method", ["uniform", "uncertainty"])
@pytest.mark.parametrize("changes", [WILD, {}], ids=["wild", "once"])
def test_resumed_at_any_step_equals_uninterrupted(trainer_of, terminal, caplog, method, on_divergence, changes):
    def fresh():
        trainer = trainer_of("domains", method, on_divergence=on_divergence, **changes)
        if not changes and method == "uniform":
            infinite_loss_at(trainer, 3)
        elif not changes:
            before_step(trainer, 3, lambda batch: poison(next(trainer.method.parameters()), -1e3))
        return trainer

    whole = train(fresh())
    assert len(terminal()) == 1
    for step in range(1, STEPS * EPOCHS):
        caplog.clear()
        left = train(fresh(), until=step)
        resumed = fresh()
        resumed.load_state(left.state())
        train(resumed)
        assert json.dumps(resumed.rows) == json.dumps(whole.rows)
        assert resumed.watch.first == whole.watch.first and resumed.diverged == whole.diverged
        torch.testing.assert_close(parameters(resumed), parameters(whole), rtol=0, atol=0, equal_nan=True)
        assert left.trained_steps + resumed.trained_steps == whole.trained_steps
        assert len(terminal()) == 1  # by one of the two


def test_a_trainer_that_diverged_can_take_a_healthy_state(trainer_of):
    """As the workers of a search do, which have one trainer for all members."""
    healthy = trainer_of("domains")
    initial = healthy.state()
    train(healthy)
    trainer = trainer_of("domains")
    trainer.load_state(initial)
    infinite_loss_at(trainer, 1)
    train(trainer)
    assert not finite_epochs(trainer)
    del trainer.objective.part_loss
    trainer.load_state(initial)
    assert not trainer.stopped and trainer.watch.first is None
    train(trainer)
    assert trainer.rows == healthy.rows and all(
        math.isfinite(v) for m in trainer.validate().values() for v in m.values()
    )


# --- Nobody waits for the device ---


@pytest.mark.parametrize("setting", ["attributes", "domains", "dense"])
def test_steps_read_nothing_from_the_device(trainer_of, setting):
    """On a GPU every such reading would wait for all that was launched before."""

    class Readings(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            self.count += function is torch.ops.aten._local_scalar_dense.default
            return function(*arguments, **(keywords or {}))

    trainer = trainer_of(setting)
    train(trainer, until=STEPS)  # at the first step the optimiser's state is made
    readings, counts = Readings(), []
    batches = list(trainer.data.batches(torch.arange(6).view(2, 3), trainer.augmentation, (0, 1)))
    for images, labels in batches:
        domains = torch.zeros(3, dtype=torch.int64)
        batch = Batch(images, labels, domains, trainer.objective.counts(labels, domains))
        with readings:
            trainer.method_step(batch, (1 / 3,) * len(trainer.cell.tasks), 0, 0)
            trainer.watch.add(trainer.step + 1, trainer.method_step.numbers())
        counts.append(readings.count)
        trainer.step += 1
    assert counts == [0, 0]


def test_first_bad_step_of_many():
    """More steps than are kept at once; bad numbers in several of them."""
    for bad_step in (1, 2, ROWS, ROWS + 1, 2 * ROWS + 5, 2 * ROWS + 6):
        watch = FirstBadStep(3, CPU)
        for step in range(1, 2 * ROWS + 7):
            numbers = torch.ones(3)
            numbers[2 - step % 2] = BAD[step % 3] if step >= bad_step else 0.0
            watch.add(step, numbers)
        assert watch.read() == (bad_step, 2 - bad_step % 2)
        assert watch.read() is None


# --- Counted conflicts, profiles ---


def test_counts_of_an_epoch_that_diverged_are_empty(trainer_of, terminal):
    healthy = train(trainer_of("domains", kind=CountingTrainer, count_every=1))
    trainer = trainer_of("domains", kind=CountingTrainer, count_every=1)
    infinite_loss_at(trainer, 4)
    train(trainer)
    assert trainer.rows[0] == healthy.rows[0]
    for row in trainer.rows[1:]:
        assert {tuple(row[key]) for key in ("conflicts", "steps", "zero")} == {(None,) * 3}
        assert all(map(math.isnan, (*row["mean_cosine"], *row["norm"], row["train_loss"], row["validation"])))
    assert len(terminal()) == 1


def test_gradients_of_a_wild_counted_run(trainer_of, terminal):
    for setting in ("attributes", "domains"):
        trainer = train(trainer_of(setting, kind=CountingTrainer, count_every=2, accumulate=2, **WILD))
        assert all(row["steps"] == [None] * 3 and math.isnan(row["validation"]) for row in trainer.rows)
    assert len(terminal()) == 2


def test_times_of_a_profile_that_diverged_are_nan(cell_of, data, terminal):
    wild = cell_of("attributes", **WILD)
    compared = {m: methods.parse(m, {}) for m in ("uniform", "uncertainty")}
    rows = measure(Profile("some", wild, compared, (2,), rounds=2), data["attributes"], CPU)
    assert all(math.isnan(row["seconds_per_step"]) and math.isnan(row["time_ratio"]) for row in rows)
    assert all(row["peak_bytes"] > 0 for row in rows) and len(terminal()) >= 2
    healthy = measure(Profile("some", cell_of("attributes"), compared, (2,), rounds=2), data["attributes"], CPU)
    assert all(row["seconds_per_step"] > 0 for row in healthy)


# --- Jobs ---


@pytest.fixture
def signals():
    """A job replaces the process's signal handlers; restore them."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


PEOPLE = {
    "description": "As in the report.",
    "jobs": {"minutes": 100},
    "benchmarks": {
        "emoji_people": {
            "domains": ["people"],
            "reference": "people",
            "model": {"patch": 16, "heads": 2, "mlp_ratio": 2, "drop_path": 0.1},
            "recipe": {"lr": 3e-3, "batch_size": 512, "epochs": 2, "steps_per_epoch": 2},
        }
    },
    "experiments": {
        "people": {
            "benchmark": "emoji_people",
            "task_sets": {"gender+role": ["gender", "role"]},
            "architectures": {"family": "vit", "depth": [1], "width": [8]},
            "methods": {"single": {}, "uniform": {}},
            "variants": {"base": {}, "wild": {"recipe": {"lr": 1e30}}},
            "seeds": 2,
        }
    },
    "artifacts": {"table_main": {"experiment": "people"}},
}


def test_reported_run(make_plan, prepare_store, terminal, signals):
    """The job trains all of its runs; those at 1e30 diverge, the others have the values that they have alone."""
    plan = make_plan(PEOPLE)
    prepare_store(plan, "emoji_people")
    wild, base = (f"emoji_people/gender+role/vit_d1_w8/uniform/{variant}" for variant in ("wild", "base"))
    train_shards(plan, [*plan.shards(plan.cells[wild]), *plan.shards(plan.cells[base])], None)
    files = {name: plan.paths.run_file(plan.cells[name]) for name in (wild, base)}
    tables_ = {name: read_run_file(file).to_pylist() for name, file in files.items()}
    assert all(math.isnan(row["value"]) for row in tables_[wild])
    assert all(math.isfinite(row["value"]) for row in tables_[base])
    assert [{k: row[k] for k in row if k not in ("variant", "value")} for row in tables_[wild]] == [
        {k: row[k] for k in row if k not in ("variant", "value")} for row in tables_[base]
    ]
    warnings = terminal()
    assert len(warnings) == 2
    for seed, warning in enumerate(warnings):
        assert warning.startswith(f"{wild} (p 0.5,0.5, seed {seed}): diverged at step 2 of 4: ")
    diverged = {name: read_metadata(file)["diverged"] for name, file in files.items()}
    assert diverged[base] == []
    assert [(d["weight_setting"], d["seed"], d["step"]) for d in diverged[wild]] == [(0, 0, 2), (0, 1, 2)]
    assert all("lr: 1e+30" in d["cause"] for d in diverged[wild])

    # From the records of finished runs, without training.
    metadata = read_metadata(files[wild])
    files[wild].unlink()
    train_shards(plan, plan.shards(plan.cells[wild]), None)
    assert str(read_run_file(files[wild]).to_pylist()) == str(tables_[wild]) and len(terminal()) == 2
    assert read_metadata(files[wild])["diverged"] == metadata["diverged"]


def test_job_stopped_at_every_step_writes_the_same_file(make_plan, tiny, prepare_store, terminal, signals):
    """Two weight settings in shards of their own, one of which diverges in the second epoch."""
    tiny["benchmarks"]["digits"]["recipe"] |= {"lr": 1e30, "warmup_epochs": 1, "eval_every": 1}
    tiny["jobs"]["runs_per_job"] = 1
    plan = make_plan(tiny)
    prepare_store(plan, "digits")
    cell = plan.cells[GRID]
    values = []
    for limit in (None, 0):
        for shard in plan.shards(cell):
            while True:
                try:
                    train_shards(plan, [shard], limit)
                    break
                except StoppedError:
                    continue
        merge_shards(plan, cell)
        file = plan.paths.run_file(cell)
        values.append((str(read_run_file(file).to_pylist()), str(read_metadata(file)["diverged"])))
        for record in plan.config.results.rglob("finished.json"):
            record.unlink()
    assert values[0] == values[1] and "'seed': 0" in values[0][1] and values[0][1].count("'step'") == 2


def test_counting_job_writes_empty_counts(make_plan, tiny, prepare_store, signals):
    pair = tiny["experiments"]["pair"]
    keys = ("benchmark", "task_sets", "architectures")
    tiny["benchmarks"]["digits"]["recipe"] |= {"lr": 1e30, "epochs": 2}
    tiny["conflicts"] = {"pair": {k: pair[k] for k in keys} | {"seeds": 1, "every": 1}}
    plan = make_plan(tiny)
    prepare_store(plan, "digits")
    (cell,) = plan.counted.values()
    count_conflicts(plan, [cell], None)
    rows = read_conflict_file(plan.paths.run_file(cell)).to_pylist()
    assert [(row["epoch"], row["conflicts"], row["steps"], row["zero"]) for row in rows] == [
        (1, None, None, None),
        (2, None, None, None),
    ]
    assert all(math.isnan(row[key]) for row in rows for key in ("mean_cosine", "norm_i", "train_loss", "validation"))
    assert [d["step"] for d in read_metadata(plan.paths.run_file(cell))["diverged"]] == [2]


def test_profile_that_diverged_says_so(make_plan, prepare_store, signals):
    """In the file, and in the table; peak memory does not depend on values."""
    preset = copy.deepcopy(PEOPLE)
    preset["benchmarks"]["emoji_people"]["recipe"] |= WILD
    del preset["experiments"]["people"]["variants"]
    measured = {"benchmark": "emoji_people", "architecture": "vit_d1_w8", "batch_size": 8, "tasks": [2], "rounds": 1}
    preset["profiles"] = {"costs": {**measured, "methods": {"uncertainty": {}}}}
    preset["artifacts"] = {"table_costs": {"profile": "costs"}}
    plan = make_plan(preset)
    prepare_store(plan, "emoji_people")
    measure_profile(plan, "costs")
    assert read_metadata(plan.paths.profile_file("costs"))["diverged"] == [
        {"method": "uniform", "tasks": 2},
        {"method": "uncertainty", "tasks": 2},
    ]
    summary = analysis.summarize(plan, "table_costs")
    _, files = tables.draw("table_costs", summary, analysis.metadata(plan, "table_costs"))
    (line,) = [line for line in files["md"].splitlines() if line.startswith("| Uncertainty")]
    assert [cell.strip() for cell in line.split("|")][-3] == "diverged" and TIMES in line.split("|")[-2]
    assert files["md"].count("diverged") == 3  # with the time of uniform scalarization, in ms
