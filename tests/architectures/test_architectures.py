"""Capacities: names of architectures, grids of them, FLOPs, and what is impossible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalarization.architectures import Architecture, expand, forward_flops, model_options, problems
from scalarization.config import Architectures, DenseOptions, Model, ResNetOptions, ViTOptions
from scalarization.errors import ConfigError


@given(family=st.sampled_from(["vit", "resnet"]), depth=st.integers(1, 999), width=st.integers(1, 9999))
def test_architecture_names_round_trip(family, depth, width):
    architecture = Architecture(family, depth, width)
    assert Architecture.parse(architecture.name) == architecture


@given(depth=st.integers(1, 999), width=st.integers(1, 9999), shared_layers=st.integers(0, 9))
def test_names_of_dense_networks_round_trip(depth, width, shared_layers):
    architecture = Architecture("dense", depth, width, shared_layers)
    assert Architecture.parse(architecture.name) == architecture


def test_architecture_names_are_readable():
    assert Architecture("vit", 6, 96).name == "vit_d6_w96"
    assert Architecture("resnet", 50, 16).name == "resnet50_w16"
    assert Architecture("dense", 26, 32, 2).name == "dense26_w32_shr2"


@pytest.mark.parametrize("name", ["vit", "vit_d_w8", "vit_d1_w8x", "vit_d1", "resnet_d1_w8", "vit_d1_w8/grid", ""])
def test_other_names_are_no_architectures(name):
    with pytest.raises(ValueError, match="vit_d6_w96"):
        Architecture.parse(name)


def test_expand_is_depth_times_width():
    names = [a.name for a in expand(Architectures(family="vit", depth=[1, 2], width=[8, 16]))]
    assert names == ["vit_d1_w8", "vit_d1_w16", "vit_d2_w8", "vit_d2_w16"]


def test_expand_is_times_shared_layers():
    names = [a.name for a in expand(Architectures(family="dense", depth=[26], width=[8, 16], shared_layers=[0, 5]))]
    assert names == ["dense26_w8_shr0", "dense26_w8_shr5", "dense26_w16_shr0", "dense26_w16_shr5"]


@pytest.mark.parametrize(
    ("name", "patch", "heads", "mlp_ratio", "size", "channels"),
    [("vit_d3_w48", 4, 12, 2, 32, 3), ("vit_d9_w192", 4, 12, 2, 32, 3), ("vit_d2_w80", 4, 8, 4, 16, 1)],
)
def test_flops_are_those_of_the_real_network(name, patch, heads, mlp_ratio, size, channels):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from scalarization import models

    architecture = Architecture.parse(name)
    options = ViTOptions(patch=patch, heads=heads, mlp_ratio=mlp_ratio, drop_path=0)
    network = models.build(architecture, options, (size, size, channels), 10)
    # Attention written out as matrix products, which the counter sees on every device.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, size, size))
    assert forward_flops(architecture, options, size, channels) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_a_family_has_the_options_of_its_own():
    """So that an option of one family trains nothing of another again."""
    model = Model(patch=2, channels=32, skips=True)
    vit = model_options(Architecture("vit", 1, 8), model)
    assert vit == ViTOptions(patch=2) and type(vit) is ViTOptions
    assert model_options(Architecture("resnet", 26, 64), model) == ResNetOptions(channels=32)
    assert model_options(Architecture("dense", 26, 64, 0), model) == DenseOptions(channels=32, skips=True)


def test_cells_hold_the_options_of_their_family_only(tiny, make_plan):
    def described(architecture):
        cell = make_plan(tiny).cells[f"digits/mnist+optdigits/{architecture}/grid/base"]
        return cell.describe()["model"]

    assert described("vit_d2_w8") == {"patch": 8, "heads": 2, "mlp_ratio": 2, "drop_path": 0.3}
    tiny["experiments"]["pair"]["architectures"] = {"family": "resnet", "depth": [14], "width": [16]}
    assert described("resnet14_w16") == {"stem": "plain", "channels": 64, "scale_stages": False}


@pytest.mark.parametrize(
    ("depth", "width", "model", "words"),
    [
        (34, 64, {}, "depth 34 is no ResNet of bottleneck blocks here; choose among 14, 26, 50, 101"),
        (26, 4, {"channels": 8}, "width 4 leaves nothing of the first stage's 8 channels"),
        (26, 64, {"channels": 9, "stem": "deep"}, "even number of channels"),
        (26, 4, {"scale_stages": True, "channels": 8}, "width 4 leaves nothing"),
    ],
)
def test_impossible_resnets_are_named(tiny, make_plan, depth, width, model, words):
    tiny["benchmarks"]["digits"]["model"] = model
    tiny["experiments"]["pair"]["architectures"] = {"family": "resnet", "depth": [depth], "width": [width]}
    with pytest.raises(ConfigError, match=words):
        make_plan(tiny)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        (Architecture("dense", 50, 16, 2), "depth 50 is not among 26"),
        (Architecture("dense", 26, 16), "shared_layers is missing"),
        (Architecture("dense", 26, 16, 6), "shared_layers 6 is more than the 5 decoder stages"),
        (Architecture("dense", 26, 2, 0), "width 2 leaves the last decoder stages without a channel"),
        (Architecture("vit", 1, 8, 2), "shared_layers is for the family dense"),
    ],
)
def test_impossible_architectures_are_named(architecture, words):
    (message,) = problems(architecture, Model(heads=4), 64)
    assert words in message
