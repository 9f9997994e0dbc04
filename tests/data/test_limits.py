"""Fewer training images (``train_images``): which are kept, and that nothing else changes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalarization.data.limits import limited_splits
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import DataError

LABELS = np.repeat(np.arange(4), [400, 200, 100, 20])
SPLITS = {"train": np.arange(0, 720, 2), "validation": np.arange(1, 720, 4), "test": np.arange(3, 720, 4)}


def limited(limit, labels=LABELS):
    return limited_splits("mine", "photo", SPLITS, limit, labels)


def test_validation_and_test_stay_whole():
    splits = limited(40)
    assert len(splits["train"]) == 40 and set(splits["train"]) <= set(SPLITS["train"])
    assert len(set(splits["train"])) == 40
    for split in ("validation", "test"):
        assert np.array_equal(splits[split], SPLITS[split])
    assert np.array_equal(limited(None)["train"], SPLITS["train"])


@pytest.mark.parametrize(("limit", "expected"), [(36, [20, 10, 5, 1]), (0.5, [100, 50, 25, 5]), (4, [1, 1, 1, 1])])
def test_classes_keep_their_shares(limit, expected):
    counts = Counter(LABELS[limited(limit)["train"]].tolist())
    assert [counts[c] for c in range(4)] == expected


@given(st.integers(4, 360))
def test_shares_are_off_by_less_than_one_image_where_every_class_has_more_than_one(limit):
    counts = np.bincount(LABELS[limited(limit)["train"]], minlength=4)
    exact = np.array([200, 100, 50, 10]) * limit / 360
    assert counts.sum() == limit and counts.min() >= 1
    if exact.min() >= 1:
        assert (abs(counts - exact) < 1).all()


def test_fewer_images_are_a_part_of_more_and_the_draw_is_that_of_the_domain():
    few, many = (set(limited(limit)["train"]) for limit in (36, 72))
    assert few < many
    assert set(limited_splits("mine", "sketch", SPLITS, 36, LABELS)["train"]) != few
    assert set(limited(36)["train"]) == few


def test_attributes_and_maps_are_drawn_at_random():
    attributes = np.zeros((720, 3))
    assert len(limited(50, attributes)["train"]) == 50
    keys = {"train": [f"view{n}" for n in range(30)], "validation": ["a"], "test": ["b"]}
    kept = limited_splits("rooms", "building", keys, 7)["train"]
    assert len(kept) == 7 and kept == [key for key in keys["train"] if key in kept]


@pytest.mark.parametrize(
    ("limit", "message"), [(361, "train_images = 361, but the train split of photo has 360 images"), (3, "4 classes")]
)
def test_impossible_numbers(limit, message):
    with pytest.raises(DataError, match=message):
        limited(limit)


def test_a_store_with_fewer_training_images(tmp_path):
    domains = ["mnist", "optdigits"]
    prepare(tmp_path / "whole", "digits", domains, tmp_path)
    prepare(tmp_path / "part", "digits", domains, tmp_path, train_images={"optdigits": 100})
    whole, part = (Store(tmp_path / name / "dataset.json") for name in ("whole", "part"))
    sizes = [
        {s: b - a for s, (a, b) in store.metadata["domains"]["optdigits"]["splits"].items()} for store in (whole, part)
    ]
    assert sizes[1] == {**sizes[0], "train": 100}
    assert part.metadata["domains"]["mnist"]["splits"] == whole.metadata["domains"]["mnist"]["splits"]
    assert part.metadata["train_images"] == {"optdigits": 100} and part.digest != whole.digest
    counts = part.metadata["domains"]["optdigits"]["samples_per_class"]
    assert sum(counts["train"]) == 100 and min(counts["train"]) >= 9
    for split in ("validation", "test"):
        assert counts[split] == whole.metadata["domains"]["optdigits"]["samples_per_class"][split]
