"""Dense prediction in the training loop: masked losses, gradients of shared parameters, every method, resuming."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))

import dense_data
from dense_data import SPLITS, arrays, standardised

from scalarization import methods, models
from scalarization.architectures import Architecture
from scalarization.config import DenseOptions
from scalarization.data.dense import DenseDeviceData
from scalarization.methods.base import GradientMethod
from scalarization.plan.cells import Run
from scalarization.specification import DenseOutputs
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.loop import Trainer
from scalarization.training.objectives import DenseObjective

from ..conftest import recipe, train
from .conftest import TRAINED, make_cell, parameters, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TASKS = {"deep": 1, "plain": 2}
RECIPE = {
    "optimizer": "sgd",
    "lr": 0.05,
    "weight_decay": 1e-4,
    "batch_size": 4,
    "eval_every": 2,
    "augmentation": {"crop_padding": 3, "flip": True},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return dense_data.write(tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="module")
def data(store):
    return DenseDeviceData(store, ["signed", "plain", "deep", "copy"], CPU)


def cell_of(method="uniform", tasks=TASKS, shared=2, skips=False, steps=2, **changes):
    model, outputs = DenseOptions(channels=16, skips=skips), DenseOutputs(tasks, ("random",))
    architecture = Architecture("dense", 26, 4, shared)
    return make_cell(tasks, architecture, model, outputs, recipe(**RECIPE | changes), method, steps)


def trainer_of(cell, data, weights=None):
    return Trainer(cell, Run(0, 0, weights) if weights else uniform_run(cell), data, CPU)


def trained(cell, data, weights=None, steps=None):
    return train(trainer_of(cell, data, weights), steps)


# --- Losses ---


def random_batch(known=(0.9, 0.3), images=6, size=5):
    """Predictions and labels in float64, with very different shares of known pixels from image to image."""
    generator = np.random.default_rng(1)
    labels = generator.normal(size=(images, 3, size, size))
    shares = np.linspace(0, 1, images)[:, None, None, None] * np.repeat(known, [1, 2])[None, :, None, None]
    labels[generator.random(labels.shape) > shares] = np.nan
    predicted = generator.normal(size=labels.shape)
    return predicted, labels


def as_tensors(predicted, labels):
    return (torch.tensor(predicted[:, :1]), torch.tensor(predicted[:, 1:])), torch.tensor(labels)


def test_losses_are_means_over_known_values():
    predicted, labels = random_batch()
    objective = DenseObjective("random", TASKS)
    maps, targets = as_tensors(predicted, labels)
    counts = objective.counts(targets, torch.zeros(6))
    assert counts.tolist() == [np.isfinite(labels[:, :1]).sum(), np.isfinite(labels[:, 1:]).sum()]
    expected = [np.nanmean(abs(predicted - labels)[:, part]) for part in (slice(0, 1), slice(1, 3))]
    losses = objective.task_losses(maps, targets, torch.zeros(6), counts)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    loss = objective.loss(maps, targets, (0.3, 0.7))
    assert loss.item() == pytest.approx(0.3 * expected[0] + 0.7 * expected[1], rel=1e-5)


def test_micro_batches_add_up_though_their_pixels_are_unequal():
    maps, targets = as_tensors(*random_batch())
    objective = DenseObjective("random", TASKS)
    counts = objective.counts(targets, torch.zeros(6))
    whole = objective.loss(maps, targets, (0.3, 0.7))
    rows = [slice(0, 2), slice(2, 4), slice(4, 6)]
    parts = [objective.part_loss(tuple(m[r] for m in maps), targets[r], (0.3, 0.7), counts, 1 / 3).item() for r in rows]
    assert sum(parts) == pytest.approx(whole.item(), rel=1e-6)
    each = [objective.loss(tuple(m[r] for m in maps), targets[r], (0.3, 0.7)).item() for r in rows]
    assert np.mean(each) != pytest.approx(whole.item(), rel=1e-2)  # so the mean of means is another number


def test_unknown_maps_add_nothing():
    predicted, labels = random_batch()
    labels[:, 1:] = np.nan
    objective = DenseObjective("random", TASKS)
    maps, targets = as_tensors(predicted, labels)
    maps = tuple(m.requires_grad_() for m in maps)
    losses = objective.task_losses(maps, targets, torch.zeros(6), objective.counts(targets, torch.zeros(6)))
    losses.sum().backward()
    assert losses[1] == 0 and losses[0] > 0
    assert (maps[1].grad == 0).all() and maps[0].grad.isfinite().all()
    assert (maps[0].grad[targets[:, :1].isnan()] == 0).all()


@pytest.mark.parametrize("method", ["uniform", "uncertainty", "pcgrad", "rotograd"])
@pytest.mark.parametrize("unknown", [["deep"], ["deep", "plain"]])
def test_training_survives_a_batch_without_any_known_pixel_of_a_task(data, method, unknown):
    trainer = trainer_of(cell_of(method), data)
    whole = trainer.data.batch

    def batch(*arguments):
        images, maps = whole(*arguments)
        for task in unknown:
            maps[:, trainer.objective.columns(list(TASKS).index(task))] = torch.nan
        return images, maps

    trainer.data.batch = batch
    before = parameters(trainer)
    trainer.train_epoch(lambda: None)
    assert parameters(trainer).isfinite().all() and np.isfinite(trainer.mean_loss)
    if len(unknown) == 1:
        assert not torch.equal(before, parameters(trainer))


# --- What is reported ---


def test_metrics_are_means_over_the_whole_split(data, store, monkeypatch):
    monkeypatch.setattr("scalarization.training.objectives.dense.BATCH", 5)
    trainer = trained(cell_of(), data, (0.3, 0.7))
    values = {(r["split"], r["task"], r["metric"]): r["value"] for r in trainer.rows if r["epoch"] == 2}
    first = 0
    for split, size in SPLITS.items():
        numbers = range(first, first + size)
        first += size
        images = torch.tensor(np.stack([arrays(n)["images"] for n in numbers])).permute(0, 3, 1, 2)
        with torch.no_grad():
            predicted = trainer.network.eval()(data.normalise(images))
        for task, maps in zip(TASKS, predicted, strict=True):
            target = standardised(store, task, np.stack([arrays(n)[task] for n in numbers]))
            errors = abs(maps.permute(0, 2, 3, 1).double().numpy() - target)
            assert values[split, task, "l1"] == pytest.approx(np.nanmean(errors), rel=1e-4)
            statistics = store.maps[task]
            median = (np.array(statistics["median"]) - statistics["mean"]) / statistics["std"]
            assert values[split, task, "l1_constant"] == pytest.approx(np.nanmean(abs(median - target)), rel=1e-4)


def test_no_constant_is_better_than_the_median_on_the_train_split(store):
    for task in ("deep", "copy"):
        target = standardised(store, task, np.stack([arrays(n)[task] for n in range(SPLITS["train"])]))
        statistics = store.maps[task]
        for channel in range(target.shape[3]):
            median = (statistics["median"][channel] - statistics["mean"][channel]) / statistics["std"][channel]
            values = target[..., channel][np.isfinite(target[..., channel])]
            best = abs(values - median).mean()
            assert all(abs(values - median - shift).mean() >= best - 1e-9 for shift in (-0.1, -1e-3, 1e-3, 0.1))


def test_examples_are_the_first_test_images(data, store):
    trainer = trained(cell_of("rotograd"), data)
    rows = trainer.examples()
    assert len(rows) == 3 * (1 + 2 * len(TASKS))
    first = SPLITS["train"] + SPLITS["validation"]
    for row in rows:
        values = np.array(row["values"]).reshape(row["shape"])
        original = arrays(first + row["example"])
        if row["content"] == "image":
            np.testing.assert_array_equal(values, original["images"])
        if row["content"] == "target":
            np.testing.assert_allclose(values, standardised(store, row["task"], original[row["task"]]), atol=2e-3)
        if row["content"] == "prediction":
            assert np.isfinite(values).all() and values.std() > 0


# --- Gradients of tasks ---


def shared_count(network):
    return sum(p.numel() for part in (network.encoder, network.decoder) for p in part.parameters())


@pytest.mark.parametrize("shared", [0, 2, 5])
@pytest.mark.parametrize("skips", [False, True])
def test_task_gradients_equal_separate_passes(data, shared, skips):
    trainer = trainer_of(cell_of(shared=shared, skips=skips), data)
    # In training mode batch statistics belong to the whole batch; float64 tells rounding from mistakes.
    network, objective = trainer.network.double(), trainer.objective
    images, labels = trainer.data.batch(torch.arange(6), trainer.augmentation, 0)
    domains = torch.zeros(6, dtype=torch.int64)
    batch = Batch(images.double(), labels.double(), domains, objective.counts(labels, domains))
    gradients = TaskGradients(network, objective, trainer.autocast)
    assert gradients.size == shared_count(network)
    jacobian, losses = torch.zeros(2, gradients.size, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    gradients.add(batch, jacobian, losses)
    head = list(models.head(network).parameters())
    assert not {id(p) for p in gradients.shared} & {id(p) for p in head}
    own = 0.0
    for task in range(2):
        task_losses = objective.task_losses(network(batch.images), batch.labels, domains, batch.counts)
        both = torch.autograd.grad(task_losses[task], [*gradients.shared, *head], materialize_grads=True)
        expected = torch.cat([g.flatten() for g in both[: len(gradients.shared)]])
        torch.testing.assert_close(jacobian[task], expected, rtol=1e-5, atol=1e-7)
        own = own + torch.cat([g.flatten() for g in both[len(gradients.shared) :]]) / 2
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in head]), own, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("method", "shared"), [("pcgrad", 0), ("cagrad", 4), ("graddrop", 5), ("upgrad", 2)])
def test_aggregators_see_shared_parameters_only(data, method, shared, monkeypatch):
    trainer = trainer_of(cell_of(method, shared=shared, steps=1), data)
    seen = []
    combine = trainer.method.forward
    monkeypatch.setattr(trainer.method, "forward", lambda jacobian: seen.append(jacobian.shape) or combine(jacobian))
    trainer.train_epoch(lambda: None)
    assert seen == [(2, shared_count(trainer.network))]


class Mean(GradientMethod):
    def forward(self, jacobian):
        return jacobian.mean(0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("skips", [False, True])
def test_mean_of_task_gradients_trains_like_uniform_weights(data, monkeypatch, optimizer, skips):
    """Shared and own parameters alike; fused optimisers would misread gradients with another memory layout."""
    lr = {"sgd": 0.05, "adamw": 1e-5}[optimizer]
    uniform, cell = (cell_of(m, skips=skips, optimizer=optimizer, lr=lr) for m in ("uniform", "pcgrad"))
    # Two steps, the second with a state of the optimiser: rounding, which differs between processors, grows with steps.
    uniform = trained(uniform, data, steps=2)
    info = dataclasses.replace(methods.load("pcgrad"), build=lambda *_: Mean())
    monkeypatch.setattr(methods, "load", lambda name: info)
    mean = trained(cell, data, steps=2)
    monkeypatch.undo()
    before = parameters(trainer_of(cell_of(skips=skips), data))
    moved = (parameters(uniform) - before).norm()
    # A misread gradient moves parameters about as far as a step does.
    assert (parameters(mean) - parameters(uniform)).norm() < 0.02 * moved


def test_weights_multiply_the_losses(data):
    """All weight on one task trains it like its baseline, whatever the other task's own parts are."""
    single = trained(cell_of(tasks={"plain": 2}, shared=5), data)
    joint = trained(cell_of(tasks={"plain": 2, "deep": 1}, shared=5), data, (1.0, 0.0))
    torch.testing.assert_close(
        torch.cat([p.flatten() for p in joint.network.encoder.parameters()]),
        torch.cat([p.flatten() for p in single.network.encoder.parameters()]),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("method", ["uniform", "imtl_l"])
def test_accumulation_takes_means_over_all_micro_batches(data, method, monkeypatch):
    # BatchNorm sees micro-batches; with its running statistics they are normalised like the whole batch.
    monkeypatch.setattr(torch.nn.Module, "train", lambda self, mode=True: self.eval() if mode else self)
    monkeypatch.setattr(torch.nn.Module, "eval", _eval)
    once, parts = (trained(cell_of(method, accumulate=k), data, steps=1) for k in (1, 4))
    assert not once.network.training
    torch.testing.assert_close(parameters(parts), parameters(once), rtol=0, atol=1e-6)


def _eval(module):
    for m in module.modules():
        m.training = False
    return module


# --- Every method, and resuming ---


@pytest.mark.parametrize("method", ["uniform", *TRAINED])
def test_every_method_resumes_bit_for_bit(data, method):
    cell = cell_of(method)
    whole = trained(cell, data)
    assert parameters(whole).isfinite().all()
    half = trained(cell, data, steps=1)
    resumed = trainer_of(cell, data)
    resumed.load_state(half.state())
    train(resumed)
    state, other = resumed.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(state[k], other[k]) for k in state)  # running statistics of BatchNorm included
    assert json.dumps(resumed.rows) == json.dumps(whole.rows)


def test_data_on_disk_train_the_same_model(data, store):
    on_disk = DenseDeviceData(store, ["plain", "deep"], CPU, resident_bytes=0)
    assert torch.equal(parameters(trained(cell_of(), data)), parameters(trained(cell_of(), on_disk)))
