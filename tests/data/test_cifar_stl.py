"""CIFAR-10 and STL-10 from small archives in the official formats, compared with torchvision's readers."""

import hashlib
import pickle
import shutil

import numpy as np
import pytest

from scalarization.benchmarks import cifar_stl
from scalarization.errors import DataError

from ..archives import CIFAR, PER_CLASS, STL, write_cifar, write_stl, write_sums, write_tar

torchvision_datasets = pytest.importorskip("torchvision.datasets")

# STL-10's class -> index in CIFAR-10's order; monkey has no counterpart and gets the index of frog.
STL_INDEX = {
    "airplane": 0, "bird": 2, "car": 1, "cat": 3, "deer": 4, "dog": 5, "horse": 7, "monkey": 6, "ship": 8, "truck": 9
}  # fmt: skip


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def write(downloads, packed):
    generator = np.random.default_rng(0)
    return downloads, write_cifar(downloads, generator, packed), write_stl(downloads, generator, packed)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return write(tmp_path_factory.mktemp("packed"), True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write(tmp_path_factory.mktemp("unpacked"), False)[0]


@pytest.fixture(autouse=True)
def checksums(archives, folders, monkeypatch):
    """torchvision's tables of checksums get those of the small files."""
    for dataset in (torchvision_datasets.CIFAR10, torchvision_datasets.STL10):
        folder = folders / dataset.base_folder
        for table in ("train_list", "test_list"):
            files = [[name, md5(folder / name)] for name, _ in getattr(dataset, table)]
            monkeypatch.setattr(dataset, table, files)
        monkeypatch.setattr(dataset, "tgz_md5", md5(archives[0] / dataset.filename))
    meta = {**torchvision_datasets.CIFAR10.meta, "md5": md5(folders / "cifar-10-batches-py" / "batches.meta")}
    monkeypatch.setattr(torchvision_datasets.CIFAR10, "meta", meta)


@pytest.fixture(scope="module")
def read(archives):
    cache = {}

    def read():
        if not cache:
            cache.update(cifar_stl.read(["cifar10", "stl10"], archives[0]))
        return cache

    return read


# --- Compared with torchvision ---


@pytest.fixture
def theirs(archives, tmp_path, monkeypatch):
    """torchvision's own class for a data set and a split, which unpacks the archive."""
    shutil.copytree(archives[0], tmp_path / "theirs")

    def theirs(name, **split):
        monkeypatch.setattr(getattr(torchvision_datasets, name), "url", "http://127.0.0.1:9/nothing-listens-here")
        return getattr(torchvision_datasets, name)(str(tmp_path / "theirs"), download=True, **split)

    return theirs


def test_cifar_equals_torchvisions(read, theirs):
    data = read()["cifar10"]
    parts = [theirs("CIFAR10", train=train) for train in (True, False)]
    assert np.array_equal(data.images, np.concatenate([part.data for part in parts]))
    assert data.labels.tolist() == [label for part in parts for label in part.targets]
    assert parts[0].classes == list(cifar_stl.CLASSES)


def test_stl_equals_torchvisions_resized_and_renamed(read, theirs):
    from torchvision.transforms import InterpolationMode, Resize

    data = read()["stl10"]
    images, names = [], []
    for split in ("train", "test"):
        part = theirs("STL10", split=split)
        resize = Resize(32, InterpolationMode.BILINEAR)
        for image, label in part:
            images.append(np.asarray(resize(image)))
            names.append(part.classes[label])
    assert np.array_equal(data.images, np.stack(images))
    renamed = [{"car": "automobile", "monkey": "frog"}.get(name, name) for name in names]
    assert [cifar_stl.CLASSES[label] for label in data.labels] == renamed


def test_folders_are_read_like_archives(read, folders):
    for domain, unpacked in cifar_stl.read(["cifar10", "stl10"], folders).items():
        packed = read()[domain]
        assert np.array_equal(unpacked.images, packed.images) and np.array_equal(unpacked.labels, packed.labels)


# --- Compared with the written arrays ---


def test_classes_are_cifars():
    assert list(cifar_stl.CLASSES) == CIFAR


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
    assert cifar_stl.BENCHMARK.train_sizes == {"cifar10": 50000, "stl10": 5000}


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("cifar10", "missing are cifar-10-python.tar.gz (or cifar-10-batches-py/)"),
        ("stl10", "missing are stl10_binary.tar.gz (or stl10_binary/)"),
    ],
)
def test_missing_archive_is_named_with_ways_out(domain, words, tmp_path):
    with pytest.raises(DataError) as caught:
        cifar_stl.read([domain], tmp_path)
    for word in (str(tmp_path), words, "download --benchmark cifar_stl", "data_dir"):
        assert word in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("domain", ["cifar10", "stl10"])
def test_files_with_other_checksums_are_not_read(domain, packed, tmp_path):
    writers = {"cifar10": write_cifar, "stl10": write_stl}
    writers[domain](tmp_path, np.random.default_rng(1), packed)  # other bytes than the table expects
    with pytest.raises(DataError, match=r"md5 is [0-9a-f]{32}, expected [0-9a-f]{32} \(published\).*fetch it again"):
        cifar_stl.read([domain], tmp_path)
    write_sums(tmp_path)  # replaces the published checksums
    assert set(cifar_stl.read([domain], tmp_path)) == {domain}
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("".join("0" * 64 + line[64:] + "\n" for line in sums.read_text().splitlines()))
    with pytest.raises(DataError, match=r"sha256 is .*, expected 0{64} \(SHA256SUMS\)"):
        cifar_stl.read([domain], tmp_path)


class Harm:
    def __reduce__(self):
        return open, ("harm", "w")


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (Harm(), "data_batch_1: would load"),
        ({"labels": [0]}, "cifar10 is not in its official format"),
        ({"labels": [0], "data": "text"}, "cifar10 is not in its official format"),
        ([], "cifar10 is not in its official format"),
    ],
)
def test_wrong_pickles_are_refused(batch, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cifar(tmp_path, np.random.default_rng(0), packed=False)
    folder = tmp_path / "cifar-10-batches-py"
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(DataError, match="published"):  # the checksum is compared first
        cifar_stl.read(["cifar10"], tmp_path)
    write_sums(tmp_path)
    with pytest.raises(DataError, match=words):
        cifar_stl.read(["cifar10"], tmp_path)
    assert not (tmp_path / "harm").exists()


def test_classes_are_checked_by_name(tmp_path):
    write_stl(tmp_path, np.random.default_rng(0), packed=False)
    names = tmp_path / "stl10_binary" / "class_names.txt"
    names.write_text(names.read_text().replace("monkey", "donkey"))
    write_sums(tmp_path)
    with pytest.raises(DataError, match=r"class_names.txt: .*donkey.* are not the ten classes"):
        cifar_stl.read(["stl10"], tmp_path)
    # The same names in another order are no error: they give the labels another meaning.
    before = cifar_stl.read(["stl10"], _rewritten(tmp_path, STL))["stl10"].labels
    after = cifar_stl.read(["stl10"], _rewritten(tmp_path, STL[::-1]))["stl10"].labels
    renamed = {STL_INDEX[name]: STL_INDEX[other] for name, other in zip(STL, STL[::-1], strict=True)}
    assert after.tolist() == [renamed[label] for label in before]


def _rewritten(directory, names):
    (directory / "stl10_binary" / "class_names.txt").write_text("\n".join(names))
    write_sums(directory)
    return directory


def test_file_missing_in_an_archive_is_named(archives, tmp_path):
    write_tar(tmp_path / "cifar-10-python.tar.gz", {"cifar-10-batches-py/data_batch_1": b""})
    write_sums(tmp_path)
    with pytest.raises(DataError, match=r"lacks .*cifar-10-batches-py/test_batch"):
        cifar_stl.read(["cifar10"], tmp_path)


def test_archives_become_a_prepared_store(archives, tmp_path):
    from scalarization.data.prepare import prepare
    from scalarization.data.store import Store

    prepare(tmp_path / "store", "cifar_stl", ["cifar10", "stl10"], archives[0])
    store = Store(tmp_path / "store" / "dataset.json")
    store.verify()
    assert store.image_shape == (32, 32, 3) and store.classes == CIFAR
    assert len(store.metadata["normalisation"]["mean"]) == 3
    assert len(store.images("stl10", "validation")) == 10
