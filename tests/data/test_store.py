"""Splits and the prepared store: disjoint, stratified, complete and reproducible; damaged files are named."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalarization.benchmarks import SPLITS, digits
from scalarization.benchmarks.base import DomainData
from scalarization.benchmarks.splits import stratified_split
from scalarization.data.prepare import prepare, write_store
from scalarization.data.store import Store
from scalarization.errors import DataError


@st.composite
def labelled_rows(draw):
    classes = draw(st.integers(1, 8))
    labels = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=200)))
    cuts = sorted(draw(st.lists(st.integers(0, len(labels)), min_size=2, max_size=2)))
    sizes = dict(zip(SPLITS, np.diff([0, *cuts, len(labels)]).tolist(), strict=True))
    return labels, sizes, draw(st.integers(0, 1000))


@given(labelled_rows())
def test_split_is_exact_and_stratified(case):
    labels, sizes, seed = case
    splits = stratified_split(labels, sizes, np.random.default_rng(seed))
    assert {split: len(rows) for split, rows in splits.items()} == sizes
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(len(labels)))
    classes, counts = np.unique(labels, return_counts=True)
    for rows in splits.values():
        for label, count in zip(classes, counts, strict=True):
            # Rows of a class are spread evenly on a line, and a split is an interval of it: the count is off by one row
            # at most, plus what all classes together shift the ends of the interval by.
            exact = count * len(rows) / len(labels)
            assert abs((labels[rows] == label).sum() - exact) <= 1 + len(classes) * count / len(labels) + 1e-9


def test_split_depends_on_its_seed_only():
    labels = np.arange(300) % 7
    sizes = {"train": 200, "validation": 100}
    first, again, other = (stratified_split(labels, sizes, np.random.default_rng(s)) for s in (0, 0, 1))
    assert np.array_equal(first["train"], again["train"])
    assert not np.array_equal(np.sort(first["train"]), np.sort(other["train"]))


def test_wrong_split_sizes_are_refused():
    with pytest.raises(ValueError, match="sum to 3"):
        stratified_split(np.zeros(4, int), {"train": 2, "test": 1}, np.random.default_rng(0))


# --- Digits ---


@pytest.mark.parametrize("domain", ["mnist", "optdigits", "mfeat"])
def test_digits_splits_are_disjoint_and_stratified(domain):
    data = digits.read([domain], None)[domain]
    rows = np.concatenate([data.splits[s] for s in SPLITS])
    assert sorted(rows.tolist()) == list(range(len(data.labels)))
    for split in SPLITS:
        assert len(data.splits[split]) == digits.SPLIT_SIZES[domain][split]
        for digit in range(10):
            overall = (data.labels == digit).mean()
            fraction = (data.labels[data.splits[split]] == digit).mean()
            assert abs(fraction - overall) * len(data.splits[split]) <= 2


@pytest.mark.parametrize("domain", ["mnist", "optdigits", "mfeat"])
def test_no_image_is_in_two_splits(domain):
    data = digits.read([domain], None)[domain]
    seen = {s: {data.images[row].tobytes() for row in data.splits[s]} for s in SPLITS}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not seen[one] & seen[other]


def test_digits_store_holds_the_bundled_images(digits_store):
    for domain in ("mnist", "optdigits", "mfeat"):
        data = digits.read([domain], None)[domain]
        for split in SPLITS:
            assert np.array_equal(digits_store.images(domain, split), data.images[data.splits[split]])
            assert np.array_equal(digits_store.labels(domain, split), data.labels[data.splits[split]])
    assert digits_store.image_shape == (16, 16, 1)
    assert digits_store.images("mnist", "train").dtype == np.uint8
    digits_store.verify()


def test_first_rows_of_a_split_are_a_random_part_of_it(digits_store):
    labels = digits_store.labels("mnist", "train")[:1000]
    assert np.bincount(labels, minlength=10).min() > 60  # MNIST is bundled sorted by class


def test_dataset_json_has_counts_licence_and_checksums(digits_directory):
    metadata = json.loads((digits_directory / "dataset.json").read_text())
    assert metadata["classes"] == list("0123456789")
    assert metadata["licence"]["mnist"] == "CC BY-SA 3.0" and metadata["licence"]["optdigits"] == "CC BY 4.0"
    for domain, described in metadata["domains"].items():
        for split in SPLITS:
            start, stop = described["splits"][split]
            assert stop - start == digits.SPLIT_SIZES[domain][split] == sum(described["samples_per_class"][split])
        for file in described["files"].values():
            content = (digits_directory / file["name"]).read_bytes()
            assert file["bytes"] == len(content) and file["sha256"] == hashlib.sha256(content).hexdigest()


def test_preparing_twice_gives_the_same_bytes(digits_directory, tmp_path):
    prepare(tmp_path / "again", "digits", ["mnist", "optdigits", "mfeat"], tmp_path / "downloads")
    names, again = (
        sorted(f.name for f in directory.iterdir() if not f.name.startswith("."))
        for directory in (digits_directory, tmp_path / "again")
    )
    assert names == again
    for name in names:
        assert (digits_directory / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_domain_is_prepared_the_same_with_or_without_others(digits_directory, tmp_path):
    prepare(tmp_path, "digits", ["optdigits"], tmp_path / "downloads")
    for name in ("optdigits_images.npy", "optdigits_labels.npy"):
        assert (digits_directory / name).read_bytes() == (tmp_path / name).read_bytes()
    assert not list(tmp_path.glob("mnist*"))


def test_normalisation_gives_domains_equal_weights(tmp_path):
    """Mean and standard deviation over train splits, with equal weights for domains of different sizes."""
    generator = np.random.default_rng(0)
    domains = {}
    for name, size, level in (("large", 60, 40), ("small", 6, 200)):
        images = generator.integers(0, level, size=(size, 4, 4, 2), dtype=np.uint8)
        rows = np.arange(size)
        splits = {"train": rows[: size // 2], "validation": rows[size // 2 : -1], "test": rows[-1:]}
        domains[name] = DomainData(images, np.zeros(size, int), splits)
    write_store(tmp_path, "random", domains, {"classes": ["one"]})
    pixels = [d.images[d.splits["train"]].reshape(-1, 2) / 255 for d in domains.values()]
    weights = np.concatenate([np.full(len(p), 0.5 / len(p)) for p in pixels])[:, None]
    mean = (weights * np.concatenate(pixels)).sum(axis=0)
    std = np.sqrt((weights * (np.concatenate(pixels) - mean) ** 2).sum(axis=0))
    normalisation = Store(tmp_path / "dataset.json").metadata["normalisation"]
    assert np.allclose(normalisation["mean"], mean, atol=1e-6) and np.allclose(normalisation["std"], std, atol=1e-6)


def test_overlapping_splits_are_refused(tmp_path):
    rows = np.arange(4)
    data = DomainData(
        np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, int), {"train": rows, "validation": rows, "test": rows}
    )
    with pytest.raises(DataError, match="random: 8 images of one are in two splits: image 0 of one"):
        write_store(tmp_path, "random", {"one": data}, {"classes": ["a"]})
    assert not (tmp_path / "dataset.json").exists()


# --- Damage ---


@pytest.fixture
def copied(digits_directory, tmp_path):
    return shutil.copytree(digits_directory, tmp_path / "digits")


def test_missing_store_is_named(tmp_path):
    with pytest.raises(DataError, match=r"digits/dataset.json.*snakemake"):
        Store(tmp_path / "digits" / "dataset.json")


@pytest.mark.parametrize("offset", [0, 200, -1], ids=["first byte", "header's end", "last byte"])
@pytest.mark.parametrize("name", ["mnist_images.npy", "optdigits_labels.npy"])
def test_changed_byte_is_detected(copied, name, offset):
    content = bytearray((copied / name).read_bytes())
    content[offset] ^= 0x10
    (copied / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        Store(copied / "dataset.json").verify()


@pytest.mark.parametrize("name", ["mnist_images.npy", "mfeat_labels.npy"])
def test_truncated_file_is_named(copied, name):
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name}.*{len(content) // 2} bytes, expected {len(content)}"):
        Store(copied / "dataset.json")


def test_missing_file_is_named(copied):
    (copied / "optdigits_images.npy").unlink()
    with pytest.raises(DataError, match=r"optdigits_images.npy: missing"):
        Store(copied / "dataset.json")


@pytest.mark.parametrize("text", ['{"format": 1, "dom', "", '{"format": 99}', "[]", "null"])
def test_damaged_dataset_json_is_named(copied, text):
    (copied / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset.json"):
        Store(copied / "dataset.json")


def test_changed_data_change_the_digest(digits_store, tmp_path):
    prepare(tmp_path, "digits", ["optdigits"], tmp_path / "downloads")
    assert Store(tmp_path / "dataset.json").digest != digits_store.digest
