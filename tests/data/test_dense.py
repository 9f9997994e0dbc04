"""Stores of images with maps: exact statistics, equal batches from memory and disk, one augmentation for both."""

import dense_data
import numpy as np
import pytest
import torch
from dense_data import MAPS, SIZE, SPLITS, arrays, standardised
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from scalarization.benchmarks.base import DenseData, MapFormat
from scalarization.config import AugmentationOptions
from scalarization.data.augmentation import Augmentation
from scalarization.data.dense import DenseDeviceData
from scalarization.data.dense_store import moments_of, write_dense_store
from scalarization.errors import DataError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return dense_data.write(tmp_path_factory.mktemp("dense"))


def augmentation(padding=0, flip=False):
    return Augmentation(AugmentationOptions(crop_padding=padding, flip=flip))


@given(
    values=st.sampled_from(["u1", "u2", "f2"]).flatmap(
        lambda kind: arrays_of.arrays(kind, st.integers(1, 60), elements=None)
    ),
    invalid=st.sampled_from([None, 0, 7]),
)
@settings(max_examples=150)
def test_statistics_from_codes_equal_those_of_the_values(values, invalid):
    size = values.dtype.itemsize
    counts = np.bincount(values.view(f"u{size}"), minlength=1 << (8 * size))
    moments = moments_of(counts, values.dtype, invalid)
    known = values.astype(float)
    known = known[np.isfinite(known) & (known != invalid)]
    assert moments["known"] == len(known) / len(values)
    if len(known):
        assert moments["mean"] == pytest.approx(known.mean(), rel=1e-9, abs=1e-9)
        assert moments["std"] == pytest.approx(known.std(), rel=1e-9, abs=1e-6)
        # At most half of the values are smaller than a median and at most half are larger.
        assert (known < moments["median"]).mean() <= 0.5 and (known > moments["median"]).mean() <= 0.5
        assert moments["median"] in known


def test_statistics_are_over_the_train_split_only(store):
    for task in ("copy", "deep", "plain"):
        values = np.stack([arrays(n)[task] for n in range(SPLITS["train"])])
        described = store.maps[task]
        known = np.where(values == 65535, np.nan, values.astype(float)) if task == "deep" else values.astype(float)
        flat = known.reshape(-1, known.shape[-1])
        np.testing.assert_allclose(described["mean"], np.nanmean(flat, axis=0), rtol=1e-9)
        np.testing.assert_allclose(described["std"], np.nanstd(flat, axis=0), rtol=1e-9)
        np.testing.assert_allclose(described["known"], np.isfinite(flat).mean(axis=0), rtol=1e-9)
    images = np.stack([arrays(n)["images"] for n in range(SPLITS["train"])]) / 255
    np.testing.assert_allclose(store.metadata["normalisation"]["mean"], images.mean(axis=(0, 1, 2)), atol=1e-6)
    store.verify()


def test_an_image_that_is_a_target_is_stored_once(store):
    files = store.metadata["domains"]["random"]["files"]
    assert files["image"] == files["images"] and len(list(store.directory.glob("*.npy"))) == 5


@pytest.mark.parametrize("resident", [0, 1 << 30])
def test_batches_are_the_standardised_maps(store, resident):
    tasks = ["signed", "deep", "image", "copy"]
    data = DenseDeviceData(store, tasks, CPU, resident)
    rows = [data.start("random", "test"), 2, data.start("random", "validation") + 1, 2]
    assert rows[0] == 15 and rows[2] == 13 and data.size("random", "train") == 12
    images, maps = data.batch(torch.tensor(rows), augmentation(), 0)
    originals = [arrays(n) | {"image": arrays(n)["images"]} for n in rows]
    expected = np.concatenate([standardised(store, t, np.stack([a[t] for a in originals])) for t in tasks], axis=3)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(maps.permute(0, 2, 3, 1).numpy(), expected, atol=2e-5)
    # Autoencoding: the target equals the input.
    np.testing.assert_allclose(images.numpy(), maps[:, 3:6].numpy(), atol=1e-4)
    assert data.only(["copy", "signed"]).batch(torch.tensor(rows), augmentation(), 0)[1].shape == (4, 5, SIZE, SIZE)


@pytest.mark.parametrize("resident", [0, 1 << 30])
def test_evaluation_batches_are_all_images_in_order(store, resident):
    data = DenseDeviceData(store, ["plain", "copy"], CPU, resident).only(["copy"])
    batches = list(data.evaluation_batches(data.start("random", "train"), 12, 5))
    assert [len(images) for images, _ in batches] == [5, 5, 2]
    images, maps = data.at(torch.arange(12))
    assert torch.equal(torch.cat([i for i, _ in batches]), data.normalise(images))
    assert torch.equal(torch.cat([m for _, m in batches]), maps)


def test_median_is_standardised_and_follows_the_tasks(store):
    data = DenseDeviceData(store, list(MAPS), CPU).only(["deep", "copy"])
    expected = [
        (m - mean) / std
        for task in ("deep", "copy")
        for m, mean, std in zip(*(store.maps[task][k] for k in ("median", "mean", "std")), strict=True)
    ]
    np.testing.assert_allclose(data.median.flatten(), expected, rtol=1e-5)


@pytest.mark.parametrize(("padding", "flip"), [(0, True), (5, False), (6, True)])
@pytest.mark.parametrize("resident", [0, 1 << 30])
def test_images_and_maps_get_the_same_augmentation(store, padding, flip, resident):
    data = DenseDeviceData(store, ["copy", "plain", "signed"], CPU, resident)
    rows = torch.arange(12).repeat(3)
    images, maps = data.batch(rows, augmentation(padding, flip), 7)
    copy, plain, signed = maps[:, :3], maps[:, 3:5], maps[:, 5:]
    # The map of the image equals the image where it is known, and it is unknown exactly in the padding.
    inside = copy.isfinite()
    assert torch.allclose(images[inside], copy[inside], atol=1e-4)
    if padding:
        padded = (~inside[:, 0]).flatten(1).sum(1)
        assert len(padded.unique()) > 5  # each image has its own crop
        kept_rows, kept_columns = inside[:, 0].any(2).sum(1), inside[:, 0].any(1).sum(1)
        assert (kept_rows * kept_columns == inside[:, 0].flatten(1).sum(1)).all() and kept_rows.min() >= SIZE - padding
    else:
        assert inside.all()
    falling = torch.tensor([bool((np.diff(row[np.isfinite(row)]) < 0).all()) for row in copy[:, 0, SIZE // 2].numpy()])
    assert falling.any() == flip and not falling.all()
    described = store.maps["plain"]
    for number in range(len(rows)):
        for channel in range(2):
            mean, std = described["mean"][channel], described["std"][channel]
            value, other = plain[number, channel] * std + mean, signed[number, channel] * std + mean
            if falling[number] and channel == 0:
                other = 2 * 0.25 - other  # mirrored about 0.25
            torch.testing.assert_close(other, value, equal_nan=True, atol=1e-4, rtol=0)


def test_draws_depend_only_on_the_seed(store):
    data = DenseDeviceData(store, ["plain"], CPU)
    rows = torch.arange(12)
    one, same, other = (data.batch(rows, augmentation(4, True), seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1].nan_to_num(), same[1].nan_to_num())
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"deep": np.zeros((SIZE, SIZE, 1), np.uint16)}, "deep: channel 0 has fewer than two values"),
        ({"deep": np.zeros((SIZE, SIZE, 1), np.uint8)}, r"deep: uint8 \(32, 32, 1\), expected uint16"),
        ({"deep": np.zeros((SIZE, 16, 1), np.uint16)}, r"deep: uint16 \(32, 16, 1\), expected"),
    ],
)
def test_maps_in_another_format_are_refused(tmp_path, change, word):
    data = DenseData({"train": [0, 1], "validation": [2], "test": [3]}, lambda n: arrays(n) | change)
    maps = {task: MAPS[task] for task in ("copy", "deep", "plain", "signed")}
    with pytest.raises(DataError, match=word):
        write_dense_store(tmp_path, "random", "random", data, maps, {})
    assert not list(tmp_path.iterdir())


def test_images_of_several_sizes_are_refused(tmp_path):
    def load(number):
        return {"images": np.full((SIZE, SIZE + number, 3), number, np.uint8)}

    data = DenseData({"train": [0], "validation": [1], "test": [2]}, load)
    with pytest.raises(
        DataError, match=r"2 of 3 originals.*1 has images: uint8 \(32, 33, 3\), expected uint8 \(32, 32, 3\); 2 has"
    ):
        write_dense_store(tmp_path, "random", "random", data, {"image": MapFormat(3, "uint8", image=True)}, {})
