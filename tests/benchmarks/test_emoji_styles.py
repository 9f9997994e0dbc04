"""The bundled emoji in six styles: files, classes and split."""

import csv
import hashlib

import numpy as np
import pytest

import scalarization.benchmarks.emoji_styles as styles
from scalarization import benchmarks
from scalarization.errors import DataError


@pytest.fixture(scope="module")
def arrays():
    return styles.read_arrays()


@pytest.fixture(scope="module")
def table():
    return {row["sequence"]: row for row in csv.DictReader((styles.BUNDLED / "emoji.csv").open(encoding="utf-8"))}


# --- Bundled files ---


def test_bundled_files_match_sha256sums():
    lines = (styles.BUNDLED / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    data = {path.name for pattern in ("*.xz", "*.csv") for path in styles.BUNDLED.glob(pattern)}
    assert set(listed) == data == {"emoji.csv", *(f"{vendor}.npy.xz" for vendor in styles.VENDORS)}
    for name, digest in listed.items():
        assert hashlib.sha256((styles.BUNDLED / name).read_bytes()).hexdigest() == digest, name


def test_bundled_files_are_small():
    sizes = [path.stat().st_size for path in styles.BUNDLED.rglob("*") if path.is_file()]
    assert max(sizes) < 1_000_000
    assert sum(sizes) < 3_000_000


def test_arrays(arrays):
    images, labels, split, vendor, sequence = arrays
    assert images.dtype == labels.dtype == split.dtype == np.uint8
    assert images.shape == (4674, styles.IMAGE_SIZE, styles.IMAGE_SIZE, styles.CHANNELS)
    assert labels.shape == split.shape == vendor.shape == sequence.shape == (4674,)
    assert labels.max() == len(styles.CLASSES) - 1
    for name in styles.VENDORS:
        counts = np.bincount(split[vendor == name]).tolist()
        assert dict(zip(benchmarks.SPLITS, counts, strict=True)) == styles.SPLIT_SIZES[name]
    assert len(set(zip(vendor, sequence, strict=True))) == len(images)


def test_drawings_are_on_white_and_none_repeats(arrays):
    images, _, _, vendor, _ = arrays
    assert (images.min(axis=(1, 2, 3)) < 235).all()  # a white heart has a pale outline
    assert (np.median(images[:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(-1, 3), axis=0) == 255).all()
    for name in styles.VENDORS:
        flat = images[vendor == name].reshape((vendor == name).sum(), -1)
        assert len(np.unique(flat, axis=0)) == len(flat), name
    grey = images[vendor == "fluent_contrast"]
    assert (grey == grey[..., :1]).all()


def test_changed_and_missing_files_are_refused(tmp_path, monkeypatch):
    for path in (*styles.BUNDLED.glob("*.*"), styles.BUNDLED / "SHA256SUMS"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(styles, "BUNDLED", tmp_path)
    (tmp_path / "emoji.csv").write_bytes(b"sequence\n")
    with pytest.raises(DataError, match=r"emoji\.csv: differs from SHA256SUMS"):
        styles.read_arrays()


# --- Classes ---


def test_every_class_has_enough_emoji_everywhere(arrays, table):
    _, labels, split, vendor, _ = arrays
    assert len(styles.CLASSES) >= 12 and styles.BENCHMARK.labels.names == styles.CLASSES
    counted = [sum(row["class"] == name for row in table.values()) for name in styles.CLASSES]
    assert min(counted) >= 20
    for name in styles.VENDORS:
        for number, least in enumerate((8, 2, 4)):
            part = labels[(vendor == name) & (split == number)]
            assert np.bincount(part, minlength=len(styles.CLASSES)).min() >= least, name


@pytest.mark.parametrize(
    ("sequence", "expected"),
    {
        "1f600": "face",
        "2764": "heart",
        "1f44b": "hand",
        "1f42e": "mammal",
        "1f40d": "other_animal",
        "1f339": "plant",
        "1f34c": "produce",
        "1f355": "dish",
        "2615": "drink",
        "1f5fc": "place",
        "1f681": "vehicle",
        "26c8": "sky",
        "1f457": "clothing",
        "270f": "stationery",
        "1f4bb": "electronics",
        "1f527": "tool",
    }.items(),
)
def test_classes_of_known_emoji(table, sequence, expected):
    assert table[sequence]["class"] == expected
    assert all(table[sequence][vendor] == "1" for vendor in styles.VENDORS)


def test_emoji_without_a_class_are_left_out(table):
    assert not {"1f44b-1f3fd", "1f468", "1f550", "1f1e9-1f1ea", "267b"} & set(table)


def test_emojione_lacks_the_cricket(table):
    assert table["1f997"]["emojione"] == "0" and table["1f997"]["noto"] == "1"


# --- Split ---


def test_an_emoji_and_its_siblings_share_a_split(arrays, table):
    split, sequence = arrays[2], arrays[4]
    splits = {}
    for number, each in zip(split.tolist(), sequence.tolist(), strict=True):
        splits.setdefault(table[each]["family"], set()).add(number)
        assert benchmarks.SPLITS[number] == table[each]["split"]
    assert len(splits) == 674
    assert not [family for family, numbers in splits.items() if len(numbers) > 1]


@pytest.mark.parametrize(
    "siblings",
    [
        "2764 1f499 1f5a4 1f90d",  # coloured hearts
        "1f311 1f313 1f315 1f31d",  # moons
        "1f4ea 1f4eb 1f4ec 1f4ed",  # mailboxes
        "1f697 1f698",  # automobiles
        "1f408 1f408-200d-2b1b",  # cats
        "1f344 1f344-200d-1f7eb",  # mushrooms, of two classes
    ],
)
def test_known_siblings_share_a_split(table, siblings):
    assert len({table[each]["split"] for each in siblings.split()}) == 1


def test_no_drawing_is_close_to_one_in_another_split(arrays, table):
    """Overlooked siblings would be nearly equal drawings of one vendor in two splits."""
    images, labels, split, vendor, sequence = arrays
    face = styles.CLASSES.index("face")
    close = set()
    for name in styles.VENDORS:
        rows = np.flatnonzero((vendor == name) & (labels != face))
        coarse = (
            images[rows].reshape(len(rows), 16, 2, 16, 2, 3).mean(axis=(2, 4), dtype=np.float32).reshape(len(rows), -1)
        )
        distance = np.stack([np.abs(coarse - one).mean(axis=1) for one in coarse])
        apart = split[rows][:, None] != split[rows]
        for one, other in np.argwhere(apart & (distance < 7)):
            close.add(frozenset(table[sequence[rows[each]]]["name"] for each in (one, other)))
    assert close <= {frozenset({"egg", "onion"})}  # of two classes
