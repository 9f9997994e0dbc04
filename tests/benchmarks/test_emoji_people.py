"""The bundled people emoji: files, labels and split, the readers of icon sets, and the rebuild from archives."""

import csv
import hashlib
import io
import json
import lzma
import tarfile

import numpy as np
import pytest

import scalarization.benchmarks.emoji_people as people
from scalarization import benchmarks
from scalarization.benchmarks import _emoji, _emoji_files
from scalarization.benchmarks.emoji_people import rebuild
from scalarization.errors import DataError

TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


@pytest.fixture(scope="module")
def arrays():
    return people.read_arrays()


@pytest.fixture(scope="module")
def table():
    return {row["sequence"]: row for row in csv.DictReader((people.BUNDLED / "emoji.csv").open(encoding="utf-8"))}


# --- bundled files ---


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


def test_drawings_stand_on_white_and_fill_the_frame(arrays):
    images = arrays[0]
    assert (images.min(axis=(1, 2, 3)) < 220).all()  # something is drawn
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
    assert set(rebuild.RULES) == set(people.ATTRIBUTES)


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


def test_shared_module_is_no_benchmark():
    assert "emoji_people" in benchmarks.names()
    assert not [name for name in benchmarks.names() if name.startswith("_")]


# --- split ---


def bare(sequence):
    """What is left without skin tone, gender and direction: written apart from the code under test."""
    points = [p for p in sequence.split("-") if p not in TONES | {"200d", "2640", "2642", "27a1"}]
    return tuple("P" if p in {"1f468", "1f469", "1f9d1"} else p for p in points)


def test_variants_of_an_emoji_never_cross_splits(arrays):
    split, sequence = arrays[2], arrays[4]
    splits = {}
    for number, each in zip(split.tolist(), sequence.tolist(), strict=True):
        splits.setdefault(bare(each), set()).add(number)
    assert len(splits) > 150
    assert not [key for key, found in splits.items() if len(found) > 1]


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


def test_shares_are_alike_in_the_splits(arrays):
    labels, split = arrays[1], arrays[2]
    shares = np.stack([labels[split == number].mean(axis=0) for number in range(3)])
    assert np.abs(shares - labels.mean(axis=0)).max() < 0.06


def test_family_split_keeps_families_and_shares():
    generator = np.random.default_rng(0)
    families = {f"f{n}": np.array([size, *generator.integers(0, size, 3)]) for n, size in enumerate(range(2, 42))}
    split = _emoji.split_families(families, (70, 15, 15), (5, 2, 2), starts=2)
    assert split == _emoji.split_families(dict(reversed(families.items())), (70, 15, 15), (5, 2, 2), starts=2)
    sums = np.stack([sum(families[f] for f, number in split.items() if number == s) for s in range(3)])
    shares = sums / sums.sum(axis=0)
    assert np.abs(shares - [[0.7], [0.15], [0.15]]).max() < 0.02


def test_family_split_prefers_a_rare_label_everywhere():
    # Three families have the label: by shares alone, two of them belong in the first split, none in the third.
    families = {f"f{n}": np.array([10, 10 if n < 3 else 0]) for n in range(20)}
    split = _emoji.split_families(families, (70, 15, 15), (1, 1, 1), starts=1)
    assert {split["f0"], split["f1"], split["f2"]} == {0, 1, 2}
    assert np.bincount(list(split.values())).tolist() == [14, 3, 3]


# --- labels ---

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
    # zombie: tagged "walking", yet not on foot by the rule
    "1f9df": "fantasy",
    # ninja and person in lotus position: nothing
    "1f977": "",
    "1f9d8": "",
}


@pytest.mark.parametrize(("sequence", "expected"), EXPECTED.items())
def test_labels_of_known_emoji(table, sequence, expected):
    assert [name for name in people.ATTRIBUTES if table[sequence][name] == "1"] == expected.split()


def test_labels_agree_with_english_names(table):
    """CLDR's names say skin tone, direction and mostly gender in words; the rules read codepoints."""
    for row in table.values():
        # Words before the colon (before the comma, where there is one in it) name the emoji.
        words = set(row["name"].replace(":", " ").replace(",", " ").split())
        for tone in ("light", "medium-light", "medium", "medium-dark", "dark"):
            named = f"{tone} skin tone" in row["name"] and not row["name"].split(f"{tone} skin")[0].endswith("-")
            assert (row[f"tone_{tone.replace('-', '_')}"] == "1") == named, row["name"]
        assert (row["facing_right"] == "1") == row["name"].endswith("facing right"), row["name"]
        male, female = row["male"] == "1", row["female"] == "1"
        assert male == bool(words & set("man men boy prince merman Santa".split())), row["name"]
        women = set("woman women girl princess mermaid Mrs. breast-feeding".split())
        assert female == bool(words & women), row["name"]


def test_skin_tone_is_single_and_shows_in_the_drawing(arrays):
    images, labels, _, vendor, sequence = arrays
    tones = [people.ATTRIBUTES.index(name) for name in people.GROUPS["skin_tone"]]
    assert labels[:, tones].sum(axis=1).max() == 1
    rows = {key: row for row, key in enumerate(zip(vendor.tolist(), sequence.tolist(), strict=True))}
    for (name, each), row in rows.items():
        other = rows.get((name, each.replace("1f3fb", "1f3ff")))
        if "1f3fb" in each and other is not None:
            assert np.abs(images[row].astype(int) - images[other]).max() > rebuild.TOLERANCE, (name, each)


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


def emoji(sequence, subgroup="person", group="people-body", tags=(), name="name"):
    return _emoji.Emoji(sequence, name, group, subgroup, frozenset(tags))


@pytest.mark.parametrize(
    ("each", "wanted"),
    [
        (emoji("1f469-1f3fb-200d-1f91d-200d-1f469-1f3fb"), True),
        (emoji("1f469-1f3fb-200d-1f91d-200d-1f469-1f3fc"), False),  # two tones
        (emoji("1f468-200d-1f469-200d-1f466"), False),  # family
        (emoji("1f46a"), False),
        (emoji("1f466"), True),
        (emoji("1f464", subgroup="person-symbol"), False),
        (emoji("1f600", subgroup="face-smiling", group="smileys-emotion"), False),
    ],
)
def test_which_emoji_are_wanted(each, wanted):
    assert rebuild.is_wanted(each) == wanted


@pytest.mark.parametrize(
    ("sequence", "family"),
    [
        ("1f469-1f3fe-200d-1f9bd-200d-27a1", "1f9d1-200d-1f9bd"),
        ("1f9d4-1f3ff-200d-2640", "1f9d4"),
        ("1f468-1f3fb-200d-2764-200d-1f468-1f3fb", "1f491"),
        ("1f9d1-200d-1f91d-200d-1f9d1", "1f46b"),
        ("1f468", "1f9d1"),
        ("1f44e-1f3fb", "1f44d"),
    ],
)
def test_family(sequence, family):
    assert rebuild.family(sequence) == family


# --- drawings that are alike ---


def test_alike_drawings_keep_what_the_drawing_tells():
    def labels(*names):
        return tuple(int(attribute in names) for attribute in people.ATTRIBUTES)

    def drawing(level):
        return np.full((32, 32, 3), level, dtype=np.uint8)

    cases = {
        # drawn alike, one has a gender: that one stays
        "neutral": (drawing(0), labels("job")),
        "man": (drawing(16), labels("male", "job")),
        # a chain 50 - 60 - 70 with two genders: none stays
        "a": (drawing(50), labels("male")),
        "b": (drawing(60), labels("female")),
        "c": (drawing(70), labels()),
        # a repeat with equal labels: the first stays
        "first": (drawing(100), labels("sport")),
        "second": (drawing(101), labels("sport")),
        # other labels without gender: none stays
        "tone": (drawing(150), labels("tone_dark")),
        "none": (drawing(150), labels()),
        # just different enough
        "x": (drawing(200), labels("hand")),
        "y": (drawing(217), labels()),
    }
    drawings = {name: image for name, (image, _) in cases.items()}
    kept = rebuild.distinct(drawings, {name: found for name, (_, found) in cases.items()})
    assert kept == ["man", "first", "x", "y"]


# --- icon sets and metadata in the official format ---

RED = '<path fill="#f00" d="M0 0h16v32H0z"/>'
ICONS = {
    "prefix": "tiny",
    "width": 32,
    "height": 32,
    "icons": {
        "left": {"body": RED},
        "low": {"body": RED.replace("32", "16"), "width": 32, "height": 16},
        "script": {"body": "<text>A</text>"},
    },
    "aliases": {
        "right": {"parent": "left", "hFlip": True},
        "left-again": {"parent": "right", "hFlip": True},
        "turned": {"parent": "left", "rotate": 1},
        "loop": {"parent": "loop"},
        "lost": {"parent": "absent"},
    },
}
CHARS = {"1f468-200d-2642-fe0f": "left", "1f9d1": "right"}
GROUPS = {"groups": {"0": "smileys-emotion", "1": "people-body"}, "subgroups": {"0": "face", "23": "person"}}
DATA = [
    {"hexcode": "1F1E6", "label": "regional indicator A"},
    {
        "hexcode": "26F9-FE0F-200D-2642-FE0F",
        "label": "man bouncing ball",
        "tags": ["ball", "man"],
        "group": 1,
        "subgroup": 23,
        "skins": [{"hexcode": "26F9-1F3FB-200D-2642-FE0F", "label": "man bouncing ball: light skin tone", "tone": 1}],
    },
    {"hexcode": "1F600", "label": "grinning face", "group": 0, "subgroup": 0},
]


def write_tgz(path, **members):
    """A tarball as ``npm pack`` leaves it; keys are paths with ``__`` for ``/`` and without ``.json``."""
    with tarfile.open(path, "w:gz") as tar:
        for key, content in members.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(f"package/{key.replace('__', '/')}.json")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def icon_set(tmp_path):
    return _emoji.read_icon_set(write_tgz(tmp_path / "t.tgz", icons=ICONS, chars=CHARS), _emoji.VENDORS["noto"])


def test_metadata_in_official_format(tmp_path):
    path = write_tgz(tmp_path / "m.tgz", meta__groups=GROUPS, en__data=DATA)
    found = _emoji.read_metadata(path)
    assert [each.sequence for each in found] == ["26f9-200d-2642", "26f9-1f3fb-200d-2642", "1f600"]
    assert found[1].name == "man bouncing ball: light skin tone"
    assert found[1].tags == {"ball", "man"} and found[1].subgroup == "person" and found[1].tones == {"1f3fb"}
    assert found[2].group == "smileys-emotion" and not found[2].tags


def test_icons_are_found_by_sequence_without_variation_selector(icon_set):
    assert icon_set.name(emoji("1f468-200d-2642")) == "left"
    assert icon_set.name(emoji("1f9d1")) == "right"
    assert icon_set.name(emoji("1f600", name="left")) is None


def test_icons_are_found_by_name_where_a_set_has_no_sequences(tmp_path):
    icons = {**ICONS, "icons": {"mans-pinata-1st-place": {"body": RED}}}
    path = write_tgz(tmp_path / "t.tgz", icons=icons, chars={})
    found = _emoji.read_icon_set(path, _emoji.VENDORS["emojione"])
    assert found.name(emoji("1", name="Man's piñata: 1st place")) == "mans-pinata-1st-place"
    assert found.name(emoji("1", name="right")) == "right"  # an alias
    assert found.name(emoji("1", name="other")) is None


def test_view_box_takes_the_icon_before_the_set_before_the_standard(icon_set, tmp_path):
    assert 'viewBox="0 0 32 32"' in icon_set.svg("left")
    assert 'viewBox="0 0 32 16"' in icon_set.svg("low")
    path = write_tgz(tmp_path / "u.tgz", icons={"icons": {"a": {"body": RED, "left": -2}}}, chars={})
    assert 'viewBox="-2 0 16 16"' in _emoji.read_icon_set(path, _emoji.VENDORS["noto"]).svg("a")


def test_aliases_flip(icon_set):
    assert 'transform="translate(32 0) scale(-1 1)"' in icon_set.svg("right")
    assert icon_set.svg("left-again") == icon_set.svg("left")


@pytest.mark.parametrize(
    ("name", "message"),
    [("turned", "rotated"), ("loop", "without end"), ("lost", "'absent'"), ("no", "'no'"), ("script", "needs a font")],
)
def test_icons_that_cannot_be_drawn_are_refused(icon_set, name, message):
    with pytest.raises(_emoji.RebuildError, match=message):
        icon_set.svg(name)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"icons": ICONS}, r"no member package/chars\.json"),
        ({"icons": b"{", "chars": {}}, r"icons\.json in .* is not JSON"),
        ({"icons": {"prefix": "x"}, "chars": {}}, "not the format of @iconify-json/noto"),
        ({"icons": [], "chars": {}}, "not the format of @iconify-json/noto"),
    ],
)
def test_damaged_icon_sets_are_named(tmp_path, members, message):
    with pytest.raises(_emoji.RebuildError, match=message):
        _emoji.read_icon_set(write_tgz(tmp_path / "t.tgz", **members), _emoji.VENDORS["noto"])


def test_damaged_archives_are_named(tmp_path):
    path = tmp_path / "broken.tgz"
    path.write_bytes(b"not an archive")
    with pytest.raises(_emoji.RebuildError, match=r"broken\.tgz"):
        _emoji.read_metadata(path)
    with pytest.raises(_emoji.RebuildError, match="not the format of emojibase-data"):
        _emoji.read_metadata(write_tgz(path, meta__groups=GROUPS, en__data=[{"group": 7}]))


# --- files and command line ---


def test_packed_images_return(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert np.array_equal(_emoji_files.unpack_images(_emoji.pack_images(images)), images)
    with pytest.raises(ValueError, match="uint8"):
        _emoji.pack_images(images.astype(np.int64))


def bundle(folder, files):
    for name, content in {**files, "SHA256SUMS": _emoji.sha256sums(files)}.items():
        (folder / name).write_bytes(content)


def test_comparison_goes_by_pixels_and_says_how_many_differ(tmp_path):
    images = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    array = lzma.decompress(_emoji.pack_images(images))
    bundle(tmp_path, {"a.npy.xz": lzma.compress(array, preset=0), "emoji.csv": b"a\nb\n"})
    same = {"a.npy.xz": _emoji.pack_images(images), "emoji.csv": b"a\nb\n", "SHA256SUMS": b"other"}
    assert _emoji.compare_with_bundled(same, tmp_path) == []
    images[1, 0, 0, 0], images[3, 5, 5, 1] = 7, 9
    changed = {"a.npy.xz": _emoji.pack_images(images), "emoji.csv": b"a\nc\n", "b.npy.xz": b""}
    problems = _emoji.compare_with_bundled(changed, tmp_path)
    assert problems[0] == "a.npy.xz: 2 of 4 images differ, by up to 9 of 255"
    assert problems[1] == "emoji.csv: differs from the bundled file at line 2"
    assert "b.npy.xz" in problems[2]
    longer = {"a.npy.xz": _emoji.pack_images(images[:3]), "emoji.csv": b"a\nb\nc\n"}
    problems = _emoji.compare_with_bundled(longer, tmp_path)
    assert "[4, 32, 32, 3]" in problems[0] and "the last" in problems[1]


@pytest.mark.parametrize("arguments", [[], ["--check", "--output", str(people.BUNDLED)]])
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(SystemExit) as caught:
        rebuild.main(arguments)
    assert caught.value.code == 2


def test_other_archives_end_with_status_2(tmp_path, capsys):
    (tmp_path / _emoji.METADATA.tarball).write_bytes(b"other")
    output = tmp_path / "out"
    assert rebuild.main(["--packages", str(tmp_path), "--output", str(output)]) == 2
    assert f"{_emoji.METADATA.tarball} is not the expected archive" in capsys.readouterr().err
    assert not output.exists()
    assert rebuild.main(["--packages", str(tmp_path / "absent"), "--check"]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_missing_and_failing_npm_are_explained(monkeypatch, tmp_path):
    monkeypatch.setattr(_emoji.shutil, "which", lambda name: None)
    with pytest.raises(_emoji.RebuildError, match="npm was not found.*--packages"):
        _emoji.fetch(_emoji.METADATA, tmp_path)
    result = _emoji.subprocess.CompletedProcess([], 1, stdout="", stderr="no route")
    monkeypatch.setattr(_emoji.shutil, "which", lambda name: name)
    monkeypatch.setattr(_emoji.subprocess, "run", lambda *args, **kwargs: result)
    with pytest.raises(_emoji.RebuildError, match="status 1.*--packages[^\n]*\nno route"):
        _emoji.fetch(_emoji.METADATA, tmp_path)


# --- rendering (needs resvg-py) ---


def test_rendering_stands_on_white_and_flips(icon_set):
    pytest.importorskip("resvg_py")
    left, right, low = (_emoji.render(icon_set.svg(name)) for name in ("left", "right", "low"))
    assert left.dtype == np.uint8 and left.shape == (32, 32, 3)
    assert (left[:, :16] == [255, 0, 0]).all() and (left[:, 16:] == 255).all()
    assert np.array_equal(right, left[:, ::-1])
    assert (low[:8] == 255).all() and (low[24:] == 255).all()  # proportions are kept, in the middle
    assert (low[8:24, :16] == [255, 0, 0]).all()


def test_rendering_refuses_what_is_no_svg():
    pytest.importorskip("resvg_py")
    with pytest.raises(_emoji.RebuildError, match="cannot draw"):
        _emoji.render("<svg")


def test_rebuild_from_tiny_archives(tmp_path, monkeypatch, capsys):
    pytest.importorskip("resvg_py")
    entries, icons, chars = [], {}, {}
    for number in range(12):
        code = f"{0x1F900 + number:x}"
        entries.append({"hexcode": code.upper(), "label": f"emoji {number}", "group": 1, "subgroup": 23})
        icons[code] = {"body": f'<path fill="#{number * 17:02x}0000" d="M0 0h32v{number + 9}H0z"/>'}
        chars[code] = code
    write_tgz(tmp_path / _emoji.METADATA.tarball, meta__groups=GROUPS, en__data=entries)
    for vendor in people.VENDORS:
        source = _emoji.VENDORS[vendor]
        write_tgz(tmp_path / source.tarball, icons={**ICONS, "icons": icons, "aliases": {}}, chars=chars)
    monkeypatch.setattr(_emoji, "verify_sha256", lambda path, expected: None)
    output = tmp_path / "out"
    assert rebuild.main(["--packages", str(tmp_path), "--output", str(output)]) == 0
    rows = list(csv.DictReader((output / "emoji.csv").open()))
    assert [row["sequence"] for row in rows] == list(chars)
    assert all(row["portrait"] == "1" and row["noto"] == "1" for row in rows)
    images = _emoji_files.read_images(output, "noto")
    assert images.shape == (12, 32, 32, 3)
    assert (images[3, :12] == [51, 0, 0]).all() and (images[3, 12:] == 255).all()
    assert rebuild.main(["--packages", str(tmp_path), "--check"]) == 1
    assert "emoji.csv: differs" in capsys.readouterr().err
