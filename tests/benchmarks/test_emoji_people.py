"""The bundled people emoji: files, labels and split."""

import csv
import hashlib
import lzma

import numpy as np
import pytest

import scalarization.benchmarks.emoji_people as people
from scalarization import benchmarks
from scalarization.errors import DataError

TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


@pytest.fixture(scope="module")
def arrays():
    return people.read_arrays()


@pytest.fixture(scope="module")
def table():
    return {row["sequence"]: row for row in csv.DictReader((people.BUNDLED / "emoji.csv").open(encoding="utf-8"))}


# --- Bundled files ---


def test_bundled_files_match_sha256sums():
    lines = (people.BUNDLED / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    data = {path.name for pattern in ("*.xz", "*.csv") for path in people.BUNDLED.glob(pattern)}
    assert set(listed) == data == {"emoji.csv", *(f"{vendor}.npy.xz" for vendor in people.VENDORS)}
    for name, digest in listed.items():
        assert hashlib.sha256((people.BUNDLED / name).read_bytes()).hexdigest() == digest, name


def test_bundled_files_are_small():
    sizes = [path.stat().st_size for path in people.BUNDLED.rglob("*") if path.is_file()]
    assert max(sizes) < 1_000_000
    assert sum(sizes) < 4_000_000


def test_arrays(arrays):
    images, labels, split, vendor, sequence = arrays
    assert images.dtype == labels.dtype == split.dtype == np.uint8
    assert images.shape == (7696, people.IMAGE_SIZE, people.IMAGE_SIZE, people.CHANNELS)
    assert labels.shape == (7696, len(people.ATTRIBUTES)) and set(np.unique(labels)) == {0, 1}
    assert split.shape == vendor.shape == sequence.shape == (7696,)
    counts = dict(zip(benchmarks.SPLITS, np.bincount(split).tolist(), strict=True))
    assert counts == people.SPLIT_SIZES
    sizes = {name: int((vendor == name).sum()) for name in people.VENDORS}
    assert sizes == {"twemoji": 2000, "noto": 1978, "fluent_flat": 1874, "openmoji": 1844}
    assert len(set(zip(vendor, sequence, strict=True))) == len(images)


def test_drawings_are_on_white_and_fill_the_frame(arrays):
    images = arrays[0]
    assert (images.min(axis=(1, 2, 3)) < 220).all()  # every image has dark pixels
    assert (np.median(images[:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(-1, 3), axis=0) == 255).all()
    drawn = (images < 250).any(axis=3)
    assert (drawn.any(axis=2).sum(axis=1) > 8).all()


def test_no_two_images_of_a_vendor_are_equal(arrays):
    images, vendor = arrays[0], arrays[3]
    for name in people.VENDORS:
        flat = images[vendor == name].reshape((vendor == name).sum(), -1)
        assert len(np.unique(flat, axis=0)) == len(flat), name


def test_xz_files_are_plain_npy_files(arrays):
    with lzma.open(people.BUNDLED / "noto.npy.xz") as stream:
        assert np.array_equal(np.load(stream), arrays[0][arrays[3] == "noto"])


def test_groups_hold_every_attribute_once():
    assert len(people.GROUPS) >= 6 and len(people.ATTRIBUTES) >= 12
    assert len(set(people.ATTRIBUTES)) == len(people.ATTRIBUTES) == sum(map(len, people.GROUPS.values()))
    assert people.BENCHMARK.labels.attributes == people.ATTRIBUTES


def test_changed_and_missing_files_are_refused(tmp_path, monkeypatch):
    for path in people.BUNDLED.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "SHA256SUMS").write_bytes((people.BUNDLED / "SHA256SUMS").read_bytes())
    monkeypatch.setattr(people, "BUNDLED", tmp_path)
    content = (tmp_path / "noto.npy.xz").read_bytes()
    (tmp_path / "noto.npy.xz").write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError, match=r"noto\.npy\.xz: differs from SHA256SUMS"):
        people.read_arrays()
    (tmp_path / "noto.npy.xz").unlink()
    with pytest.raises(DataError, match=r"noto\.npy\.xz: No such file"):
        people.read_arrays()


# --- Split ---


def bare(sequence):
    """A sequence without skin tone, gender and direction, implemented independently of tools/."""
    points = [p for p in sequence.split("-") if p not in TONES | {"200d", "2640", "2642", "27a1"}]
    return tuple("P" if p in {"1f468", "1f469", "1f9d1"} else p for p in points)


def test_variants_of_an_emoji_never_cross_splits(arrays):
    split, sequence = arrays[2], arrays[4]
    splits = {}
    for number, each in zip(split.tolist(), sequence.tolist(), strict=True):
        splits.setdefault(bare(each), set()).add(number)
    assert len(splits) > 150
    assert not [key for key, numbers in splits.items() if len(numbers) > 1]


@pytest.mark.parametrize(
    "siblings",
    [
        "1f9d2 1f466 1f467",  # child, boy, girl
        "1f9d3 1f474 1f475",  # older person, man, woman
        "1f934 1f478 1fac5",  # prince, princess, person with crown
        "1f385 1f936 1f9d1-200d-1f384",  # Claus
        "1f57a 1f483",  # dancing
        "1f930 1fac3 1fac4",  # pregnant
        "1f931 1f469-200d-1f37c",  # feeding a baby
        "1f46d 1f46b",  # holding hands
        "1f48f 1f469-200d-2764-200d-1f48b-200d-1f469",  # kiss
        "1f491 1f468-200d-2764-200d-1f468",  # couple with heart
        "1faf1 1faf2",
        "1faf7 1faf8",
        "1f91b 1f91c",
        "1f446 1f447 1f448 1f449",
        "1f44d 1f44e",
    ],
)
def test_siblings_share_a_split(table, siblings):
    rows = [table[each] for each in siblings.split() if each in table]
    assert len(rows) > 1
    assert len({row["split"] for row in rows}) == 1
    assert len({row["family"] for row in rows}) == 1


def test_every_attribute_has_both_values_in_every_split(arrays):
    labels, split = arrays[1], arrays[2]
    for number, (_, least) in enumerate(zip(benchmarks.SPLITS, (40, 10, 10), strict=True)):
        part = labels[split == number]
        positives = part.sum(axis=0, dtype=int)
        assert (positives >= least).all()
        assert (len(part) - positives >= 500).all()


def test_proportions_are_alike_in_the_splits(arrays):
    labels, split = arrays[1], arrays[2]
    proportions = np.stack([labels[split == number].mean(axis=0) for number in range(3)])
    assert np.abs(proportions - labels.mean(axis=0)).max() < 0.06


# --- Labels ---

EXPECTED = {
    # man firefighter: medium skin tone
    "1f468-1f3fd-200d-1f692": "male tone_medium job",
    # woman in manual wheelchair facing right: medium-dark skin tone
    "1f469-1f3fe-200d-1f9bd-200d-27a1": "female tone_medium_dark other_activity wheels facing_right",
    # person: red hair
    "1f9d1-200d-1f9b0": "named_hair portrait",
    # woman: beard, dark skin tone
    "1f9d4-1f3ff-200d-2640": "female tone_dark named_hair portrait",
    # kiss: woman, man, light skin tone
    "1f469-1f3fb-200d-2764-200d-1f48b-200d-1f468-1f3fb": "male female tone_light several_people",
    # women wrestling: medium-light skin tone
    "1f93c-1f3fc-200d-2640": "female tone_medium_light sport several_people",
    # construction worker
    "1f477": "named_headwear job",
    # princess, prince
    "1f478": "female named_headwear",
    "1f934": "male named_headwear",
    # woman with headscarf
    "1f9d5": "female named_headwear",
    # baby angel
    "1f47c": "young fantasy",
    # boy
    "1f466": "male young portrait",
    # merman, light skin tone
    "1f9dc-1f3fb-200d-2642": "male tone_light fantasy water",
    # woman mountain biking
    "1f6b5-200d-2640": "female sport wheels",
    # man swimming
    "1f3ca-200d-2642": "male sport water",
    # man running facing right
    "1f3c3-200d-2642-200d-27a1": "male other_activity on_foot facing_right",
    # person with white cane
    "1f9d1-200d-1f9af": "other_activity on_foot",
    # man shrugging
    "1f937-200d-2642": "male gesture",
    # handshake, heart hands, nail polish
    "1f91d": "hand",
    "1faf6": "hand",
    "1f485": "hand",
    # ear, lungs
    "1f442-1f3ff": "tone_dark body_part",
    "1fac1": "body_part",
    # zombie: tagged "walking", but not on foot by the rule
    "1f9df": "fantasy",
    # ninja and person in lotus position: nothing
    "1f977": "",
    "1f9d8": "",
}


@pytest.mark.parametrize(("sequence", "expected"), EXPECTED.items())
def test_labels_of_known_emoji(table, sequence, expected):
    assert [name for name in people.ATTRIBUTES if table[sequence][name] == "1"] == expected.split()


def test_labels_agree_with_english_names(table):
    """CLDR's names have skin tone, direction and mostly gender in words; the rules read codepoints."""
    for row in table.values():
        words = set(row["name"].replace(":", " ").replace(",", " ").split())
        for tone in ("light", "medium-light", "medium", "medium-dark", "dark"):
            named = f"{tone} skin tone" in row["name"] and not row["name"].split(f"{tone} skin")[0].endswith("-")
            assert (row[f"tone_{tone.replace('-', '_')}"] == "1") == named, row["name"]
        assert (row["facing_right"] == "1") == row["name"].endswith("facing right"), row["name"]
        male, female = row["male"] == "1", row["female"] == "1"
        assert male == bool(words & {"man", "men", "boy", "prince", "merman", "Santa"}), row["name"]
        women = {"woman", "women", "girl", "princess", "mermaid", "Mrs.", "breast-feeding"}
        assert female == bool(words & women), row["name"]


def test_skin_tone_is_single_and_shows_in_the_drawing(arrays):
    images, labels, _, vendor, sequence = arrays
    tones = [people.ATTRIBUTES.index(name) for name in people.GROUPS["skin_tone"]]
    assert labels[:, tones].sum(axis=1).max() == 1
    rows = {key: row for row, key in enumerate(zip(vendor.tolist(), sequence.tolist(), strict=True))}
    for (name, each), row in rows.items():
        other = rows.get((name, each.replace("1f3fb", "1f3ff")))
        if "1f3fb" in each and other is not None:
            assert np.abs(images[row].astype(int) - images[other]).max() > 16, (name, each)


def test_facing_right_mirrors_facing_left(arrays):
    images, _, _, vendor, sequence = arrays
    rows = {key: row for row, key in enumerate(zip(vendor.tolist(), sequence.tolist(), strict=True))}
    pairs = [
        (row, rows[name, each.removesuffix("-200d-27a1")])
        for (name, each), row in rows.items()
        if each.endswith("-200d-27a1") and (name, each.removesuffix("-200d-27a1")) in rows
    ]
    assert len(pairs) > 350
    right, left = (images[list(side)].astype(int) for side in zip(*pairs, strict=True))
    apart = np.abs(right - left).mean(axis=(1, 2, 3))
    mirrored = np.abs(right - left[:, :, ::-1]).mean(axis=(1, 2, 3))
    assert (mirrored < apart / 2).all()
