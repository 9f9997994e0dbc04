"""CelebA from small files in the official formats, compared with torchvision's reader."""

import hashlib
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from scalarization.benchmarks import celeba
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.errors import DataError

from ..archives import FACES, encoded, picture, write_celeba

#: The official names of the attributes, in the order of the official file.
_OFFICIAL_HEADER = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
Wearing_Necktie Young
"""
OFFICIAL = _OFFICIAL_HEADER.split()
TOTAL = sum(FACES)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("packed")
    return downloads, *write_celeba(downloads, np.random.default_rng(0))


@pytest.fixture(scope="module")
def data(archives):
    return celeba.read(["celeba"], archives[0])["celeba"]


@pytest.fixture
def copy(archives, tmp_path):
    """A copy of the files that a test may damage."""
    shutil.copytree(archives[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_attributes_are_the_official_forty_in_the_groups_of_table_a():
    labels = celeba.BENCHMARK.labels
    assert sorted(labels.attributes) == sorted(OFFICIAL) and len(OFFICIAL) == 40
    sizes = {group: len(attributes) for group, attributes in labels.groups.items()}
    assert sizes == {
        "hair_color": 4,
        "hair_style": 6,
        "facial_hair": 4,
        "mouth": 4,
        "clothes": 6,
        "face_structure": 6,
        "gender": 1,
        "age": 1,
    }
    assert sum(sizes.values()) == 32 and len(labels.ungrouped) == 8
    outputs = labels.outputs(["gender", "Blurry"], ["celeba"], single=False)
    assert outputs.attributes == {"gender": ("Male",), "Blurry": ("Blurry",)}
    assert celeba.BENCHMARK.train_sizes == {"celeba": 162770}


def test_images_and_labels_equal_torchvisions(archives, data, tmp_path, monkeypatch):
    from torchvision.datasets import CelebA
    from torchvision.transforms import CenterCrop, Compose, Resize

    shutil.copytree(archives[0], tmp_path / "theirs")
    root = tmp_path / "theirs" / "celeba"
    with zipfile.ZipFile(root / "img_align_celeba.zip") as archive:
        archive.extractall(root)
    files = [(place, hashlib.md5((root / name).read_bytes()).hexdigest(), name) for place, _, name in CelebA.file_list]
    monkeypatch.setattr(CelebA, "file_list", files)
    small = Compose([CenterCrop(178), Resize(32)])
    for split, theirs in (("train", "train"), ("validation", "valid"), ("test", "test")):
        part = CelebA(str(tmp_path / "theirs"), split=theirs, transform=small)
        rows = np.sort(data.splits[split])  # torchvision's are in the official order
        assert len(part) == len(rows) == FACES[("train", "valid", "test").index(theirs)]
        images, labels = zip(*part, strict=True)
        assert np.array_equal(data.images[rows], np.stack([np.asarray(image) for image in images]))
        order = [part.attr_names.index(attribute) for attribute in celeba.LABELS.attributes]
        assert np.array_equal(data.labels[rows], np.stack([label.numpy() for label in labels])[:, order])


def test_labels_equal_the_written_ones(archives, data):
    _, _, attributes, partition = archives
    assert data.images.shape == (TOTAL, 32, 32, 3) and data.labels.dtype == np.uint8
    for column, attribute in enumerate(celeba.LABELS.attributes):
        assert np.array_equal(data.labels[:, column], (attributes[attribute] + 1) // 2)
    for number, split in enumerate(("train", "validation", "test")):
        assert sorted(data.splits[split]) == np.flatnonzero(partition == number).tolist()
        assert sorted(data.splits[split]) != data.splits[split].tolist()  # shuffled


def test_crop_keeps_the_middle_of_a_face(tmp_path):
    """Rows 20 to 197 of the 218 are kept, so the mark in the last ones is in the last row of the small image."""
    write_celeba(tmp_path, np.random.default_rng(0), (1, 1, 1), packed=False)
    image = np.zeros((218, 178, 3), np.uint8)
    image[:20] = 255  # above the middle, so it is cropped
    image[192:198] = 128  # the last of 32 rows of 5.6 pixels
    file = tmp_path / "celeba" / "img_align_celeba" / "000001.jpg"
    file.write_bytes(encoded(Image.fromarray(image), "PNG"))
    small = celeba.read(["celeba"], tmp_path)["celeba"].images[0].astype(int)
    assert small[1:30].max() == 0 and small[0].max() == 0 and small[31].min() > 100


def test_folder_is_read_like_the_archive(copy, data):
    root = copy / "celeba"
    with zipfile.ZipFile(root / "img_align_celeba.zip") as archive:
        archive.extractall(root)
    (root / "img_align_celeba.zip").unlink()
    unpacked = celeba.read(["celeba"], copy)["celeba"]
    assert np.array_equal(unpacked.images, data.images) and np.array_equal(unpacked.labels, data.labels)


def test_prepared_store(archives, tmp_path):
    prepare(tmp_path, "celeba", ["celeba"], archives[0])
    store = Store(tmp_path / "dataset.json")
    store.verify()
    assert store.image_shape == (32, 32, 3) and store.metadata["attributes"] == list(celeba.LABELS.attributes)
    assert [len(store.labels("celeba", split)) for split in ("train", "validation", "test")] == list(FACES)
    column = celeba.LABELS.attributes.index("Male")
    positives = int((archives[2]["Male"][: FACES[0]] == 1).sum())
    assert store.metadata["domains"]["celeba"]["positives_per_attribute"]["train"][column] == positives
    images = store.images("celeba", "train").astype(float) / 255
    assert store.metadata["normalisation"]["mean"] == pytest.approx(images.mean(axis=(0, 1, 2)), abs=1e-6)
    assert store.metadata["normalisation"]["std"] == pytest.approx(images.std(axis=(0, 1, 2)), abs=1e-6)


def edit(name, change):
    def edit(root):
        lines = (root / name).read_text().splitlines()
        change(lines)
        (root / name).write_text("\n".join(lines) + "\n")

    return edit


def put(lines, number, line):
    lines[number] = line


ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (edit(ATTRIBUTES, lambda lines: put(lines, 0, "7")), "announces 7 images and lists 48"),
        (edit(ATTRIBUTES, lambda lines: put(lines, 1, lines[1].replace("Young", "Old"))), r"\(Old, Young\)"),
        (edit(ATTRIBUTES, lambda lines: put(lines, 5, lines[5].replace("-1", "0"))), "line 6 is '000004.jpg"),
        (edit(ATTRIBUTES, lambda lines: put(lines, 5, lines[5] + " 1")), "line 6 is '000004.jpg"),
        (edit(PARTITION, lambda lines: put(lines, 3, "000004.jpg 3")), "line 4 is '000004.jpg 3'"),
        (edit(PARTITION, lambda lines: lines.pop()), "lists other images"),
        (edit(PARTITION, lambda lines: put(lines, slice(None), [x[:-1] + "0" for x in lines])), "validation or test"),
        (lambda root: (root / PARTITION).unlink(), "missing are celeba/list_eval_partition.txt; fetch"),
        (
            lambda root: (root / "img_align_celeba.zip").unlink(),
            r"img_align_celeba.zip \(or celeba/img_align_celeba/\)",
        ),
        (lambda root: (root / "img_align_celeba.zip").write_bytes(b"<html>"), "zip: damaged"),
    ],
)
def test_wrong_files_are_named(damage, words, copy):
    damage(copy / "celeba")
    with pytest.raises(DataError, match=words) as caught:
        celeba.read(["celeba"], copy)
    assert str(copy) in str(caught.value)


def test_wrong_images_are_named(copy):
    root = copy / "celeba"
    with zipfile.ZipFile(root / "img_align_celeba.zip") as archive:
        archive.extractall(root)
    (root / "img_align_celeba.zip").unlink()
    file = root / "img_align_celeba" / "000003.jpg"
    whole = file.read_bytes()
    file.write_bytes(encoded(picture(np.random.default_rng(0), 178, 178)))
    with pytest.raises(DataError, match=r"000003.jpg has 178 x 178 pixels, expected the aligned images of 178 x 218"):
        celeba.read(["celeba"], copy)
    file.write_bytes(whole[:200])
    with pytest.raises(DataError, match=r"000003.jpg is not readable as an image"):
        celeba.read(["celeba"], copy)
    file.unlink()
    with pytest.raises(DataError, match=r"lacks 1 listed images, for example img_align_celeba/000003.jpg"):
        celeba.read(["celeba"], copy)
