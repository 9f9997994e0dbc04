"""Original data that are not what they should be: refused, with names and a way out, or taken as they are meant.

Inputs of kind 7 of the collection of faults, and more of the same kinds. Files are written in the official formats.
"""

import dataclasses
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from scalarization import benchmarks
from scalarization.benchmarks import celeba, cifar_stl, domainnet, taskonomy
from scalarization.benchmarks.archives import unpickle
from scalarization.benchmarks.base import (
    AttributeLabels,
    BenchmarkInfo,
    ClassLabels,
    DenseData,
    DomainData,
    DomainInfo,
    EncodedDomain,
    MapFormat,
    MapLabels,
)
from scalarization.benchmarks.originals import read_sums
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import DataError

from ..archives import (
    CIFAR,
    VIEWS,
    encoded,
    picture,
    python2_pickle,
    write_celeba,
    write_cifar,
    write_domainnet,
    write_stl,
    write_sums,
    write_taskonomy,
)

SIZES = {"sketch": ((7, 6, 5, 2), (2, 2, 2, 2))}
FEW_TASKS = ["depth", "normals", "segmentation_2d", "autoencoding"]


def refused(words, *arguments):
    """Prepare a store; the one-line message matches and no store exists. Returns the message."""
    with pytest.raises(DataError, match=words) as caught:
        prepare(*arguments)
    assert "\n" not in str(caught.value)
    assert not (arguments[0] / "dataset.json").exists()
    return str(caught.value)


# --- A reader of the user's own ---

SPLITS = {"train": range(6), "validation": range(6, 8), "test": range(8, 11)}


def own_data(**changes):
    generator = np.random.default_rng(0)
    content = {
        "images": generator.integers(0, 256, (11, 8, 8, 3), dtype=np.uint8),
        "labels": np.arange(11) % 3,
        "splits": {split: np.array(rows) for split, rows in SPLITS.items()},
    }
    return DomainData(**{**content, **changes})


OWN = BenchmarkInfo(
    labels=ClassLabels(("a", "b", "c")),
    domains={"one": DomainInfo(6), "two": DomainInfo(6)},
    image_size=8,
    channels=3,
    provenance={"source": "a test"},
    read=None,
)


@pytest.fixture
def own(monkeypatch, tmp_path):
    """(data or function, **changes of the declaration) -> arguments of `prepare`."""

    def own(data, domains=("one",), **changes):
        read = data if callable(data) else lambda names, downloads: data
        info = dataclasses.replace(OWN, read=read, **changes)
        monkeypatch.setattr(benchmarks, "load", lambda name: info)
        return tmp_path / "store", "mine", list(domains), tmp_path

    return own


def test_right_data_are_prepared(own):
    arguments = own({"one": own_data()})
    prepare(*arguments)
    store = Store(arguments[0] / "dataset.json")
    assert np.array_equal(store.images("one", "test"), own_data().images[8:])
    assert store.metadata["equal_images"] == {"in_two_splits": [], "within_a_split": []}


def changed(array, position, value, dtype=None):
    array = array.astype(dtype or array.dtype)
    array[position] = value
    return array


IMAGES, LABELS = own_data().images, own_data().labels


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": changed(LABELS, 4, 3)}, "mine: one: 1 wrong.*expected 0 to 2 for 3 classes: image 4 has 3"),
        ({"labels": changed(LABELS, 4, -1)}, "image 4 has -1"),
        ({"labels": LABELS + 100}, "11 wrong label.*image 0 has 100.*and 1 more"),
        ({"labels": changed(LABELS, 4, 255, np.uint8)}, "image 4 has 255"),
        ({"labels": changed(LABELS, 4, 2**62, np.uint64)}, "image 4 has 4611686018427387904"),
        ({"labels": LABELS + 0.0}, "labels are float64, expected integers$"),
        ({"labels": changed(LABELS, 4, 1.5, float)}, "labels are float64, expected integers; that of image 4 is 1.5"),
        ({"labels": changed(LABELS, 4, np.nan, float)}, "that of image 4 is nan"),
        ({"labels": changed(LABELS, 4, np.inf, float)}, "labels are float64"),
        ({"labels": LABELS.astype(str)}, "labels are <U21, expected integers"),
        ({"labels": LABELS.astype(bool)}, "labels are bool, expected integers"),
        ({"labels": LABELS.astype(complex)}, "labels are complex128"),
        ({"labels": changed(LABELS, 4, None, object)}, "labels are object, expected integers; that of image 4 is None"),
        ({"labels": LABELS.tolist()}, "labels are of type list, expected an array of integers"),
        ({"labels": LABELS[:, None]}, r"labels have shape \(11, 1\), expected 1 dimension"),
        ({"labels": LABELS[:-1]}, r"images are uint8 \(11, 8, 8, 3\), expected uint8 \(10, 8, 8, 3\) for 10 labels"),
        ({"images": IMAGES / 255}, r"images are float64 \(11, 8, 8, 3\), expected uint8"),
        ({"images": IMAGES.astype(np.int8)}, "images are int8"),
        ({"images": IMAGES[..., 0]}, r"images are uint8 \(11, 8, 8\), expected uint8 \(11, 8, 8, 3\)"),
        ({"images": IMAGES[..., :1]}, r"images are uint8 \(11, 8, 8, 1\)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, r"images are uint8 \(11, 3, 8, 8\)"),
        ({"images": IMAGES[:, :7]}, r"images are uint8 \(11, 7, 8, 3\)"),
        ({"images": list(IMAGES)}, "images are list"),
        ({"images": np.zeros_like(IMAGES)}, "8 images of one are in two splits|images of one are in two splits"),
        ({"splits": {"train": range(8), "test": range(8, 11)}}, "splits are train, test, expected train, validation"),
        ({"splits": {**SPLITS, "extra": range(1)}}, "splits are train, validation, test, extra"),
        ({"splits": [range(6)]}, "splits are list"),
        ({"splits": None}, "splits are NoneType"),
        ({"splits": {**SPLITS, "test": None}}, r"split test is object \(\)"),
        ({"splits": {**SPLITS, "test": [[8], [9, 10]]}}, "split test has no rows"),
        ({"splits": {**SPLITS, "test": ["8"]}}, "split test is <U1"),
        ({"labels": np.empty(0, object)}, "labels are object, expected integers$"),
        ({"labels": None}, "labels are of type NoneType"),
        ({"labels": np.array("2020-01-01", "M8[D]") + LABELS}, "labels are datetime64"),
        ({"splits": {**SPLITS, "validation": []}}, "no image is in validation"),
        ({"splits": {"train": [], "validation": [], "test": range(3)}}, "no image is in train and validation"),
        ({"splits": {**SPLITS, "test": range(8, 12)}}, "split test has rows 11, there are 11 images"),
        ({"splits": {**SPLITS, "test": np.array([8, -1])}}, "split test has rows -1"),
        ({"splits": {**SPLITS, "test": np.array([8.0, 9.0])}}, "split test is float64"),
        ({"splits": {**SPLITS, "test": np.arange(11) > 7}}, "split test is bool"),
        ({"splits": {**SPLITS, "test": np.array([[8, 9]])}}, r"split test is int64 \(1, 2\)"),
        ({"splits": {**SPLITS, "train": [0, 1, 2, 3, 4, 4]}}, "1 images are twice in train: image 4"),
        ({"splits": {**SPLITS, "test": [5, 8, 9, 10]}}, "splits overlap, 1 images are in two of them: image 5"),
        ({"splits": {**SPLITS, "train": range(5)}}, "declared are 6 images for training, there are 5 and 2"),
        (
            {"images": changed(IMAGES, 9, IMAGES[2])},
            r"1 images of one are in two splits: image 2 of one \(train\) = im",
        ),
        ({"labels": np.array([0, 1, 0, 1, 0, 1, 2, 0, 1, 0, 1])}, r"without any training image are .*c \(one, valid"),
    ],
)
def test_wrong_arrays_of_a_reader_are_refused(changes, words, own):
    refused(words, *own({"one": own_data(**changes)}))


def test_a_constant_channel_is_refused(own):
    images = IMAGES.copy()
    images[..., 1] = 7
    refused("channel 1 is the same in all pixels of the training images", *own({"one": own_data(images=images)}))


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "mine: its reader returned NoneType, expected a dictionary of one"),
        ({}, "expected a dictionary of one"),
        ({"two": own_data()}, "its reader returned two, expected a dictionary of one"),
        ({"one": own_data(), "two": own_data()}, "its reader returned one, two"),
        ({"one": (1, 2)}, "its reader returned tuple, expected DomainData"),
        ({"one": EncodedDomain(bytes, [], LABELS, {})}, "returned EncodedDomain, expected DomainData"),
    ],
)
def test_wrong_results_of_a_reader_are_refused(returned, words, own):
    refused(words, *own(returned))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: (_ for _ in ()).throw(KeyError("label")), "KeyError: 'label'"),
        (lambda: np.load("/nonexistent/labels.npy"), "FileNotFoundError.*/nonexistent/labels.npy"),
        (lambda: np.load(io.BytesIO(b"no array")), "UnpicklingError|ValueError"),
        (lambda: b"\xff".decode(), "UnicodeDecodeError"),
        (lambda: [][0], "IndexError"),
    ],
)
def test_a_reader_that_fails_is_named_with_file_and_line(error, words, own):
    refused(f"mine: its reader failed on the files in .*({words}).*line", *own(lambda names, downloads: error()))


def test_an_image_of_one_domain_must_not_be_in_another_s_test_split(own):
    other = own_data(images=changed(255 - IMAGES, 9, IMAGES[0]))
    refused(
        r"image 0 of one \(train\) = image 9 of two \(test\)", *own({"one": own_data(), "two": other}, ("one", "two"))
    )


def test_an_image_that_is_twice_in_a_split_is_listed(own, caplog):
    arguments = own({"one": own_data(images=changed(IMAGES, 1, IMAGES[4]))})
    prepare(*arguments)
    equal = Store(arguments[0] / "dataset.json").metadata["equal_images"]
    assert equal == {"in_two_splits": [], "within_a_split": [["image 1 of one", "image 4 of one"]]}
    assert "1 images are twice in a split: image 1 of one (train) = image 4 of one (train)" in caplog.text


def test_published_data_may_share_a_declared_part_of_their_images(own):
    data = {"one": own_data(images=changed(IMAGES, 9, IMAGES[2]))}
    refused("in two splits: ", *own(data, shared_images=0.09))
    arguments = own(data, shared_images=0.1)
    prepare(*arguments)
    equal = json.loads((arguments[0] / "dataset.json").read_text())["equal_images"]
    assert equal["in_two_splits"] == [["image 2 of one", "image 9 of one"]]


def test_classes_that_a_domain_lacks_are_named(own, caplog):
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    prepare(*own({"one": own_data(labels=labels)}))
    assert "mine: one: 1 classes have no training image: c" in caplog.text


ATTRIBUTES = {"labels": AttributeLabels({"g": ("x", "y")}, ("z",))}
BITS = np.random.default_rng(1).integers(0, 2, (11, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (changed(BITS, (4, 1), 2), r"1 wrong.*0 or 1 for every attribute: image 4 has \["),
        (changed(BITS, (4, 1), -1, np.int8), "image 4 has"),
        (changed(BITS, (4, 1), 0.5, float), "labels are float64, expected integers; that of image 4"),
        (changed(BITS, (4, 1), np.nan, float), "that of image 4"),
        (BITS.astype(bool), "labels are bool"),
        (BITS[:, :2], "labels of 2 attributes, 3 are declared"),
        (BITS[:, 0], r"labels have shape \(11,\), expected 2 dimension"),
    ],
)
def test_wrong_attributes_are_refused(labels, words, own):
    refused(words, *own({"one": own_data(labels=labels)}, **ATTRIBUTES))


def test_attributes_that_are_constant_are_named(own, caplog):
    labels = BITS.copy()
    labels[:6, 1] = 1
    prepare(*own({"one": own_data(labels=labels)}, **ATTRIBUTES))
    assert "mine: one: equal in all training images: y" in caplog.text


def test_all_wrong_originals_of_an_own_encoded_benchmark_are_named(own):
    generator = np.random.default_rng(0)
    contents = [encoded(picture(generator, 20, 30)) for _ in range(11)]
    contents[3] = contents[3][:100]

    def content(row):
        if row == 7:
            raise OSError("disk on fire")
        return "text" if row == 9 else contents[row]

    splits = {split: np.array(rows) for split, rows in SPLITS.items()}
    domain = EncodedDomain(content, [f"photo {n}" for n in range(11)], LABELS, splits)
    message = refused("3 of 11 originals", *own({"one": domain}, encoded=True, image_size=224))
    for name in ("photo 3", "photo 7 could not be read (OSError: disk on fire)", "photo 9"):
        assert name in message
    short = EncodedDomain(content, ["photo"], LABELS, splits)
    refused("1 names and 11 labels", *own({"one": short}, encoded=True, image_size=224))


# --- Maps of the user's own ---

MAPS = {"deep": MapFormat(1, "uint16", invalid=65535), "flat": MapFormat(2, "float16")}


def own_maps(number):
    generator = np.random.default_rng(number)
    return {
        "images": generator.integers(0, 256, (8, 8, 3), dtype=np.uint8),
        "deep": generator.integers(0, 60000, (8, 8, 1), dtype=np.uint16),
        "flat": generator.normal(size=(8, 8, 2)).astype(np.float16),
    }


def dense(change=None, splits=SPLITS, **declared):
    """Data of which image 4 is changed."""

    def load(number):
        arrays = own_maps(number)
        return change(arrays) if change and number == 4 else arrays

    return DenseData(splits, load, **declared)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a | {"deep": a["deep"].astype(np.uint8)}, r"4 has deep: uint8 \(8, 8, 1\), expected uint16"),
        (lambda a: a | {"deep": a["deep"] / 1}, "4 has deep: float64"),
        (lambda a: a | {"deep": a["deep"][:4]}, r"4 has deep: uint16 \(4, 8, 1\), expected uint16 \(8, 8, 1\)"),
        (lambda a: a | {"deep": a["deep"][..., 0]}, r"deep: uint16 \(8, 8\)"),
        (lambda a: a | {"deep": np.full_like(a["deep"], 65535)}, "4 has no known value in deep"),
        (lambda a: a | {"flat": np.full_like(a["flat"], np.nan)}, "4 has no known value in flat"),
        (lambda a: a | {"flat": np.full_like(a["flat"], np.inf)}, "4 has infinite values in flat"),
        (lambda a: a | {"images": a["images"] / 255}, "4 has images: float64"),
        (lambda a: a | {"images": a["images"][:4]}, r"4 has images: uint8 \(4, 8, 3\), expected uint8 \(8, 8, 3\)"),
        (lambda a: a | {"more": a["deep"]}, "4 has deep, flat, images, more, expected deep, flat, images"),
        (lambda a: {"images": a["images"], "deep": a["deep"]}, "4 has deep, images, expected"),
        (lambda a: None, "4 has NoneType"),
        (lambda a: a["nothing"], "4 could not be read .KeyError"),
        (lambda a: own_maps(9), r"1 images of one are in two splits: 4 \(train\) = 9 \(test\)"),
    ],
)
def test_wrong_maps_are_refused(change, words, own):
    refused(words, *own(dense(change), labels=MapLabels(MAPS)))


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({**SPLITS, "test": []}, "no image is in test"),
        ({**SPLITS, "test": [5, 8]}, "splits overlap, 1 images are in two of them: 5"),
        ({**SPLITS, "test": [8, 8]}, "twice in test: 8"),
        ({"train": range(6)}, "splits are train, expected"),
        ({**SPLITS, "test": None}, "split test is of type NoneType, expected a sequence"),
        ({**SPLITS, "test": (n for n in range(8, 11))}, "split test is of type generator"),
        ({**SPLITS, "test": [[8], [9]]}, "keys of split test must be numbers, texts or tuples"),
        ({**SPLITS, "train": range(3)}, "declared are 6 images for training, there are 3 and 2"),
    ],
)
def test_wrong_splits_of_maps_are_refused(splits, words, own):
    refused(words, *own(dense(splits=splits), labels=MapLabels(MAPS)))


def test_maps_are_refused_where_arrays_are_expected_and_the_other_way_round(own):
    refused("returned DomainData, expected DenseData", *own(own_data(), labels=MapLabels(MAPS)))
    refused("returned DenseData, expected a dictionary", *own(dense()))


def test_left_out_images_leave_a_right_store(own):
    """The header of each array has the number of the images that remain."""
    arguments = own(dense(lambda a: None, tolerated=0.1), labels=MapLabels(MAPS))
    prepare(*arguments)
    store = Store(arguments[0] / "dataset.json")
    store.verify()
    kept = [n for n in range(11) if n != 4]
    for kind in ("images", "deep", "flat"):
        assert np.array_equal(store.array("one", kind), np.stack([own_maps(n)[kind] for n in kept]))
    assert store.metadata["domains"]["one"]["splits"] == {"train": [0, 5], "validation": [5, 7], "test": [7, 10]}
    assert list(store.metadata["remarks"]["left_out"]) == ["4"]
    known = np.stack([own_maps(n)["deep"] for n in (0, 1, 2, 3, 5)]).astype(float)
    assert store.maps["deep"]["mean"] == [pytest.approx(known.mean())]


# --- CIFAR-10 and STL-10 ---


def cifar(directory, change, batch="data_batch_2"):
    """CIFAR-10 whose second batch is changed by a function of its dictionary."""
    write_cifar(directory, np.random.default_rng(0), packed=False)
    folder = directory / "cifar-10-batches-py"
    content = unpickle((folder / batch).read_bytes(), batch)
    change(content)
    (folder / batch).write_bytes(pickle.dumps(content, 2))
    write_sums(directory)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10, "data_batch_2: 1 wrong.*expected 0 to 9 for 10 classes: image 3 has 10"),
        (-1, "data_batch_2: 1 wrong.*image 3 has -1"),
        (255, "image 3 has 255"),
        (1.5, "data_batch_2: labels are float64, expected integers; that of image 3 is 1.5"),
        (float("nan"), "labels are float64, expected integers; that of image 3 is nan"),
        (2.0, "data_batch_2: labels are float64"),
        ("1", "data_batch_2: labels are <U"),
        (None, "labels are object, expected integers; that of image 3 is None"),
        (2**70, "labels are object"),
    ],
)
def test_wrong_label_of_cifar_is_refused(value, words, tmp_path):
    cifar(tmp_path, lambda batch: batch["labels"].__setitem__(3, value))
    refused(words, tmp_path / "store", "cifar_stl", ["cifar10"], tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b["labels"].pop(), "CIFAR-10's data_batch_2: 39 labels of 40 images"),
        (lambda b: b["labels"].append(1), "CIFAR-10's data_batch_2: 41 labels of 40 images"),
        (lambda b: b.update(labels=[]), "data_batch_2: 0 labels of 40 images"),
        (lambda b: b.update(labels=[True] * 40), "labels are bool"),
        (lambda b: b.pop("labels"), "cifar10 is not in its official format .KeyError"),
        (
            lambda b: b.update(data=b["data"] / 255.0),
            r"data_batch_2: its data are float64 \(40, 3072\), expected uint8",
        ),
        (lambda b: b.update(data=b["data"].astype(np.uint16)), "its data are uint16"),
        (lambda b: b.update(data=b["data"].reshape(40, 3, 1024)), r"its data are uint8 \(40, 3, 1024\)"),
        (lambda b: b.update(data=b["data"][:, :3000]), r"its data are uint8 \(40, 3000\)"),
        (lambda b: b.update(data=b["data"].tolist()), "not in its official format"),
        (lambda b: b["data"].__setitem__(1, b["data"][0]), None),
    ],
)
def test_wrong_batch_of_cifar_is_refused(change, words, tmp_path):
    cifar(tmp_path, change)
    arguments = (tmp_path / "store", "cifar_stl", ["cifar10"], tmp_path)
    if words:
        refused(words, *arguments)
        return
    prepare(*arguments)  # official data have images that are twice in the training set
    assert len(Store(tmp_path / "store" / "dataset.json").metadata["equal_images"]["within_a_split"]) <= 1


def test_batches_with_labels_of_each_other_are_refused(tmp_path):
    """The total is right, and every label after the first batch would belong to another image."""
    cifar(tmp_path, lambda batch: batch["labels"].pop())
    folder = tmp_path / "cifar-10-batches-py"
    other = unpickle((folder / "data_batch_3").read_bytes(), "x")
    other["labels"].append(0)
    (folder / "data_batch_3").write_bytes(python2_pickle(other))
    write_sums(tmp_path)
    refused("data_batch_2: 39 labels of 40", tmp_path / "store", "cifar_stl", ["cifar10"], tmp_path)


def test_training_image_of_cifar_also_in_test_is_refused(tmp_path):
    written = write_cifar(tmp_path, np.random.default_rng(0), packed=False)
    cifar(tmp_path, lambda batch: batch["data"].__setitem__(0, written["train"][0][17]), "test_batch")
    refused(r"cifar10.*in two splits: image 17", tmp_path / "store", "cifar_stl", ["cifar10"], tmp_path)


def stl(directory, name, change):
    write_stl(directory, np.random.default_rng(0), packed=False)
    file = directory / "stl10_binary" / name
    file.write_bytes(change(file.read_bytes()))
    write_sums(directory)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("train_X.bin", lambda c: c[:-1], "STL-10's train_X.bin: 2764799 bytes, expected 2764800.*truncated"),
        ("train_X.bin", lambda c: c[: len(c) // 2], "train_X.bin: 1382400 bytes"),
        ("test_X.bin", lambda c: b"", "test_X.bin: 0 bytes"),
        ("train_y.bin", lambda c: c[:-1], "train_X.bin: 2764800 bytes, expected 2737152 for the 99 labels"),
        ("train_y.bin", lambda c: c + b"\x01", "for the 101 labels"),
        ("train_y.bin", lambda c: b"\x00" + c[1:], "train_y.bin, counted from 0: 1 wrong.*image 0 has -1"),
        ("train_y.bin", lambda c: b"\x0b" + c[1:], "image 0 has 10"),
        ("test_y.bin", lambda c: c[:-1] + b"\xff", "test_y.bin.*image 19 has 254"),
        ("class_names.txt", lambda c: c[:-7], "class_names.txt"),
        ("class_names.txt", lambda c: b"\xff\xfe" + c, "stl10 is not in its official format"),
    ],
)
def test_wrong_file_of_stl_is_refused(name, change, words, tmp_path):
    stl(tmp_path, name, change)
    refused(words, tmp_path / "store", "cifar_stl", ["stl10"], tmp_path)


def test_fewer_images_than_published_are_refused_without_checksums_of_one_s_own(tmp_path, monkeypatch):
    """Of cifar_stl checksums are published; the sizes are checked all the same."""
    data = {"cifar10": own_data(images=np.zeros((11, 32, 32, 3), np.uint8), labels=np.zeros(11, int))}
    info = dataclasses.replace(
        cifar_stl.BENCHMARK,
        read=lambda names, downloads: data,
        domains={"cifar10": DomainInfo(12, images=15)},
        labels=ClassLabels(tuple(CIFAR)),
    )
    monkeypatch.setattr(benchmarks, "load", lambda name: info)
    arguments = (tmp_path / "store", "cifar_stl", ["cifar10"], tmp_path)
    refused("declared are 12 images for training, there are 6 and 2.*15 images in all splits, there are 11", *arguments)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  x\n")
    refused("in two splits", *arguments)  # the sizes are no longer compared, the images are


# --- DomainNet ---


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    write_domainnet(folder, np.random.default_rng(0), SIZES)
    return folder


@pytest.fixture
def sketch(official, tmp_path):
    """Directory of a copy of DomainNet's files, and the arguments of `prepare`."""
    shutil.copytree(official, tmp_path / "data")
    return tmp_path / "data" / "domainnet", (tmp_path / "store", "domainnet", ["sketch"], tmp_path / "data")


def rewritten(file, change, encoding="utf-8"):
    file.write_bytes(change(file.read_text()).encode(encoding))


def first(text):
    return text.partition("\n")[0]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("sketch_test.txt", lambda t: "", "sketch_test.txt: lists no image"),
        ("sketch_train.txt", lambda t: "\n \n", "sketch_train.txt: lists no image"),
        ("sketch_test.txt", lambda t: t + first(t) + "\n", "sketch_test.txt: lists 1 images more than once: sketch/"),
        ("sketch_train.txt", lambda t: t + t, "sketch_train.txt: lists 20 images more than once.*and 10 more"),
        ("sketch_train.txt", lambda t: t.replace("\n", "\n\n", 1), "line 2 is ''"),
        ("sketch_train.txt", lambda t: t.replace(" 0", " -1", 1), "expected a path and a label"),
        ("sketch_train.txt", lambda t: t.replace(" 0", " 0.0", 1), "expected a path and a label"),
        ("sketch_train.txt", lambda t: t.replace(" 0", " 345", 1), "none of 345"),
        ("sketch_train.txt", lambda t: t.replace(" 0", "\t0", 1), "expected a path and a label"),
        ("sketch_train.txt", lambda t: t.replace("sketch/", "../x/sketch/", 1), "lacks 1 listed images"),
        ("sketch_train.txt", lambda t: t.replace("sketch/", "/etc/sketch/", 1), "lacks 1 listed images"),
    ],
)
def test_wrong_list_of_domainnet_is_refused(name, change, words, sketch):
    rewritten(sketch[0] / name, change)
    refused(words, *sketch[1])


def test_training_image_of_domainnet_also_in_test_is_refused(sketch):
    directory, arguments = sketch
    line = first((directory / "sketch_train.txt").read_text())
    rewritten(directory / "sketch_test.txt", lambda text: f"{text}{line}\n")
    refused(f"sketch_test.txt: 1 images are in sketch_train.txt too: {line.rpartition(' ')[0]}", *arguments)


def test_training_image_of_domainnet_under_another_name_in_test_is_refused(sketch):
    directory, arguments = sketch
    path = first((directory / "sketch_train.txt").read_text()).rpartition(" ")[0]
    with zipfile.ZipFile(directory / "sketch.zip", "a") as archive:
        archive.writestr("sketch/airplane/copy.jpg", archive.read(path))
    rewritten(directory / "sketch_test.txt", lambda text: f"{text}sketch/airplane/copy.jpg 1\n")
    refused(r"in two splits: .*(copy.jpg \(test\)|= .*copy.jpg)", *arguments)


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda t: "\ufeff" + t, "utf-8"),
        (lambda t: t.replace("\n", "\r\n"), "utf-8"),
        (lambda t: t + "\n\n", "utf-8"),
        (lambda t: t.rstrip("\n"), "utf-8"),
    ],
    ids=["byte-order mark", "Windows", "empty lines at the end", "no end of line"],
)
def test_harmless_changes_of_a_list_are_accepted(change, encoding, official, sketch, tmp_path):
    for name in ("sketch_train.txt", "sketch_test.txt"):
        rewritten(sketch[0] / name, change, encoding)
    prepare(*sketch[1])
    prepare(tmp_path / "other", "domainnet", ["sketch"], official)
    stores = [Store(directory / "dataset.json") for directory in (sketch[1][0], tmp_path / "other")]
    assert np.array_equal(*(store.labels("sketch", "train") for store in stores))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_list_in_another_encoding_is_refused(encoding, sketch):
    rewritten(sketch[0] / "sketch_train.txt", lambda text: text.replace("000000", "00000é", 1), encoding)
    refused("sketch_train.txt: line 1 is no text in UTF-8", *sketch[1])


def test_all_damaged_images_are_named(sketch):
    """Damaged in the ways that make Pillow raise SyntaxError, OSError, struct.error and others."""
    directory, arguments = sketch
    with zipfile.ZipFile(directory / "sketch.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    broken = [path for path in contents if path.endswith(".png")][:2] + [p for p in contents if p.endswith("0.jpg")][:3]
    contents[broken[0]] = contents[broken[0]].replace(b"IDAT", b"IDAX", 1)
    contents[broken[1]] = contents[broken[1]][:40]
    contents[broken[2]] = b""
    contents[broken[3]] = contents[broken[3]][: len(contents[broken[3]]) // 2]
    contents[broken[4]] = b"<html>not found</html>"
    with zipfile.ZipFile(directory / "sketch.zip", "w") as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
    message = refused("sketch: 5 of 28 originals cannot be used", *arguments)
    assert all(path in message for path in broken)


def test_only_ten_damaged_images_are_written_out(sketch, caplog):
    directory, arguments = sketch
    listed = [line.rpartition(" ")[0] for line in (directory / "sketch_train.txt").read_text().splitlines()]
    with zipfile.ZipFile(directory / "sketch.zip", "w") as archive:
        for path in (*listed, *_paths(directory / "sketch_test.txt")):
            archive.writestr(path, b"not an image")
    with caplog.at_level("INFO"):
        message = refused("28 of 28 originals cannot be used: .*; and 18 more; fetch", *arguments)
    assert message.count("not readable") == 10 and caplog.text.count("unusable: ") == 28


def _paths(file):
    return [line.rpartition(" ")[0] for line in file.read_text().splitlines()]


def test_archive_and_lists_of_different_versions_are_named(sketch):
    directory, arguments = sketch
    with zipfile.ZipFile(directory / "sketch.zip") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    gone = _paths(directory / "sketch_train.txt")[:2]
    with zipfile.ZipFile(directory / "sketch.zip", "w") as archive:
        for path, content in contents.items():
            if path not in gone:
                archive.writestr(path, content)
        archive.writestr("__MACOSX/sketch/._a.jpg", b"x")
    message = refused("lacks 2 listed images", *arguments)
    for words in (*gone, "it holds 27 images", "list 28", "69,128 images in the cleaned version", "70,386", "first"):
        assert words in message


def test_lists_of_the_first_version_are_named(sketch, monkeypatch):
    monkeypatch.setitem(domainnet.FIRST_VERSION, "sketch", 28)
    message = refused("are lists of the first version", *sketch[1])
    assert "69,128 images in the cleaned version" in message and "domainnet/txt/sketch_train.txt" in message


def test_lists_that_lost_lines_are_refused(sketch, monkeypatch):
    domains = {"sketch": DomainInfo(25, images=33)}
    monkeypatch.setattr(benchmarks, "load", lambda n: dataclasses.replace(domainnet.BENCHMARK, domains=domains))
    message = refused("declared are 25 images for training, there are 18 and 2", *sketch[1])
    assert "33 images in all splits, there are 28" in message and "SHA256SUMS" in message
    write_sums(sketch[0].parent)  # a part on purpose
    prepare(*sketch[1])


def test_what_is_no_file_in_an_unpacked_folder_is_missing(sketch):
    directory, arguments = sketch
    with zipfile.ZipFile(directory / "sketch.zip") as archive:
        archive.extractall(directory)
    (directory / "sketch.zip").unlink()
    path = _paths(directory / "sketch_train.txt")[0]
    (directory / path).unlink()
    os.mkfifo(directory / path)  # reading it would wait forever
    refused(f"lacks 1 listed images, for example {path}", *arguments)


# --- CelebA ---


@pytest.fixture
def faces(tmp_path):
    write_celeba(tmp_path / "data", np.random.default_rng(0))
    write_sums(tmp_path / "data")
    return tmp_path / "data" / "celeba", (tmp_path / "store", "celeba", ["celeba"], tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (celeba.ATTRIBUTES_FILE, lambda t: t.replace("000002.jpg", "000001.jpg"), "lists 1 images more than once"),
        (celeba.ATTRIBUTES_FILE, lambda t: t.replace("\n000002", "\n\n000002"), "announces 48 images and lists 49"),
        (celeba.ATTRIBUTES_FILE, lambda t: t.replace(" 1", " 2", 1), "expected a name and 40 values of -1 or 1"),
        (celeba.ATTRIBUTES_FILE, lambda t: t.replace(" 1", " 0", 1), "expected a name and 40 values"),
        (celeba.ATTRIBUTES_FILE, lambda t: t[: len(t) // 2], "announces 48|expected a name and 40 values"),
        (celeba.PARTITION_FILE, lambda t: t.replace(" 0\n", " 3\n", 1), "expected a name and 0, 1 or 2"),
        (celeba.PARTITION_FILE, lambda t: t.replace(" 1\n", " 0\n"), "no image is in validation"),
        (celeba.PARTITION_FILE, lambda t: t[:-14], "lists other images"),
    ],
)
def test_wrong_list_of_celeba_is_refused(name, change, words, faces):
    rewritten(faces[0] / name, change)
    refused(words, *faces[1])


def test_byte_order_mark_in_lists_of_celeba_is_accepted(faces):
    for name in (celeba.ATTRIBUTES_FILE, celeba.PARTITION_FILE):
        rewritten(faces[0] / name, lambda text: "\ufeff" + text.replace("\n", "\r\n"))
    prepare(*faces[1])


def test_all_wrong_faces_are_named(faces):
    directory, arguments = faces
    with zipfile.ZipFile(directory / "img_align_celeba.zip") as archive:
        archive.extractall(directory)
    (directory / "img_align_celeba.zip").unlink()
    folder = directory / "img_align_celeba"
    (folder / "000003.jpg").write_bytes((folder / "000003.jpg").read_bytes()[:500])
    (folder / "000004.jpg").write_bytes(encoded(picture(np.random.default_rng(0), 218, 178)))
    (folder / "000005.jpg").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 3) + b"IHDRabc")
    (folder / "._000006.jpg").write_bytes(b"Mac OS X")
    message = refused("3 of 48 originals cannot be used", *arguments)
    for name in ("000003.jpg is not readable", "000004.jpg has 218 x 178 pixels", "000005.jpg is not readable"):
        assert name in message


def test_face_of_two_splits_is_refused(faces):
    directory, arguments = faces
    with zipfile.ZipFile(directory / "img_align_celeba.zip") as archive:
        archive.extractall(directory)
    (directory / "img_align_celeba.zip").unlink()
    shutil.copy(directory / "img_align_celeba/000001.jpg", directory / "img_align_celeba/000048.jpg")
    refused("1 images of celeba are in two splits: image 0 of celeba", *arguments)


# --- Taskonomy ---


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """What the authors' tool delivers: no building woodbine."""
    directory = tmp_path_factory.mktemp("delivered")
    write_taskonomy(directory, 32, lambda b: () if b == "woodbine" else VIEWS, tool=True)
    return directory


@pytest.fixture
def views(delivered, tmp_path):
    shutil.copytree(delivered, tmp_path / "data")
    arguments = (tmp_path / "store", "taskonomy", ["taskonomy"], tmp_path / "data", FEW_TASKS)
    return tmp_path / "data" / "taskonomy", arguments


def file_of(root, building, kind, view=VIEWS[0]):
    return root / kind / "taskonomy" / building / f"{view}_domain_{kind}.png"


def test_taskonomy_as_its_tool_delivers_it_is_prepared(views, caplog):
    """StanfordVL/taskonomy 50, EPFL-VILAB/omnidata 3: the tiny split lacks woodbine."""
    prepare(*views[1])
    metadata = Store(views[1][0] / "dataset.json").metadata
    assert metadata["remarks"]["absent_buildings"] == ["woodbine"] and metadata["remarks"]["left_out"] == {}
    assert metadata["domains"]["taskonomy"]["splits"]["train"] == [0, 48]
    assert "no building woodbine" in caplog.text


def test_half_of_woodbine_or_another_building_must_not_be_absent(views):
    root, arguments = views
    (root / "rgb/taskonomy/woodbine").mkdir()
    prepare(*arguments)  # the tool leaves empty folders
    (arguments[0] / "dataset.json").unlink()
    shutil.copy(file_of(root, "merom", "rgb"), root / "rgb/taskonomy/woodbine")
    message = refused("no woodbine_depth_zbuffer, woodbine_normal", *arguments)
    assert "Of building woodbine, which the tool does not deliver, all files may be absent" in message
    shutil.rmtree(root / "rgb/taskonomy/woodbine")
    shutil.rmtree(root / "normal/taskonomy/merom")
    refused("no merom_normal. You have to download", *arguments)


def spoiled(content):
    """Ways in which the published files are damaged (taskonomy 72; omnidata 5, 7), and others."""
    chunk = content.index(b"IDAT")
    yield content[: len(content) // 2]
    yield b""
    yield content.replace(b"IDAT", b"IDOT", 1)
    yield content[: chunk + 6] + bytes(20) + content[chunk + 26 :]
    yield content[:20] + b"\xff" + content[21:]


def test_all_damaged_views_are_named_at_once(views):
    root, arguments = views
    files = [file_of(root, b, k) for b in ("merom", "cosmos", "uvalda") for k in ("rgb", "depth_zbuffer")][:5]
    for number, file in enumerate(files):
        content = file.read_bytes()
        file.write_bytes([*spoiled(content)][number])
    message = refused(r"taskonomy: . of 68 originals cannot be used", *arguments)
    for building in ("merom", "cosmos", "uvalda"):
        assert f"/{building}/" in message


def test_a_bounded_share_of_damaged_views_is_left_out(views, caplog, monkeypatch):
    root, arguments = views
    damaged = [file_of(root, "merom", "rgb"), file_of(root, "uvalda", "normal", VIEWS[1])]
    for file in damaged:
        file.write_bytes(file.read_bytes()[:60])
    refused("2 of 68 originals cannot be used: ", *arguments)
    monkeypatch.setattr(taskonomy, "TOLERATED", 2 / 68)
    prepare(*arguments)
    store = Store(arguments[0] / "dataset.json")
    assert sorted(store.metadata["remarks"]["left_out"]) == sorted(map(str, damaged))
    assert "2 of 68 originals cannot be used and are left out" in caplog.text
    assert store.metadata["domains"]["taskonomy"]["splits"] == {
        "train": [0, 47],
        "validation": [47, 57],
        "test": [57, 66],
    }
    assert len(store.array("taskonomy", "depth")) == 66
    monkeypatch.setattr(taskonomy, "TOLERATED", 1.9 / 68)
    (arguments[0] / "dataset.json").unlink()
    refused("2 of 68 originals cannot be used, at most 1 may be: ", *arguments)


def test_one_view_in_a_thousand_may_be_damaged():
    assert taskonomy.TOLERATED == 0.001


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "array", "words"),
    [
        ("depth_zbuffer", np.zeros((32, 32), np.uint8), r"depth_zbuffer.png is uint8 \(32, 32\), expected 1 .*uint16"),
        ("depth_zbuffer", np.zeros((32, 32, 3), np.uint8), r"depth_zbuffer.png is uint8 \(32, 32, 3\)"),
        ("depth_zbuffer", np.zeros((16, 16), np.uint16), "has 16 x 16 pixels, its image 32 x 32"),
        ("depth_zbuffer", np.full((32, 32), 65535, np.uint16), "has no pixel of known depth"),
        ("normal", np.zeros((64, 64, 3), np.uint8), "has 64 x 64 pixels, its image 32 x 32"),
        ("normal", np.zeros((32, 32), np.uint8), r"normal.png is uint8 \(32, 32\), expected 3 channel"),
        ("segment_unsup2d", np.zeros((32, 32), np.uint16), "segment_unsup2d.png is uint16"),
        ("rgb", np.zeros((32, 32), np.uint8), "rgb.png is L of 32 x 32 pixels, expected a square RGB image"),
        ("rgb", np.zeros((32, 48, 3), np.uint8), "rgb.png is RGB of 48 x 32 pixels, expected a square"),
    ],
)
def test_maps_in_another_format_are_refused(kind, array, words, views):
    file_of(views[0], "merom", kind).write_bytes(png(array))
    assert "1 of 68 originals" in refused(words, *views[1])


def test_huge_image_is_refused(views):
    """A header of a few bytes that announces 2.5 gigapixels: DecompressionBombError (Mask_RCNN 1191)."""
    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    file = file_of(views[0], "merom", "rgb")
    content = file.read_bytes()
    file.write_bytes(content[:8] + chunk + content[33:])
    refused(r"merom/.*rgb.png is not readable as an image .*decompression bomb", *views[1])


def test_companions_of_operating_systems_are_no_images(views):
    root, arguments = views
    for kind in ("rgb", "depth_zbuffer", "normal", "segment_unsup2d"):
        folder = root / kind / "taskonomy" / "merom"
        for name in (f"._{VIEWS[0]}_domain_{kind}.png", ".DS_Store", "Thumbs.db"):
            (folder / name).write_bytes(b"no image")
        (folder / "__MACOSX").mkdir()
    prepare(*arguments)
    assert Store(arguments[0] / "dataset.json").metadata["domains"]["taskonomy"]["splits"]["train"] == [0, 48]


def test_view_of_two_buildings_is_refused(views):
    shutil.copy(file_of(views[0], "merom", "rgb"), file_of(views[0], "uvalda", "rgb"))
    refused(r"1 images of taskonomy are in two splits: \('merom', 'point_0_view_0'\)", *views[1])


# --- SHA256SUMS ---


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("  ", "  ./"),
        lambda text: text.replace("  ", " *"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "".join(f"{line[:64].upper()}{line[64:]}\n" for line in text.splitlines()),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("  ", " "),
        lambda text: text + text,
    ],
    ids=["./", "binary mode", "Windows", "byte-order mark", "upper case", "no end of line", "one space", "twice"],
)
def test_own_checksums_in_other_spellings_are_understood(change, tmp_path):
    write_stl(tmp_path, np.random.default_rng(0))
    write_sums(tmp_path)
    expected = read_sums(tmp_path)
    file = tmp_path / "SHA256SUMS"
    file.write_bytes(change(file.read_text()).encode())
    assert read_sums(tmp_path) == expected == {"stl10_binary.tar.gz": expected["stl10_binary.tar.gz"]}
    assert cifar_stl.read(["stl10"], tmp_path)
    file.write_bytes(change(f"{'0' * 64}  stl10_binary.tar.gz\n").encode())
    with pytest.raises(DataError, match=r"expected 0{64} \(SHA256SUMS\)"):
        cifar_stl.read(["stl10"], tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(range(1, 9)) + b"\xff\x00\xfe", "SHA256SUMS: line 1 is (no text in UTF-8|'.*', expected the format)"),
        (b"\x1f\x8b\x08\x00" * 9, "is no text in UTF-8"),
        (b"abc  celeba/x\n", "line 1 is 'abc  celeba/x', expected the format of sha256sum"),
        (b"g" * 64 + b"  celeba/x\n", "expected the format of sha256sum"),
        (b"0" * 64 + b"\n", "expected the format of sha256sum"),
        (b"0" * 64 + b"  x\n\n" + b"0" * 64 + b"  y\n", "line 2 is ''"),
        (b"0" * 64 + b"  x\n" + b"1" * 64 + b"  ./x\n", "line 2: x has two different checksums"),
        (b"SHA256 (x) = " + b"0" * 64, "expected the format of sha256sum"),
    ],
)
def test_damaged_own_checksums_are_refused(content, words, tmp_path):
    (tmp_path / "SHA256SUMS").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_sums(tmp_path)


# --- Archives ---


def test_images_of_a_damaged_archive_are_all_named(sketch):
    directory, arguments = sketch
    content = bytearray((directory / "sketch.zip").read_bytes())
    with zipfile.ZipFile(directory / "sketch.zip") as archive:
        listed = {*_paths(directory / "sketch_train.txt")}
        hit = [info for info in archive.infolist() if info.filename in listed][:3]
    for info in hit:
        content[info.header_offset + 200] ^= 0xFF
    (directory / "sketch.zip").write_bytes(content)
    message = refused("sketch: 3 of 28 originals cannot be used", *arguments)
    assert all(info.filename in message for info in hit)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_of_archives_and_images_never_end_in_a_traceback(seed, official, tmp_path):
    """30 damaged archives each: prepared, or refused with a message."""
    generator = np.random.default_rng(seed)
    shutil.copytree(official, tmp_path / "data")
    file = tmp_path / "data/domainnet/sketch.zip"
    content = file.read_bytes()
    for number in range(30):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            damaged[place] ^= 1 << int(generator.integers(8))
        if number % 3 == 0:  # the directory of the archive
            damaged[len(content) - 1 - int(generator.integers(2000))] ^= 1 << int(generator.integers(8))
        file.write_bytes(damaged)
        try:
            prepare(tmp_path / "store", "domainnet", ["sketch"], tmp_path / "data")
        except DataError as error:
            assert "\n" not in str(error)
