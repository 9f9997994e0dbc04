"""Rebuilding the bundled people emoji: which emoji, their families and labels, and whole files from archives."""

import csv

import emoji
import numpy as np
import pytest
import rebuild
import rebuild_emoji_people as people
from emoji import Emoji

from scalarization.benchmarks import emoji_files

from .packages import GROUPS, ICONS, write_tgz


def person(sequence, subgroup="person", group="people-body"):
    return Emoji(sequence, "name", group, subgroup, frozenset())


def test_every_attribute_has_a_rule():
    assert set(people.RULES) == set(people.ATTRIBUTES)


@pytest.mark.parametrize(
    ("each", "included"),
    [
        (person("1f469-1f3fb-200d-1f91d-200d-1f469-1f3fb"), True),
        (person("1f469-1f3fb-200d-1f91d-200d-1f469-1f3fc"), False),  # two tones
        (person("1f468-200d-1f469-200d-1f466"), False),  # family
        (person("1f46a"), False),
        (person("1f466"), True),
        (person("1f464", subgroup="person-symbol"), False),
        (person("1f600", subgroup="face-smiling", group="smileys-emotion"), False),
    ],
)
def test_which_emoji_are_included(each, included):
    assert people.is_included(each) == included


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
    assert people.family(sequence) == family


# --- drawings that are alike ---


def test_of_alike_drawings_one_that_shows_its_labels_is_kept():
    def labels(*names):
        return tuple(int(attribute in names) for attribute in people.ATTRIBUTES)

    def drawing(level):
        return np.full((32, 32, 3), level, dtype=np.uint8)

    cases = {
        # of two alike drawings, the one with a gender stays
        "neutral": (drawing(0), labels("job")),
        "man": (drawing(16), labels("male", "job")),
        # in a chain 50 - 60 - 70 with two genders, none stays
        "a": (drawing(50), labels("male")),
        "b": (drawing(60), labels("female")),
        "c": (drawing(70), labels()),
        # of two with equal labels, the first stays
        "first": (drawing(100), labels("sport")),
        "second": (drawing(101), labels("sport")),
        # of two with other labels and without gender, none stays
        "tone": (drawing(150), labels("tone_dark")),
        "none": (drawing(150), labels()),
        # barely different
        "x": (drawing(200), labels("hand")),
        "y": (drawing(217), labels()),
    }
    drawings = {name: image for name, (image, _) in cases.items()}
    kept = people.distinct(drawings, {name: names for name, (_, names) in cases.items()})
    assert kept == ["man", "first", "x", "y"]


# --- Whole files ---


def test_rebuild_from_tiny_archives(tmp_path, monkeypatch, capsys):
    pytest.importorskip("resvg_py")
    entries, icons, chars = [], {}, {}
    for number in range(12):
        code = f"{0x1F900 + number:x}"
        entries.append({"hexcode": code.upper(), "label": f"emoji {number}", "group": 1, "subgroup": 23})
        icons[code] = {"body": f'<path fill="#{number * 17:02x}0000" d="M0 0h32v{number + 9}H0z"/>'}
        chars[code] = code
    write_tgz(tmp_path / emoji.METADATA.file, meta__groups=GROUPS, en__data=entries)
    for vendor in people.VENDORS:
        source = emoji.VENDORS[vendor]
        write_tgz(tmp_path / source.file, icons={**ICONS, "icons": icons, "aliases": {}}, chars=chars)
    monkeypatch.setattr(rebuild, "verify_sha256", lambda path, expected: None)
    output = tmp_path / "out"
    assert people.main(["--packages", str(tmp_path), "--output", str(output)]) == 0
    rows = list(csv.DictReader((output / "emoji.csv").open()))
    assert [row["sequence"] for row in rows] == list(chars)
    assert all(row["portrait"] == "1" and row["noto"] == "1" for row in rows)
    images = emoji_files.read_images(output, "noto")
    assert images.shape == (12, 32, 32, 3)
    assert (images[3, :12] == [51, 0, 0]).all() and (images[3, 12:] == 255).all()
    assert people.main(["--packages", str(tmp_path), "--check"]) == 1
    assert "emoji.csv: differs" in capsys.readouterr().err


def test_readme_names_the_archives():
    text = (people.BUNDLED / "README.md").read_text(encoding="utf-8")
    for source in (emoji.METADATA, *(emoji.VENDORS[vendor] for vendor in people.VENDORS)):
        assert source.file in text and source.sha256 in text
