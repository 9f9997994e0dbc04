"""Multi-task training, gradients of tasks, methods in the loop, accumulation, profile."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from scalarization import methods, models
from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.methods.base import GradientMethod
from scalarization.plan.cells import Profile
from scalarization.specification import AttributeOutputs, DomainOutputs
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.loop import Trainer
from scalarization.training.objectives import AttributeObjective, DomainObjective
from scalarization.training.profile import measure

from ..conftest import recipe, train
from .conftest import TRAINED, make_cell, parameters, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
GROUPS = {"gender": ["male", "female"], "role": ["job", "fantasy"], "subject": ["portrait", "hand", "body_part"]}
RECIPE = {"lr": 3e-3, "warmup_epochs": 1, "eval_every": 2, "augmentation": {"crop_padding": 0}}
#: Where two ways of summing are compared: AdamW blows the rounding of gradients that are 0 up to whole steps.
SGD = {"optimizer": "sgd", "lr": 0.1}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    directory = tmp_path_factory.mktemp("people")
    prepare(directory, "emoji_people", ["people"], directory)
    store = Store(directory / "dataset.json")
    return DeviceData(store, ["people"], CPU), store


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits")
    prepare(directory, "digits", ["mnist", "optdigits", "mfeat"], directory)
    return DeviceData(Store(directory / "dataset.json"), ["mnist", "optdigits", "mfeat"], CPU)


def cell_of(tasks, method, changes, patch, outputs, drop_path=0.2):
    model = ViTOptions(patch=patch, heads=2, mlp_ratio=2, drop_path=drop_path)
    return make_cell(tasks, Architecture("vit", 2, 8), model, outputs, recipe(**RECIPE | changes), method, 3)


def people_cell(store, method="uniform", groups=GROUPS, drop_path=0.2, **changes):
    attributes = {task: tuple(names) for task, names in groups.items()}
    outputs = AttributeOutputs(tuple(store.metadata["attributes"]), attributes, ("people",))
    return cell_of(groups, method, changes, 16, outputs, drop_path)


def digits_cell(tasks=("mnist", "optdigits", "mfeat"), method="uniform", drop_path=0.2, **changes):
    return cell_of(tasks, method, changes, 8, DomainOutputs(10, tuple(tasks)), drop_path)


def trained(cell, data, steps=None):
    """A trainer of uniform weights after `steps` steps (default: all of them)."""
    return train(Trainer(cell, uniform_run(cell), data, CPU), steps)


def reference_losses(logits, labels):
    """Binary cross-entropy per attribute [A], in NumPy float64."""
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    return (np.logaddexp(0, logits) - labels * logits).mean(0)


def test_grouped_loss_is_the_published_one():
    generator = np.random.default_rng(0)
    attributes = [a for group in GROUPS.values() for a in group]
    objective = AttributeObjective("people", GROUPS, attributes)
    logits, labels = generator.normal(size=(11, 7)), generator.integers(0, 2, (11, 7))
    weights = (0.5, 0.3, 0.2)
    each = reference_losses(logits, labels)
    sums = np.array([each[:2].sum(), each[2:4].sum(), each[4:].sum()])
    tensors = torch.tensor(logits), torch.tensor(labels, dtype=torch.uint8)
    assert objective.loss(*tensors, weights).item() == pytest.approx(
        3 / 7 * (np.array(weights) * sums).sum(), rel=1e-12
    )
    assert objective.loss(*tensors, (1 / 3,) * 3).item() == pytest.approx(each.mean(), rel=1e-12)
    losses = objective.task_losses(*tensors, torch.zeros(11, dtype=torch.int64), torch.tensor([11]))
    np.testing.assert_allclose(losses.numpy(), 3 / 7 * sums, rtol=1e-12)


def test_columns_follow_the_task_set_not_the_store():
    objective = AttributeObjective("people", {"role": ["fantasy"], "gender": ["male"]}, ["male", "job", "fantasy"])
    logits, labels = torch.zeros(2, 2, dtype=torch.float64), torch.tensor([[1, 0, 0], [1, 1, 1]], dtype=torch.uint8)
    logits[:, 0] = torch.tensor([-50.0, 50.0])  # fantasy: right both times
    logits[:, 1] = torch.tensor([-50.0, 50.0])  # male: wrong, then right
    losses = objective.task_losses(logits, labels, torch.zeros(2, dtype=torch.int64), torch.tensor([2]))
    assert losses.tolist() == pytest.approx([0, 25])


def test_attribute_metrics_equal_scikit_learns(people):
    data, store = people
    trainer = trained(people_cell(store), data)
    start, size = data.start("people", "test"), data.size("people", "test")
    with torch.inference_mode():
        logits = trainer.network.eval()(data.normalise(data.images[start : start + size])).double().numpy()
    columns = [store.metadata["attributes"].index(a) for group in GROUPS.values() for a in group]
    truth = store.labels("people", "test")[:, columns]
    balanced = [100 * balanced_accuracy_score(t, p) for t, p in zip(truth.T, logits.T > 0, strict=True)]
    accuracy = 100 * ((logits > 0) == truth).mean(0)
    values = {(r["task"], r["metric"]): r["value"] for r in trainer.rows if (r["split"], r["epoch"]) == ("test", 2)}
    assert set(values) == set(itertools.product(GROUPS, ("accuracy", "balanced_accuracy", "loss")))
    for first, task in ((0, "gender"), (2, "role"), (4, "subject")):
        part = slice(first, first + len(GROUPS[task]))
        assert values[task, "accuracy"] == pytest.approx(np.mean(accuracy[part]), abs=1e-9)
        assert values[task, "balanced_accuracy"] == pytest.approx(np.mean(balanced[part]), abs=1e-9)
        assert values[task, "loss"] == pytest.approx(reference_losses(logits, truth)[part].mean(), rel=1e-5)


def jacobian_by_hand(network, objective, batch, parameters):
    """T separate backward passes over the whole batch."""
    rows = []
    for task in range(len(objective.tasks)):
        losses = objective.task_losses(network(batch.images), batch.labels, batch.domains, batch.counts)
        gradients = torch.autograd.grad(losses[task], parameters, materialize_grads=True)
        rows.append(torch.cat([g.flatten() for g in gradients]))
    return torch.stack(rows)


def batch_of(data, objective, images=30):
    generator = np.random.default_rng(3)
    domains = torch.from_numpy(generator.integers(0, len(objective.domains), images))
    rows = torch.tensor([data.start(objective.domains[d], "train") + i for i, d in enumerate(domains.tolist())])
    counts = torch.bincount(domains, minlength=len(objective.domains))
    return Batch(data.normalise(data.images[rows]).double(), data.labels[rows], domains, counts)


@pytest.mark.parametrize("include_heads", [False, True])
@pytest.mark.parametrize("at_once", ["one after the other", None, 1, 2])
def test_multi_task_gradients_equal_separate_passes(people, include_heads, at_once):
    """As on a CPU, and in batches as on CUDA: of all three tasks, of one, of two (the last batch has one)."""
    data, store = people
    trainer = Trainer(cell := people_cell(store), uniform_run(cell), data, CPU)
    network = trainer.network.double().eval()
    objective, batch = trainer.objective, batch_of(data, trainer.objective)
    gradients = TaskGradients(network, objective, trainer.autocast, include_heads)
    if at_once != "one after the other":
        gradients.batched, gradients.at_once = True, at_once
    jacobian = torch.zeros(3, gradients.size, dtype=torch.float64)
    losses = torch.zeros(3, dtype=torch.float64)
    gradients.add(batch, jacobian, losses)
    torch.testing.assert_close(jacobian, jacobian_by_hand(network, objective, batch, gradients.shared))
    head = list(models.head(network).parameters())
    in_jacobian = {id(p) for p in gradients.shared} & {id(p) for p in head}
    if include_heads:
        assert len(in_jacobian) == len(head)
    else:
        # The heads get their own task's gradient: row t of the weight is touched by task t alone.
        assert not in_jacobian
        own = jacobian_by_hand(network, objective, batch, head).mean(0)
        torch.testing.assert_close(torch.cat([p.grad.flatten() for p in head]), own)


def test_multi_domain_gradients_equal_separate_passes(digits):
    trainer = Trainer(cell := digits_cell(), uniform_run(cell), digits, CPU)
    network = trainer.network.double().eval()
    batch = batch_of(digits, trainer.objective)
    gradients = TaskGradients(network, trainer.objective, trainer.autocast)
    assert gradients.split_by_domain
    jacobian = torch.zeros(3, gradients.size, dtype=torch.float64)
    gradients.add(batch, jacobian, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(jacobian, jacobian_by_hand(network, trainer.objective, batch, gradients.shared))
    # One classifier is shared by the domains, so every parameter is.
    assert gradients.size == sum(p.numel() for p in network.parameters())


def test_batchnorm_is_not_split_by_domain():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    network.get_classifier = lambda: torch.nn.Linear(2, 10)
    assert not TaskGradients(network, DomainObjective(["a", "b"], 10), torch.enable_grad).split_by_domain


class Mean(GradientMethod):
    def forward(self, jacobian):
        return jacobian.mean(0)


def test_mean_of_task_gradients_trains_like_uniform_weights(people, monkeypatch):
    data, store = people
    uniform = trained(people_cell(store, **SGD), data)
    info = dataclasses.replace(methods.load("pcgrad"), build=lambda *_: Mean())
    monkeypatch.setattr(methods, "load", lambda name: info)
    mean = trained(people_cell(store, "pcgrad", **SGD), data)
    torch.testing.assert_close(parameters(mean), parameters(uniform), rtol=0, atol=2e-5)


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_resumes_bit_for_bit(people, digits, method):
    data, store = people
    for cell, images in ((people_cell(store, method), data), (digits_cell(method=method), digits)):
        whole = trained(cell, images)
        assert torch.isfinite(parameters(whole)).all()
        for steps in (2, 5):
            half = trained(cell, images, steps=steps)
            resumed = Trainer(cell, uniform_run(cell), images, CPU)
            resumed.load_state(half.state())
            train(resumed)
            assert torch.equal(parameters(resumed), parameters(whole)), (method, steps)
            assert json.dumps(resumed.rows) == json.dumps(whole.rows)


@pytest.mark.parametrize("method", ["uniform", "uncertainty", "pcgrad", "mgda"])
def test_accumulation_gives_the_whole_batchs_step(people, digits, method):
    data, store = people
    for make, images in (
        (lambda **r: people_cell(store, method, drop_path=0.0, **r), data),
        (lambda **r: digits_cell(method=method, drop_path=0.0, **r), digits),
    ):
        once, four = (trained(cell, images, steps=1) for cell in (make(**SGD), make(accumulate=4, **SGD)))
        torch.testing.assert_close(parameters(four), parameters(once), rtol=0, atol=3e-5)


def test_resolving_in_micro_batches_is_another_step(people):
    data, store = people
    after, micro = (
        trained(people_cell(store, "mgda", accumulate=4, resolve=r, **SGD), data) for r in ("after", "micro")
    )
    assert not torch.allclose(parameters(after), parameters(micro), atol=1e-6)


@pytest.mark.parametrize("method", [m for m in TRAINED if m not in ("uncertainty", "rotograd")])
def test_one_task_is_plain_training(people, method):
    """Uncertainty halves the loss and RotoGrad turns the features, as published: they are left out."""
    data, store = people
    groups = {"gender": GROUPS["gender"]}
    # IMTL-L's scale is 1 at the first step only.
    steps = 1 if method == "imtl_l" else 2
    plain = trained(people_cell(store, "uniform", groups, **SGD), data, steps=steps)
    other = trained(people_cell(store, method, groups, **SGD), data, steps=steps)
    atol = 1e-4 if method in ("famo", "nash_mtl") else 2e-5
    torch.testing.assert_close(parameters(other), parameters(plain), rtol=0, atol=atol)


@pytest.mark.parametrize("method", TRAINED)
def test_absent_domain_is_left_out_of_the_step(digits, method):
    """In a batch of two images one of three domains is always absent; numbers must stay finite."""
    trainer = trained(digits_cell(method=method, batch_size=2), digits)
    assert torch.isfinite(parameters(trainer)).all()
    assert np.isfinite([r["value"] for r in trainer.rows]).all()


def test_time_and_memory_grow_with_the_number_of_tasks(people, capfd):
    data, store = people
    cell = people_cell(store)
    compared = {m: methods.parse(m, {}) for m in ("uniform", "uncertainty", "graddrop")}
    profile = Profile("some", cell, compared, (2, 30), rounds=1)
    rows = {(r["method"], r["tasks"]): r for r in measure(profile, data, CPU)}
    assert len(rows) == 6
    assert rows["uniform", 2]["memory_ratio"] == 1 and all(r["seconds_per_step"] > 0 for r in rows.values())
    size = parameters(Trainer(cell, uniform_run(cell), data, CPU)).numel() * 4
    grown = rows["graddrop", 30]["peak_bytes"] - rows["graddrop", 2]["peak_bytes"]
    # 28 more task gradients of the shared parameters are held at once; heads grow by 28 outputs.
    assert grown > 28 * 0.9 * size
    assert rows["uncertainty", 30]["peak_bytes"] < rows["graddrop", 30]["peak_bytes"]
    assert not capfd.readouterr().err  # torch's profiler would write many lines
