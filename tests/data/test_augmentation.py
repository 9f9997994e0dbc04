"""Batched augmentation, compared with an independent implementation for one image at a time."""

import pytest
import torch

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


def test_draws_are_applied_in_order():
    """Crop, flip and RandAugment by hand, from one generator."""
    images = random_images((60, 3, 12, 20))
    generator = torch.Generator().manual_seed(4)
    expected = random_crop(images, 2, generator)
    flipped = torch.rand(60, generator=generator) < 0.5
    expected[flipped] = expected[flipped].flip(-1)
    expected = RandAugment(2, 9)(expected, generator)
    augmentation = Augmentation(AugmentationOptions(**ALL))
    assert torch.equal(augmentation(images, 4), expected)
    assert torch.equal(augmentation.apply(images, augmentation.draw(60, 4)), expected)


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


def test_batches_in_a_row_equal_single_ones(digits_data):
    augmentation = Augmentation(AugmentationOptions(**ALL))
    rows, seeds = torch.arange(40).view(4, 10), [3, 1, 4, 1]
    for (images, labels), part, seed in zip(digits_data.batches(rows, augmentation, seeds), rows, seeds, strict=True):
        single, its_labels = digits_data.batch(part, augmentation, seed)
        assert torch.equal(images, single) and torch.equal(labels, its_labels)
    assert list(digits_data.batches(rows[:0], augmentation, [])) == []


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
