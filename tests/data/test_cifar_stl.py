"""Reading CIFAR-10 and STL-10 from small archives in the official formats, by torchvision's own classes."""

import hashlib
import pickle

import numpy as np
import pytest

from scalarization.benchmarks import cifar_stl
from scalarization.errors import DataError

torchvision_datasets = pytest.importorskip("torchvision.datasets")

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
STL = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
# STL-10's class -> index in CIFAR-10's order; monkey has no partner and takes frog's place.
STL_INDEX = {
    "airplane": 0, "bird": 2, "car": 1, "cat": 3, "deer": 4, "dog": 5, "horse": 7, "monkey": 6, "ship": 8, "truck": 9
}  # fmt: skip
PER_CLASS = {"cifar10": {"train": 20, "test": 3}, "stl10": {"train": 10, "test": 2}}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(folder, generator):
    """Pickled batches: `data` [N, 3072] uint8, red, green and blue plane in turn, each row by row."""
    folder.mkdir(parents=True)
    written = {}
    for split, names in (("train", [f"data_batch_{n}" for n in range(1, 6)]), ("test", ["test_batch"])):
        labels = generator.permutation(np.repeat(np.arange(10), PER_CLASS["cifar10"][split]))
        data = generator.integers(0, 256, size=(len(labels), 3072), dtype=np.uint8)
        parts = zip(names, np.array_split(data, len(names)), np.array_split(labels, len(names)), strict=True)
        for name, part, part_labels in parts:
            (folder / name).write_bytes(pickle.dumps({"data": part, "labels": part_labels.tolist()}))
        written[split] = data, labels
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CIFAR, "num_vis": 3072}))
    return written


def write_stl(folder, generator):
    """Binary files: 96 x 96 images, three planes each, column by column; labels from 1."""
    folder.mkdir(parents=True)
    written = {}
    for split in ("train", "test"):
        labels = generator.permutation(np.repeat(np.arange(10), PER_CLASS["stl10"][split]))
        # Blocks of 3 x 3 equal pixels: a reduction to 32 x 32 has the colour of each block near its middle.
        small = generator.integers(0, 256, size=(len(labels), 4, 4, 3), dtype=np.uint8)
        images = small.repeat(24, axis=1).repeat(24, axis=2)
        images.transpose(0, 3, 2, 1).tofile(folder / f"{split}_X.bin")
        (labels + 1).astype(np.uint8).tofile(folder / f"{split}_y.bin")
        written[split] = small, labels
    np.zeros((1, 3, 96, 96), np.uint8).tofile(folder / "unlabeled_X.bin")
    (folder / "class_names.txt").write_text("\n".join(STL) + "\n")
    (folder / "fold_indices.txt").write_text("\n".join("0 1 2" for _ in range(10)) + "\n")
    return written


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    generator = np.random.default_rng(0)
    cifar = write_cifar(downloads / "cifar-10-batches-py", generator)
    stl = write_stl(downloads / "stl10_binary", generator)
    return downloads, cifar, stl


@pytest.fixture(autouse=True)
def checksums(archives, monkeypatch):
    """The md5 tables of torchvision's classes, for the small files; and no way to the network."""
    downloads = archives[0]
    for dataset in (torchvision_datasets.CIFAR10, torchvision_datasets.STL10):
        folder = downloads / dataset.base_folder
        for table in ("train_list", "test_list"):
            files = [[name, md5(folder / name)] for name, _ in getattr(dataset, table)]
            monkeypatch.setattr(dataset, table, files)
        monkeypatch.setattr(dataset, "url", "http://127.0.0.1:9/nothing-listens-here.tar.gz")
    meta = {**torchvision_datasets.CIFAR10.meta, "md5": md5(downloads / "cifar-10-batches-py" / "batches.meta")}
    monkeypatch.setattr(torchvision_datasets.CIFAR10, "meta", meta)


@pytest.fixture(scope="module")
def read(archives):
    cache = {}

    def read():
        if not cache:
            cache.update(cifar_stl.read(["cifar10", "stl10"], archives[0]))
        return cache

    return read


def test_classes_are_cifars():
    assert list(cifar_stl.INFO.classes) == CIFAR


def test_cifar_images_and_labels(read, archives):
    data = read()["cifar10"]
    written = archives[1]
    expected = np.concatenate([written["train"][0], written["test"][0]])
    assert data.images.shape == (230, 32, 32, 3) and data.images.dtype == np.uint8
    for row in (0, 57, 199, 229):
        for y, x, c in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (5, 17, 1)):
            assert data.images[row, y, x, c] == expected[row, c * 1024 + y * 32 + x]
    assert data.labels.tolist() == [*written["train"][1], *written["test"][1]]


def test_stl_labels_are_mapped_by_name(read, archives):
    data = read()["stl10"]
    original = [STL[n] for n in (*archives[2]["train"][1], *archives[2]["test"][1])]
    assert data.labels.tolist() == [STL_INDEX[name] for name in original]
    assert len(set(data.labels.tolist())) == 10


def test_stl_images_are_upright_and_reduced(read, archives):
    data = read()["stl10"]
    small = np.concatenate([archives[2]["train"][0], archives[2]["test"][0]])
    assert data.images.shape == (120, 32, 32, 3) and data.images.dtype == np.uint8
    # A block of 24 pixels becomes one of 8; its inner pixels keep the colour.
    inner = data.images.reshape(120, 4, 8, 4, 8, 3)[:, :, 2:6, :, 2:6]
    assert np.array_equal(inner, np.broadcast_to(small[:, :, None, :, None], inner.shape))


@pytest.mark.parametrize("domain", ["cifar10", "stl10"])
def test_validation_is_a_stratified_tenth_of_the_training_set(read, domain):
    data = read()[domain]
    train, test = (10 * PER_CLASS[domain][s] for s in ("train", "test"))
    sizes = {split: len(rows) for split, rows in data.splits.items()}
    assert sizes == {"train": train - train // 10, "validation": train // 10, "test": test}
    assert sorted(np.concatenate([data.splits["train"], data.splits["validation"]])) == list(range(train))
    assert data.splits["test"].tolist() == list(range(train, train + test))
    counts = np.bincount(data.labels[data.splits["validation"]], minlength=10)
    assert abs(counts - PER_CLASS[domain]["train"] / 10).max() <= 1


def test_one_domain_is_split_the_same_without_the_other(read, archives):
    alone = cifar_stl.read(["stl10"], archives[0])
    assert set(alone) == {"stl10"}
    assert np.array_equal(alone["stl10"].splits["validation"], read()["stl10"].splits["validation"])


def test_stated_sizes_agree():
    info = cifar_stl.INFO
    assert info.domains == {"cifar10": 50000, "stl10": 5000}


@pytest.mark.parametrize(("domain", "name"), [("cifar10", "CIFAR10"), ("stl10", "STL10")])
def test_missing_archive_without_network_is_named(domain, name, tmp_path):
    with pytest.raises(DataError, match=f"{name} is not in {tmp_path}.*data_dir"):
        cifar_stl.read([domain], tmp_path)


def test_damaged_archive_without_network_is_named(archives, tmp_path):
    write_stl(tmp_path / "stl10_binary", np.random.default_rng(1))  # other bytes than the table expects
    with pytest.raises(DataError, match=f"STL10 is not in {tmp_path}"):
        cifar_stl.read(["stl10"], tmp_path)


def test_archives_become_a_prepared_store(archives, tmp_path):
    from scalarization.data.prepare import prepare
    from scalarization.data.store import Store

    prepare(tmp_path / "store", "cifar_stl", ["cifar10", "stl10"], archives[0])
    store = Store(tmp_path / "store" / "dataset.json")
    store.verify()
    assert store.image_shape == (32, 32, 3) and store.classes == CIFAR
    assert len(store.facts["normalisation"]["mean"]) == 3
    assert len(store.images("stl10", "validation")) == 10
