"""Stores of images with maps: exact statistics, the same from memory and disk, images and maps augmented alike."""

import dense_data
import numpy as np
import pytest
import torch
from dense_data import MAPS, SIZE, SPLITS, arrays, standardised
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from scalarization.benchmarks import DenseData, MapFormat
from scalarization.data.augmentation import Augmentation
from scalarization.data.dense import DenseDeviceData
from scalarization.data.dense_store import moments_of, write_dense_store
from scalarization.errors import DataError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return dense_data.write(tmp_path_factory.mktemp("dense"))


def augmentation(padding=0, flip=False):
    return Augmentation({"crop_padding": padding, "flip": flip, "randaugment": None})


@given(
    values=st.sampled_from(["u1", "u2", "f2"]).flatmap(
        lambda kind: arrays_of.arrays(kind, st.integers(1, 60), elements=None)
    ),
    invalid=st.sampled_from([None, 0, 7]),
)
@settings(max_examples=150)
def test_statistics_from_codes_are_those_of_the_values(values, invalid):
    size = values.dtype.itemsize
    counts = np.bincount(values.view(f"u{size}"), minlength=1 << (8 * size))
    found = moments_of(counts, values.dtype, invalid)
    known = values.astype(float)
    known = known[np.isfinite(known) & (known != invalid)]
    assert found["known"] == len(known) / len(values)
    if len(known):
        assert found["mean"] == pytest.approx(known.mean(), rel=1e-9, abs=1e-9)
        assert found["std"] == pytest.approx(known.std(), rel=1e-9, abs=1e-6)
        # A median is a value of which at most half are smaller and at most half larger.
        assert (known < found["median"]).mean() <= 0.5 and (known > found["median"]).mean() <= 0.5
        assert found["median"] in known


def test_statistics_are_of_the_train_split_alone(store):
    for task in ("copy", "deep", "plain"):
        values = np.stack([arrays(n)[task] for n in range(SPLITS["train"])])
        found = store.facts["maps"][task]
        known = np.where(values == 65535, np.nan, values.astype(float)) if task == "deep" else values.astype(float)
        flat = known.reshape(-1, known.shape[-1])
        np.testing.assert_allclose(found["mean"], np.nanmean(flat, axis=0), rtol=1e-9)
        np.testing.assert_allclose(found["std"], np.nanstd(flat, axis=0), rtol=1e-9)
        np.testing.assert_allclose(found["known"], np.isfinite(flat).mean(axis=0), rtol=1e-9)
    images = np.stack([arrays(n)["images"] for n in range(SPLITS["train"])]) / 255
    np.testing.assert_allclose(store.facts["normalisation"]["mean"], images.mean(axis=(0, 1, 2)), atol=1e-6)
    store.verify()


def test_an_image_that_is_a_target_is_stored_once(store):
    files = store.facts["domains"]["made_up"]["files"]
    assert files["image"] == files["images"] and len(list(store.directory.glob("*.npy"))) == 5


@pytest.mark.parametrize("resident", [0, 1 << 30])
def test_batches_are_the_standardised_maps(store, resident):
    tasks = ["signed", "deep", "image", "copy"]
    data = DenseDeviceData(store, tasks, CPU, resident)
    rows = [data.start("made_up", "test"), 2, data.start("made_up", "validation") + 1, 2]
    assert rows[0] == 15 and rows[2] == 13 and data.size("made_up", "train") == 12
    images, maps = data.batch(torch.tensor(rows), augmentation(), 0)
    originals = [arrays(n) | {"image": arrays(n)["images"]} for n in rows]
    expected = np.concatenate([standardised(store, t, np.stack([a[t] for a in originals])) for t in tasks], axis=3)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(maps.permute(0, 2, 3, 1).numpy(), expected, atol=2e-5)
    # Autoencoding: the target is what the network sees.
    np.testing.assert_allclose(images.numpy(), maps[:, 3:6].numpy(), atol=1e-4)
    assert data.only(["copy", "signed"]).batch(torch.tensor(rows), augmentation(), 0)[1].shape == (4, 5, SIZE, SIZE)


def test_median_is_standardised_and_follows_the_tasks(store):
    data = DenseDeviceData(store, list(MAPS), CPU).only(["deep", "copy"])
    expected = [
        (m - mean) / std
        for task in ("deep", "copy")
        for m, mean, std in zip(*(store.facts["maps"][task][k] for k in ("median", "mean", "std")), strict=True)
    ]
    np.testing.assert_allclose(data.median.flatten(), expected, rtol=1e-5)


@pytest.mark.parametrize(("padding", "flip"), [(0, True), (5, False), (6, True)])
@pytest.mark.parametrize("resident", [0, 1 << 30])
def test_images_and_maps_are_augmented_alike(store, padding, flip, resident):
    data = DenseDeviceData(store, ["copy", "plain", "signed"], CPU, resident)
    rows = torch.arange(12).repeat(3)
    images, maps = data.batch(rows, augmentation(padding, flip), 7)
    copy, plain, signed = maps[:, :3], maps[:, 3:5], maps[:, 5:]
    # Where the map of the image is known it is the image, and it is unknown exactly where padding came in.
    inside = copy.isfinite()
    assert torch.allclose(images[inside], copy[inside], atol=1e-4)
    if padding:
        lost = (~inside[:, 0]).flatten(1).sum(1)
        assert len(lost.unique()) > 5  # each image has its own place
        kept_rows, kept_columns = inside[:, 0].any(2).sum(1), inside[:, 0].any(1).sum(1)
        assert (kept_rows * kept_columns == inside[:, 0].flatten(1).sum(1)).all() and kept_rows.min() >= SIZE - padding
    else:
        assert inside.all()
    falling = torch.tensor([bool((np.diff(row[np.isfinite(row)]) < 0).all()) for row in copy[:, 0, SIZE // 2].numpy()])
    assert falling.any() == flip and not falling.all()
    facts = store.facts["maps"]["plain"]
    for number in range(len(rows)):
        for channel in range(2):
            mean, std = facts["mean"][channel], facts["std"][channel]
            value, other = plain[number, channel] * std + mean, signed[number, channel] * std + mean
            if falling[number] and channel == 0:
                other = 2 * 0.25 - other  # mirrored about 0.25
            torch.testing.assert_close(other, value, equal_nan=True, atol=1e-4, rtol=0)


def test_draws_depend_on_the_seed_alone(store):
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
def test_maps_that_are_not_as_promised_stop(tmp_path, change, word):
    data = DenseData({"train": [0, 1], "validation": [2], "test": [3]}, lambda n: arrays(n) | change)
    maps = {task: MAPS[task] for task in ("copy", "deep", "plain", "signed")}
    with pytest.raises(DataError, match=word):
        write_dense_store(tmp_path, "made_up", "made_up", data, maps, {})
    assert not list(tmp_path.iterdir())


def test_images_of_several_sizes_stop(tmp_path):
    def load(number):
        return {"images": np.full((SIZE, SIZE + number, 3), number, np.uint8)}

    data = DenseData({"train": [0], "validation": [1], "test": [2]}, load)
    with pytest.raises(DataError, match="among others"):
        write_dense_store(tmp_path, "made_up", "made_up", data, {"image": MapFormat(3, "uint8", image=True)}, {})
