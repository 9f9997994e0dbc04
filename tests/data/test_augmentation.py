"""Batched augmentation, compared with an independent implementation for one image at a time."""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from scalarization.config import AugmentationOptions
from scalarization.data.augmentation import Augmentation, RandAugment, random_crop

pytestmark = pytest.mark.usefixtures("one_thread")

OFF = AugmentationOptions()
SHAPES = [(24, 1, 16, 16), (24, 3, 16, 16), (5, 3, 12, 20)]


def random_images(shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# --- Random crop ---


def crop_by_hand(images, padding, seed):
    """One image at a time: every pixel of the crop that lies on the image is copied."""
    batch, _, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, batch), generator=torch.Generator().manual_seed(seed)).tolist()
    out = torch.zeros_like(images)
    for number in range(batch):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y + top[number] - padding, x + left[number] - padding
                if 0 <= from_y < height and 0 <= from_x < width:
                    out[number, :, y, x] = images[number, :, from_y, from_x]
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", [1, 4])
def test_batched_crop_equals_that_of_each_image(shape, padding):
    images = random_images(shape)
    cropped = random_crop(images, padding, torch.Generator().manual_seed(3))
    assert torch.equal(cropped, crop_by_hand(images, padding, 3))
    assert cropped.dtype == torch.uint8


def test_every_position_of_the_crop_occurs():
    image = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    image[0, 0, 2, 2] = 255
    cropped = random_crop(image.expand(500, 1, 5, 5), 2, torch.Generator().manual_seed(0))
    assert torch.equal(cropped.sum(dim=(1, 2, 3)), torch.full((500,), 255))  # the dot is always inside the crop
    assert (cropped.sum(dim=(0, 1)) > 0).all()  # and occurs at every position


# --- Flip ---


def test_half_of_the_images_are_flipped():
    images = random_images((400, 3, 6, 7))
    flipped = Augmentation(AugmentationOptions(flip=True))(images, seed=1)
    mirrored = torch.tensor([torch.equal(f, i.flip(-1)) for f, i in zip(flipped, images, strict=True)])
    kept = torch.tensor([torch.equal(f, i) for f, i in zip(flipped, images, strict=True)])
    assert (mirrored ^ kept).all()
    assert abs(mirrored.sum() - 200) < 40  # four standard deviations


# --- RandAugment ---

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


# --- All together ---

ALL = {"crop_padding": 2, "flip": True, "randaugment": {"num_ops": 2, "magnitude": 9}}


@pytest.mark.parametrize("option", [{"crop_padding": 2}, {"flip": True}, {"randaugment": ALL["randaugment"]}, ALL])
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_type_and_seed(option, shape):
    images = random_images(shape)
    augmentation = Augmentation(AugmentationOptions(**option))
    assert augmentation.active
    first, again, other = augmentation(images, 5), augmentation(images, 5), augmentation(images, 6)
    assert first.shape == shape and first.dtype == torch.uint8
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("option", [{"crop_padding": 2}, {"flip": True}, {"randaugment": ALL["randaugment"]}])
def test_equal_images_get_their_own_draws(option):
    images = random_images((1, 3, 16, 16)).expand(64, 3, 16, 16)
    augmented = Augmentation(AugmentationOptions(**option))(images, 0)
    assert len({i.numpy().tobytes() for i in augmented}) >= (2 if "flip" in option else 8)


def test_draws_do_not_change_the_global_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Augmentation(AugmentationOptions(**ALL))(random_images((8, 3, 16, 16)), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_default_options_change_no_image():
    assert not Augmentation(OFF).active
    images = random_images((4, 1, 8, 8))
    assert torch.equal(Augmentation(OFF)(images, 0), images)


# --- Batches ---


def test_batch_is_normalised_images_and_their_labels(digits_store, digits_data):
    rows = torch.tensor([0, 17, 8000, digits_data.start("optdigits", "test") + 3])
    images, labels = digits_data.batch(rows, Augmentation(OFF), 0)
    mean, std = (torch.tensor(digits_store.metadata["normalisation"][k], dtype=torch.float64) for k in ("mean", "std"))
    sources = [("mnist", "train", 0), ("mnist", "train", 17), ("mnist", "validation", 0), ("optdigits", "test", 3)]
    for number, (domain, split, row) in enumerate(sources):
        pixels = torch.from_numpy(digits_store.images(domain, split)[row].copy()).permute(2, 0, 1).double() / 255
        assert torch.allclose(images[number].double(), (pixels - mean) / std, atol=1e-5)
        assert labels[number] == digits_store.labels(domain, split)[row]
    assert images.dtype == torch.float32 and labels.dtype == torch.int64


def test_normalised_training_images_have_zero_mean_and_unit_variance(digits_data):
    moments = []
    for domain in ("mnist", "optdigits", "mfeat"):
        start, size = digits_data.start(domain, "train"), digits_data.size(domain, "train")
        images = digits_data.normalise(digits_data.images[start : start + size]).double()
        moments.append((images.mean().item(), (images**2).mean().item()))
    first, second = (sum(m) / 3 for m in zip(*moments, strict=True))
    assert abs(first) < 1e-4 and abs(second - 1) < 1e-4


def test_start_and_size_give_the_rows_of_a_split(digits_store, digits_data):
    covered = 0
    for domain in ("mnist", "optdigits", "mfeat"):
        for split in ("train", "validation", "test"):
            start, size = digits_data.start(domain, split), digits_data.size(domain, split)
            expected = torch.from_numpy(digits_store.images(domain, split).copy()).permute(0, 3, 1, 2)
            assert torch.equal(digits_data.images[start : start + size], expected)
            covered += size
    assert covered == len(digits_data.images) == len(digits_data.labels)


def test_evaluation_batches_are_all_images_in_order(digits_data):
    start, size = digits_data.start("optdigits", "test"), digits_data.size("optdigits", "test")
    batches = list(digits_data.evaluation_batches(start, size, 500))
    assert [len(images) for images, _ in batches] == [500, 197]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(images, digits_data.normalise(digits_data.images[start : start + size]))
    assert torch.equal(labels, digits_data.labels[start : start + size])
    assert digits_data.only(["mnist"]) is digits_data and digits_data.image_shape == (16, 16, 1)


def test_padding_of_a_crop_is_black_before_normalisation():
    images = torch.full((64, 1, 8, 8), 200, dtype=torch.uint8)
    cropped = random_crop(images, 3, torch.Generator().manual_seed(0))
    assert set(cropped.unique().tolist()) == {0, 200}
