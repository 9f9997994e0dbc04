"""Learning rates of known steps, and which parameters decay."""

import itertools
import math

import pytest
import torch

from scalarization.architectures import Architecture
from scalarization.config import DenseOptions, ResNetOptions, ViTOptions
from scalarization.methods import parse
from scalarization.models import build
from scalarization.training.optimization import build_optimizer, learning_rate, set_learning_rate
from scalarization.training.steps import build_method

from ..conftest import recipe

RECIPE = {"optimizer": "adamw", "lr": 0.1, "weight_decay": 0.05, "decay_bias_and_norm": False, "momentum": 0.7}
CPU = torch.device("cpu")


def options(drop_path):
    return ViTOptions(patch=8, heads=2, mlp_ratio=2, drop_path=drop_path)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.025), (1, 0.05), (2, 0.075), (3, 0.1),  # four steps of warm-up, the last at the peak
        (4, 0.1), (7, 0.1 * 3 / 4), (8, 0.05), (9, 0.1 / 4), (12 - 1, 0.1 * (1 + math.cos(math.pi * 7 / 9)) / 2),
    ],
)  # fmt: skip
def test_warm_up_and_cosine(step, expected):
    # cos(pi x) at x = 0, 1/3, 1/2, 2/3 is 1, 1/2, 0, -1/2
    steps = {7: 13, 8: 12, 9: 11.5, 11: 13}.get(step, 13)
    assert learning_rate(step, steps, 4, 0.1, "cosine") == pytest.approx(expected)


def test_published_schedule():
    """CIFAR + STL: 300 epochs of 20 steps, 30 of them warm-up, peak 1e-3."""
    rates = [learning_rate(s, 6000, 600, 1e-3, "cosine") for s in range(6000)]
    assert rates[0] == pytest.approx(1e-3 / 600) and rates[299] == pytest.approx(5e-4)
    assert rates[599] == rates[600] == max(rates) == 1e-3
    assert rates[3300] == pytest.approx(5e-4)  # half-way between the end of warm-up and the end
    assert 0 < rates[-1] < 1e-9
    assert all(a > b for a, b in itertools.pairwise(rates[600:]))


def test_constant_schedule_and_no_warm_up():
    assert [learning_rate(s, 10, 2, 0.3, "constant") for s in (0, 1, 2, 9)] == [0.15, 0.3, 0.3, 0.3]
    assert learning_rate(0, 10, 0, 0.3, "cosine") == 0.3


@pytest.fixture
def network():
    return build(Architecture("vit", 2, 8), options(0.0), (16, 16, 1), 10)


def groups(network, **changes):
    """The optimiser, and the weight decay of each parameter."""
    names = {id(p): name for name, p in network.named_parameters()}
    optimizer = build_optimizer(network, recipe(**RECIPE | changes))
    decay = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            decay[names.pop(id(parameter))] = group["weight_decay"]
    assert not names, "parameters without a group"
    return optimizer, decay


def test_only_weights_of_layers_decay(network):
    optimizer, decay = groups(network)
    assert isinstance(optimizer, torch.optim.AdamW)
    blocks = {f"blocks.{n}.{part}.weight" for n in (0, 1) for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert {name for name, d in decay.items() if d} == blocks | {"patch_embed.proj.weight", "head.weight"}
    assert {"cls_token", "pos_embed", "head.bias", "blocks.1.norm2.weight", "blocks.0.attn.qkv.bias"} <= set(decay)
    assert set(decay.values()) == {0.0, 0.05}


def test_everything_decays_if_asked(network):
    _, decay = groups(network, decay_bias_and_norm=True)
    assert set(decay.values()) == {0.05} and "pos_embed" in decay


@pytest.mark.parametrize(
    ("architecture", "model", "outputs"),
    [
        (Architecture("resnet", 14, 16), ResNetOptions(stem="deep", channels=4), 10),
        (Architecture("dense", 26, 4, 1), DenseOptions(channels=16), {"a": 1, "b": 2}),
    ],
)
def test_of_convolutional_networks_only_weights_decay(architecture, model, outputs):
    network = build(architecture, model, (32, 32, 3), outputs)
    _, decay = groups(network)
    assert all((decay[name] > 0) == (p.ndim > 1) for name, p in network.named_parameters())


def test_learned_parts_of_a_method_have_their_own_learning_rate_and_no_decay(network):
    method = build_method("rotograd", parse("rotograd", {"rotation_lr": 0.25}), 2, network, CPU)
    optimizer = build_optimizer(network, recipe(**RECIPE), method)
    set_learning_rate(optimizer, 0.2)
    (learned,) = [g for g in optimizer.param_groups if g["params"] == list(method.parameters())]
    assert (learned["lr"], learned["weight_decay"]) == (0.05, 0.0)
    assert {g["lr"] for g in optimizer.param_groups if g is not learned} == {0.2}


def test_sgd_has_the_recipe_s_momentum(network):
    optimizer, _ = groups(network, optimizer="sgd")
    assert isinstance(optimizer, torch.optim.SGD)
    assert {g["momentum"] for g in optimizer.param_groups} == {0.7}


def test_backbone_is_the_specified_one(network):
    assert len(network.blocks) == 2 and network.embed_dim == 8
    assert network.cls_token.shape == (1, 1, 8) and network.pos_embed.shape == (1, 1 + 4, 8)
    assert network.blocks[0].norm1.eps == 1e-6 and network.blocks[0].attn.qkv.bias is not None
    assert network.blocks[0].mlp.fc1.out_features == 16
    assert network.head.out_features == 10


def test_stochastic_depth_rises_linearly():
    network = build(Architecture("vit", 4, 8), options(0.3), (16, 16, 1), 10)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in network.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])
