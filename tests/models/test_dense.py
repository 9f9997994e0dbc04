"""Encoder and decoders: the published encoder, parameters of shared and own parts counted by hand, real FLOPs."""

import pytest
import torch

from scalarization import models
from scalarization.architectures import Architecture, forward_flops, problems
from scalarization.config import DenseOptions, Model

MAPS = {"a": 1, "b": 3, "c": 1}


@pytest.fixture(autouse=True)
def one_compute_thread(one_thread):
    """Several threads would wait for each other on few cores."""


def build(width=32, shared=2, maps=MAPS, size=64, **options):
    torch.manual_seed(0)
    return models.build(Architecture("dense", 26, width, shared), DenseOptions(**options), (size, size, 3), maps)


def count(modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def bottleneck(inputs, outputs, inner):
    """1 x 1, 3 x 3 and 1 x 1 convolution without bias, each with scale and shift; a shortcut where channels differ."""
    shortcut = inputs * outputs + 2 * outputs if inputs != outputs else 0
    return inputs * inner + 9 * inner**2 + inner * outputs + 4 * inner + 2 * outputs + shortcut


def decoder_stage(stage, width, channels):
    """Parameters of decoder stage 0 .. 4."""
    sizes = [32 * channels, 16 * channels, 8 * channels, 4 * channels, channels, channels]
    inputs, outputs = sizes[stage : stage + 2]
    inner = outputs // 4 * width // channels
    return bottleneck(inputs, outputs, inner) + bottleneck(outputs, outputs, inner)


def encoder(width, channels):
    number = 3 * 64 * 49 + 2 * 64
    inputs = 64
    for stage in range(4):
        outputs, inner = 4 * channels * 2**stage, width * 2**stage
        number += bottleneck(inputs, outputs, inner) + bottleneck(outputs, outputs, inner)
        if inputs == outputs:  # the first block of channels = 16: timm still has a shortcut only where channels differ
            assert channels == 16 and stage == 0
        inputs = outputs
    return number


@pytest.mark.parametrize("width", [16, 32, 64])
def test_encoder_is_timms_resnet26_at_that_base_width(width):
    import timm

    with torch.device("meta"):
        reference = timm.create_model("resnet26", num_classes=0, base_width=width)
        encoder = build(width).encoder
    assert {k: v.shape for k, v in encoder.state_dict().items()} == {
        k: v.shape for k, v in reference.state_dict().items()
    }


@pytest.mark.parametrize("shared", range(6))
@pytest.mark.parametrize(("width", "channels"), [(16, 64), (64, 64), (8, 16), (16, 32)])
def test_shared_and_own_parameters_by_hand(shared, width, channels):
    with torch.device("meta"):
        network = build(width, shared, channels=channels)
    head = list(models.head(network).parameters())
    in_head = {id(p) for p in head}
    stages = [decoder_stage(s, width, channels) for s in range(5)]
    expected = encoder(width, channels) + sum(stages[:shared])
    assert sum(p.numel() for p in network.parameters() if id(p) not in in_head) == expected
    for task, maps in zip(network.head.tasks, MAPS.values(), strict=True):
        assert count([task]) == sum(stages[shared:]) + 9 * channels * maps + maps
    assert sum(p.numel() for p in head) == count(network.head.tasks)


@pytest.mark.parametrize("shared", [0, 2, 5])
@pytest.mark.parametrize("skips", [False, True])
def test_features_and_head_together_are_the_network(shared, skips):
    network = build(16, shared, channels=16, skips=skips).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole = network(images)
        samples = models.features(network, images)
        parts = models.head(network)(samples)
        apart = models.head(network)(torch.stack([samples] * len(MAPS)))
    assert [m.shape for m in whole] == [(2, c, 64, 64) for c in MAPS.values()]
    if not skips:
        side = 2 * 2**shared
        assert samples.shape == (2 * side * side, models.head(network).in_features)
    for maps in (parts, apart):
        for one, other in zip(whole, maps, strict=True):
            torch.testing.assert_close(one, other)


def test_skip_connections_bring_detail():
    """Without them the first prediction is constant over blocks; with them it follows the image."""
    images = torch.randn(1, 3, 64, 64)
    blocks, fine = (build(16, 0, channels=16, skips=skips).eval()(images)[0].detach() for skips in (False, True))
    interior = blocks[0, 0, 2:30, 2:30]  # away from the border of a block of 32 pixels
    assert interior.std() < 1e-5 * blocks.abs().mean()
    assert fine[0, 0, 2:30, 2:30].std() > 0.1 * fine.abs().mean()


def test_own_parts_of_a_task_affect_no_other_task():
    network = build(16, 1, channels=16).eval()
    outputs = network(torch.randn(2, 3, 64, 64))
    for number, output in enumerate(outputs):
        gradients = torch.autograd.grad(
            output.sum(), list(network.head.parameters()), retain_graph=True, materialize_grads=True
        )
        named = zip((name for name, _ in network.head.named_parameters()), gradients, strict=True)
        reached = {name.split(".")[1] for name, gradient in named if gradient.any()}
        assert reached == {str(number)}


def test_shared_layers_make_no_difference_to_a_single_task():
    networks = [build(16, shared, {"a": 1}, channels=16).eval() for shared in range(6)]
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        outputs = [network(images)[0] for network in networks]
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])


@pytest.mark.parametrize(
    ("width", "shared", "options", "size"),
    [
        (16, 0, {}, 64),
        (64, 2, {}, 64),
        (32, 4, {"upsampling": "transposed"}, 96),
        (8, 3, {"channels": 16, "skips": True}, 64),
        (16, 5, {"channels": 32, "skips": True, "upsampling": "transposed"}, 64),
    ],
)
def test_flops_are_those_of_the_real_network(width, shared, options, size):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = build(width, shared, size=size, **options)
        network(torch.zeros(1, 3, size, size))
    expected = forward_flops(
        Architecture("dense", 26, width, shared), DenseOptions(**options), size, 3, list(MAPS.values())
    )
    assert expected == counter.get_total_flops()


def test_names_round_trip():
    architecture = Architecture("dense", 26, 32, 2)
    assert architecture.name == "dense26_w32_shr2"
    assert Architecture.parse("dense26_w32_shr2") == architecture
    with pytest.raises(ValueError, match="dense26_w32_shr"):
        Architecture.parse("dense26_w32_shr")


@pytest.mark.parametrize(
    ("architecture", "size", "word"),
    [
        (Architecture("dense", 26, 32, 6), 64, "shared_layers 6 is more than the 5"),
        (Architecture("dense", 26, 32), 64, "shared_layers is missing"),
        (Architecture("dense", 50, 32, 0), 64, "depth 50 is not among 26"),
        (Architecture("dense", 26, 32, 0), 48, "48 pixels is not a multiple of 32"),
        (Architecture("dense", 26, 2, 0), 64, "width 2"),
    ],
)
def test_impossible_architectures_are_explained(architecture, size, word):
    assert any(word in problem for problem in problems(architecture, Model(), size))
    assert not problems(Architecture("dense", 26, 32, 5), Model(), 64)
