"""ResNets: shapes as published, BatchNorm under domains mixed in a batch, every method on them."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scalarization import models
from scalarization.architectures import Architecture, forward_flops, resnet
from scalarization.config import ResNetOptions
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.specification import DomainOutputs
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.loop import Trainer

from ..conftest import recipe, train
from ..training.conftest import TRAINED, make_cell, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
PLAIN = ResNetOptions(stem="plain", channels=64)
SCALED = ResNetOptions(stem="plain", channels=64, scale_stages=True)
SMALL = ResNetOptions(stem="deep", channels=4)
RECIPE = {"lr": 3e-3, "warmup_epochs": 1, "eval_every": 2, "augmentation": {"crop_padding": 2, "flip": True}}
DOMAINS = ("noto", "openmoji", "emojione")


@pytest.fixture(scope="module")
def styles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("styles")
    prepare(directory, "emoji_styles", list(DOMAINS), directory)
    data = DeviceData(Store(directory / "dataset.json"), list(DOMAINS), CPU)
    # The last evaluation looks at every split: a few images of each are enough here.
    data.size = lambda domain, split: 20 if split == "test" else 30
    return data


def cell_of(method="uniform", **changes):
    outputs = DomainOutputs(16, DOMAINS)
    return make_cell(DOMAINS, Architecture("resnet", 14, 16), SMALL, outputs, recipe(**RECIPE | changes), method)


def trainer_of(cell, data):
    return Trainer(cell, uniform_run(cell), data, CPU)


def trained(cell, data, steps=None):
    return train(trainer_of(cell, data), steps)


def everything(trainer):
    """Parameters and BatchNorm's running statistics."""
    return torch.cat([v.detach().double().flatten() for v in trainer.network.state_dict().values()])


# --- Shapes ---


@pytest.mark.parametrize(
    ("name", "options", "classes", "millions"),
    [
        ("resnet50_w64", PLAIN, 1000, 25.557),  # He et al. 2016
        ("resnet101_w64", PLAIN, 1000, 44.549),
        ("resnet26_w64", PLAIN, 1000, 15.995),  # timm's resnet26
        ("resnet50_w16", PLAIN, 345, 6.6),  # the bottleneck narrowed ...
        ("resnet50_w16", SCALED, 345, 1.7),  # ... and every stage
    ],
)
def test_parameters_are_as_published(name, options, classes, millions):
    with torch.device("meta"):
        network = models.build(Architecture.parse(name), options, (224, 224, 3), classes)
    number = sum(p.numel() for p in network.parameters()) / 1e6
    assert number == pytest.approx(millions, abs=0.05 if millions < 10 else 5e-4)


@pytest.mark.parametrize(
    ("name", "options", "size", "channels"),
    [
        ("resnet26_w64", PLAIN, 64, 3),
        ("resnet50_w16", PLAIN, 65, 3),
        ("resnet26_w16", SCALED, 64, 3),
        ("resnet14_w32", SMALL, 32, 3),
        ("resnet14_w48", ResNetOptions(stem="deep", channels=16), 31, 1),
    ],
)
def test_flops_are_those_of_the_real_network(name, options, size, channels):
    architecture = Architecture.parse(name)
    network = models.build(architecture, options, (size, size, channels), 10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, size, size))
    head = 2 * models.head(network).in_features * 10
    assert forward_flops(architecture, options, size, channels) == counter.get_total_flops() - head


def test_width_narrows_the_bottleneck_alone_unless_stages_scale():
    narrow = models.build(Architecture("resnet", 26, 16), PLAIN, (64, 64, 3), 5)
    assert narrow.conv1.out_channels == 64 and narrow.layer1[0].conv2.out_channels == 16
    assert models.head(narrow).in_features == 2048
    scaled = models.build(Architecture("resnet", 26, 16), SCALED, (64, 64, 3), 5)
    assert scaled.layer1[0].conv2.out_channels == 16 and models.head(scaled).in_features == 512
    assert resnet.stages(16, PLAIN)[-1] == (512, 128)


def test_head_and_features_make_the_logits():
    network = models.build(Architecture("resnet", 14, 16), SMALL, (32, 32, 3), 5).eval()
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(models.head(network)(models.features(network, images)), network(images))


# --- BatchNorm ---


def test_batchnorm_normalises_all_domains_of_a_batch_together(styles):
    network = trained(cell_of(), styles, steps=1).network.train()
    start = [styles.start(d, "train") for d in DOMAINS]
    images = styles.normalise(styles.images[[s + i for s in start for i in range(4)]])
    seen = []
    network.bn1.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    network(images)
    before, after = seen[0]
    before = before.detach().double()
    mean, variance = before.mean((0, 2, 3), keepdim=True), before.var((0, 2, 3), unbiased=False, keepdim=True)
    weight, bias = (p.detach().double()[:, None, None] for p in (network.bn1.weight, network.bn1.bias))
    expected = (before - mean) / (variance + network.bn1.eps).sqrt() * weight + bias
    # bn1 is followed by an activation that works in place on its output.
    torch.testing.assert_close(after.double(), expected.relu(), atol=1e-4, rtol=1e-4)


def test_evaluation_uses_running_statistics(styles):
    network = trained(cell_of(), styles).network.eval()
    start = styles.start("noto", "test")
    images = styles.normalise(styles.images[start : start + 8])
    alone = torch.cat([network(images[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(alone, network(images), atol=1e-4, rtol=1e-4)


def test_task_gradients_with_batchnorm_equal_separate_passes(styles):
    trainer = trained(cell_of(), styles, steps=1)
    network, objective = trainer.network.double().train(), trainer.objective
    domains = torch.arange(30) % 3
    rows = [styles.start(DOMAINS[d], "train") + i for i, d in enumerate(domains.tolist())]
    batch = Batch(styles.normalise(styles.images[rows]).double(), styles.labels[rows], domains, torch.bincount(domains))
    gradients = TaskGradients(network, objective, trainer.autocast)
    assert not gradients.split_by_domain  # every domain's statistics are the whole batch's
    jacobian = torch.zeros(3, gradients.size, dtype=torch.float64)
    gradients.add(batch, jacobian, torch.zeros(3, dtype=torch.float64))
    for task in range(3):
        losses = objective.task_losses(network(batch.images), batch.labels, batch.domains, batch.counts)
        expected = torch.autograd.grad(losses[task], gradients.shared)
        torch.testing.assert_close(jacobian[task], torch.cat([g.flatten() for g in expected]))


# --- Training ---


@pytest.mark.parametrize("method", ["uniform", *TRAINED])
def test_every_method_resumes_bit_for_bit(styles, method):
    cell = cell_of(method)
    whole = trained(cell, styles)
    assert torch.isfinite(everything(whole)).all()
    resumed = trainer_of(cell, styles)
    resumed.load_state(trained(cell, styles, steps=3).state())
    train(resumed)
    assert torch.equal(everything(resumed), everything(whole))
    assert json.dumps(resumed.rows) == json.dumps(whole.rows)


def test_update_of_a_gradient_method_reaches_its_parameters(styles):
    """MGDA of one step by SGD: the parameters move by the learning rate times a convex mix of task gradients."""
    plain = {"optimizer": "sgd", "weight_decay": 0.0, "momentum": 0.0, "warmup_epochs": 0, "schedule": "constant"}
    cell = cell_of("mgda", lr=0.1, **plain)
    before = trainer_of(cell, styles)
    after = trained(cell, styles, steps=1)
    flat = [torch.cat([p.detach().flatten() for p in t.method_step.task_gradients.shared]) for t in (before, after)]
    step = (flat[0] - flat[1]) / 0.1
    jacobian = after.method_step._jacobian
    weights = torch.linalg.lstsq(jacobian.T.double(), step[:, None].double()).solution
    assert weights.sum().item() == pytest.approx(1, abs=1e-3) and (weights > -1e-3).all()
    torch.testing.assert_close((jacobian.T.double() @ weights).flatten(), step.double(), atol=2e-5, rtol=1e-3)


def test_accumulation_sees_micro_batches(styles):
    """BatchNorm's statistics are those of a micro-batch: a batch of 24 in four parts is another step than whole."""
    whole, parts = (
        everything(trained(cell_of(optimizer="sgd", lr=0.1, accumulate=a), styles, steps=1)) for a in (1, 4)
    )
    assert not torch.allclose(whole, parts, atol=1e-5)
    averages = {
        a: trained(cell_of(accumulate=a), styles, steps=1).network.bn1.num_batches_tracked.item() for a in (1, 4)
    }
    assert averages == {1: 1, 4: 4}


def test_absent_domains_are_left_out(styles):
    for method in ("pcgrad", "uncertainty", "rotograd"):
        trainer = trained(cell_of(method, batch_size=2), styles)
        assert torch.isfinite(everything(trainer)).all()
        assert np.isfinite([r["value"] for r in trainer.rows]).all()


def test_all_metrics_are_reported(styles):
    rows = {(r["split"], r["task"], r["metric"]) for r in trained(cell_of(), styles).rows if r["epoch"] == 2}
    expected = itertools.product(("train", "validation", "test"), DOMAINS, ("accuracy", "loss"))
    assert set(expected) <= rows
