"""RandAugment of a batch, compared with torchvision's public functions for one image at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from scalarization.data.randaugment import RandAugment, all_steps, by_step, variant_tables

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def random_images(shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


#: Name -> (magnitude at the last of 31 bins from height and width, whether the sign is random), as in torchvision and
#: in Cubuk et al. 2020, in torchvision's order. Posterize decreases from 8 to 4 bits, Solarize from 1 to 0.
OPERATIONS = {
    "Identity": (None, False),
    "ShearX": (lambda h, w: 0.3, True),
    "ShearY": (lambda h, w: 0.3, True),
    "TranslateX": (lambda h, w: 150 / 331 * w, True),
    "TranslateY": (lambda h, w: 150 / 331 * h, True),
    "Rotate": (lambda h, w: 30, True),
    "Brightness": (lambda h, w: 0.9, True),
    "Color": (lambda h, w: 0.9, True),
    "Contrast": (lambda h, w: 0.9, True),
    "Sharpness": (lambda h, w: 0.9, True),
    "Posterize": (lambda h, w: 4, False),
    "Solarize": (lambda h, w: 0, False),
    "AutoContrast": (None, False),
    "Equalize": (None, False),
}
FIRST = {"Posterize": 8, "Solarize": 1}


def magnitude_of(name, number, height, width):
    """Magnitude at bin ``number`` of 31, in torchvision's single precision."""
    last, _ = OPERATIONS[name]
    if last is None:
        return 0.0
    value = torch.linspace(FIRST.get(name, 0), last(height, width), 31)[number].item()
    return round(value) if name == "Posterize" else value


def transform_one(image, name, value):
    """One operation on one image [C, H, W] by torchvision's public functions."""
    geometry = {"interpolation": InterpolationMode.NEAREST, "fill": 0}
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **geometry}
    match name:
        case "Identity":
            return image
        case "ShearX":
            return tv.affine(image, **{**still, "shear": [math.degrees(math.atan(value)), 0.0], "center": [0, 0]})
        case "ShearY":
            return tv.affine(image, **{**still, "shear": [0.0, math.degrees(math.atan(value))], "center": [0, 0]})
        case "TranslateX":
            return tv.affine(image, **{**still, "translate": [int(value), 0]})
        case "TranslateY":
            return tv.affine(image, **{**still, "translate": [0, int(value)]})
        case "Rotate":
            return tv.rotate(image, value, **geometry)
        case "Brightness":
            return tv.adjust_brightness(image, 1 + value)
        case "Color":
            return tv.adjust_saturation(image, 1 + value)
        case "Contrast":
            return tv.adjust_contrast(image, 1 + value)
        case "Sharpness":
            return tv.adjust_sharpness(image, 1 + value)
        case "Posterize":
            return tv.posterize(image, int(value))
        case "Solarize":
            return tv.solarize(image, 255 * value)
        case "AutoContrast":
            return tv.autocontrast(image)
        case "Equalize":
            return tv.equalize(image)


def randaugment_by_hand(images, num_ops, magnitude, seed):
    generator = torch.Generator().manual_seed(seed)
    names = list(OPERATIONS)
    drawn = []
    for _ in range(num_ops):
        operations = torch.randint(0, len(names), (len(images),), generator=generator).tolist()
        negative = (torch.rand(len(images), generator=generator) < 0.5).tolist()
        drawn.append((operations, negative))
    out = []
    for number, image in enumerate(images):
        for operations, negative in drawn:
            name = names[operations[number]]
            value = magnitude_of(name, magnitude, *image.shape[1:])
            image = transform_one(image, name, -value if OPERATIONS[name][1] and negative[number] else value)
        out.append(image)
    return torch.stack(out)


def transform_each(images, variants, magnitude):
    """Image by image; variants as numbers."""
    out = []
    for image, variant in zip(images, variants, strict=True):
        name = list(OPERATIONS)[variant // 2]
        value = magnitude_of(name, magnitude, *image.shape[1:])
        out.append(transform_one(image, name, -value if OPERATIONS[name][1] and variant % 2 else value))
    return torch.stack(out)


# --- Equal to torchvision ---


@pytest.mark.parametrize("shape", [(150, 1, 16, 16), (150, 3, 32, 32), (50, 3, 12, 20)])
@pytest.mark.parametrize(("num_ops", "magnitude"), [(1, 9), (2, 5), (2, 30), (1, 0)])
def test_batched_randaugment_equals_that_of_each_image(shape, num_ops, magnitude):
    images = random_images(shape)
    augmented = RandAugment(num_ops, magnitude)(images, torch.Generator().manual_seed(11))
    expected = randaugment_by_hand(images, num_ops, magnitude, 11)
    assert augmented.shape == images.shape and augmented.dtype == torch.uint8
    assert [n for n in range(len(images)) if not torch.equal(augmented[n], expected[n])] == []


def test_randaugment_does_not_change_its_input():
    images = random_images((50, 3, 16, 16))
    before = images.clone()
    RandAugment(2, 20)(images, torch.Generator().manual_seed(0))
    assert torch.equal(images, before)


CONTENTS = {
    "any": lambda images: images,
    "narrow": lambda images: images // 4 + 60,
    "few levels": lambda images: images // 64 * 50,
    "one level": lambda images: images[:, :, :1, :1].expand_as(images).contiguous(),
    "grey": lambda images: images[:, :1].expand_as(images).contiguous(),
    "nearly one level": lambda images: (images > 253).to(torch.uint8) * 9 + 100,
}


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 16), (3, 17, 23), (1, 31, 33), (3, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("content", CONTENTS)
def test_every_operation_magnitude_and_sign(shape, content):
    differing = [
        (magnitude, variant)
        for magnitude in (range(31) if content == "any" else (0, 1, 9, 17, 30))
        for variant in differing_variants(CONTENTS[content](random_images((28, *shape), magnitude)), magnitude)
    ]
    assert differing == []


@pytest.mark.parametrize("magnitude", [1, 9, 30])
def test_large_images(magnitude):
    assert differing_variants(random_images((28, 3, 224, 224)), magnitude) == []


def differing_variants(images, magnitude):
    """Variants whose image is not that of torchvision, with images grouped and not."""
    tables = variant_tables(magnitude, *images.shape[1:], device=CPU)
    expected = transform_each(images, range(28), magnitude)
    found = [one_round(images, torch.arange(28), tables) for one_round in (all_steps, by_step)]
    return [n for n in range(28) if any(not torch.equal(images[n], expected[n]) for images in found)]


@pytest.mark.parametrize("shape", [(3, 3, 3), (1, 2, 5), (3, 5, 2), (1, 1, 1), (1, 3, 7), (3, 1, 9), (1, 13, 17)])
def test_sizes_that_leave_vector_registers_partly_filled(shape):
    differing = [n for n in range(31) for _ in differing_variants(random_images((28, *shape), n), n)]
    assert differing == []


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        RandAugment(1, 9)(random_images((4, 2, 16, 16)), torch.Generator())


# --- Draws ---


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    batch=st.integers(1, 40),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(4, 24), st.integers(4, 24)),
    magnitude=st.integers(0, 30),
)
def test_an_image_does_not_depend_on_the_others(seed, batch, shape, magnitude):
    images = random_images((batch, *shape), seed)
    augment = RandAugment(2, magnitude)
    variants = augment.draw(batch, torch.Generator().manual_seed(seed))
    together = augment.apply(images, variants)
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(augment.apply(images[order], variants[:, order]), together[order])
    alone = [augment.apply(images[n : n + 1], variants[:, n : n + 1]) for n in range(batch)]
    assert torch.equal(torch.cat(alone), together)


def test_draws_of_a_seed():
    """The numbers that torch draws for this seed, in this order; other numbers would change every result."""
    generator = torch.Generator().manual_seed(5)
    operations, signs = [], []
    for _ in range(2):
        operations.append(torch.randint(0, 14, (6,), generator=generator))
        signs.append(torch.rand(6, generator=generator) < 0.5)
    drawn = RandAugment(2, 9).draw(6, torch.Generator().manual_seed(5))
    assert torch.equal(drawn // 2, torch.stack(operations)) and torch.equal(drawn % 2, torch.stack(signs).long())


def test_every_variant_is_drawn_equally_often():
    drawn = RandAugment(1, 9).draw(28_000, torch.Generator().manual_seed(0))
    counts = drawn.flatten().bincount(minlength=28)
    assert len(counts) == 28 and (counts - 1000).abs().max() < 150


# --- Devices ---


class Launched(TorchDispatchMode):
    """Names of operations that are no views; refuses shapes that depend on data, and transfers."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags), func
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)]
        assert len({tensor.device for tensor in tensors}) <= 1, func
        if not func.is_view:
            self.names.append(str(func))
        return out


def launched(augment, device):
    images = random_images((32, 3, 16, 16)).to(device)
    variants = augment.draw(32, torch.Generator().manual_seed(0)).to(device)
    augment.apply(images, variants)  # fills tables
    with Launched() as mode:
        augmented = augment.apply(images, variants)
    assert augmented.shape == images.shape and augmented.dtype == torch.uint8
    return mode.names


def test_off_the_cpu_nothing_is_transferred_and_no_shape_depends_on_draws():
    """On torch's device without memory, in place of a GPU."""
    meta = torch.device("meta")
    one, three = launched(RandAugment(1, 9), meta), launched(RandAugment(3, 9), meta)
    assert three == 3 * one and len(one) <= 51


def test_shapes_that_depend_on_draws_would_be_noticed():
    with pytest.raises(AssertionError, match="bincount"):
        launched(RandAugment(1, 9), CPU)
