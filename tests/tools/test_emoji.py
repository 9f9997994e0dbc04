"""The common part of the emoji scripts: metadata and icon sets in their official formats, rendering, files."""

import numpy as np
import pytest
from emoji import VENDORS, Emoji, pack_images, read_icon_set, read_metadata, render
from rebuild import RebuildError

from scalarization.benchmarks.emoji_files import unpack_images
from scalarization.errors import DataError

from .packages import GROUPS, ICONS, RED, write_tgz

CHARS = {"1f468-200d-2642-fe0f": "left", "1f9d1": "right"}
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


def emoji(sequence, name="name"):
    return Emoji(sequence, name, "people-body", "person", frozenset())


@pytest.fixture
def icon_set(tmp_path):
    return read_icon_set(write_tgz(tmp_path / "t.tgz", icons=ICONS, chars=CHARS), VENDORS["noto"])


def test_metadata_in_official_format(tmp_path):
    path = write_tgz(tmp_path / "m.tgz", meta__groups=GROUPS, en__data=DATA)
    first, second, third = read_metadata(path)
    assert [each.sequence for each in (first, second, third)] == ["26f9-200d-2642", "26f9-1f3fb-200d-2642", "1f600"]
    assert second.name == "man bouncing ball: light skin tone"
    assert second.tags == {"ball", "man"} and second.subgroup == "person" and second.tones == {"1f3fb"}
    assert third.group == "smileys-emotion" and not third.tags


def test_icon_names_by_sequence_without_variation_selector(icon_set):
    assert icon_set.name(emoji("1f468-200d-2642")) == "left"
    assert icon_set.name(emoji("1f9d1")) == "right"
    assert icon_set.name(emoji("1f600", name="left")) is None


def test_icon_names_by_english_name_in_a_set_without_sequences(tmp_path):
    icons = {**ICONS, "icons": {"mans-pinata-1st-place": {"body": RED}}}
    path = write_tgz(tmp_path / "t.tgz", icons=icons, chars={})
    icon_set = read_icon_set(path, VENDORS["emojione"])
    assert icon_set.name(emoji("1", name="Man's piñata: 1st place")) == "mans-pinata-1st-place"
    assert icon_set.name(emoji("1", name="right")) == "right"  # an alias
    assert icon_set.name(emoji("1", name="other")) is None


def test_view_box_of_icon_precedes_that_of_set_and_standard(icon_set, tmp_path):
    assert 'viewBox="0 0 32 32"' in icon_set.svg("left")
    assert 'viewBox="0 0 32 16"' in icon_set.svg("low")
    path = write_tgz(tmp_path / "u.tgz", icons={"icons": {"a": {"body": RED, "left": -2}}}, chars={})
    assert 'viewBox="-2 0 16 16"' in read_icon_set(path, VENDORS["noto"]).svg("a")


def test_aliases_flip(icon_set):
    assert 'transform="translate(32 0) scale(-1 1)"' in icon_set.svg("right")
    assert icon_set.svg("left-again") == icon_set.svg("left")


@pytest.mark.parametrize(
    ("name", "message"),
    [("turned", "rotated"), ("loop", "without end"), ("lost", "'absent'"), ("no", "'no'"), ("script", "needs a font")],
)
def test_icons_that_cannot_be_drawn_are_refused(icon_set, name, message):
    with pytest.raises(RebuildError, match=message):
        icon_set.svg(name)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"icons": ICONS}, r"lacks package/chars\.json"),
        ({"icons": b"{", "chars": {}}, r"icons\.json in .* is not JSON"),
        ({"icons": {"prefix": "x"}, "chars": {}}, "not the format of @iconify-json/noto"),
        ({"icons": [], "chars": {}}, "not the format of @iconify-json/noto"),
    ],
)
def test_damaged_icon_sets_are_named(tmp_path, files, message):
    with pytest.raises((RebuildError, DataError), match=message):
        read_icon_set(write_tgz(tmp_path / "t.tgz", **files), VENDORS["noto"])


def test_damaged_archives_are_named(tmp_path):
    path = tmp_path / "broken.tgz"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"broken\.tgz: damaged"):
        read_metadata(path)
    with pytest.raises(RebuildError, match="not the format of emojibase-data"):
        read_metadata(write_tgz(path, meta__groups=GROUPS, en__data=[{"group": 7}]))


# --- Files ---


def test_packed_images_are_unpacked_unchanged():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert np.array_equal(unpack_images(pack_images(images)), images)
    with pytest.raises(ValueError, match="uint8"):
        pack_images(images.astype(np.int64))


# --- Rendering (needs resvg-py) ---


def test_rendering_is_on_white_and_flips(icon_set):
    pytest.importorskip("resvg_py")
    left, right, low = (render(icon_set.svg(name)) for name in ("left", "right", "low"))
    assert left.dtype == np.uint8 and left.shape == (32, 32, 3)
    assert (left[:, :16] == [255, 0, 0]).all() and (left[:, 16:] == 255).all()
    assert np.array_equal(right, left[:, ::-1])
    assert (low[:8] == 255).all() and (low[24:] == 255).all()  # proportions are kept, and the icon is in the middle
    assert (low[8:24, :16] == [255, 0, 0]).all()


def test_rendering_refuses_damaged_svg():
    pytest.importorskip("resvg_py")
    with pytest.raises(RebuildError, match="cannot draw"):
        render("<svg")
