"""Rebuilding the bundled emoji in six styles: classes, siblings, and whole files from archives."""

import csv

import emoji
import numpy as np
import pytest
import rebuild
import rebuild_emoji_styles as styles
from emoji import Emoji

from scalarization.benchmarks import SPLITS, emoji_files

from .packages import write_tgz


def test_every_class_has_subgroups_of_its_own():
    assert tuple(styles.SUBGROUPS) == styles.CLASSES
    subgroups = [subgroup for each in styles.SUBGROUPS.values() for subgroup in each]
    assert len(set(subgroups)) == len(subgroups)


def test_emoji_with_a_skin_tone_have_no_class():
    toned = Emoji("1f44b-1f3fd", "waving hand", "people-body", "hand-fingers-open", frozenset())
    assert styles.class_of(toned) is None


def test_sibling_lists_are_disjoint_and_drawn():
    sequences = [sequence for siblings in styles.SIBLINGS for sequence in siblings]
    assert len(set(sequences)) == len(sequences)
    assert set(sequences) <= {row["sequence"] for row in emoji_files.read_table(styles.BUNDLED)}


def test_alike_drawings_of_one_class_are_kept_once():
    drawings = {
        name: np.full((32, 32, 3), level, dtype=np.uint8)
        for name, level in zip("abcde", (0, 9, 50, 60, 99), strict=True)
    }
    classes = dict(zip("abcde", ("tool", "tool", "sky", "tool", "sky"), strict=True))
    assert styles.distinct(drawings, classes) == ["a", "e"]


def test_rebuild_from_tiny_archives(tmp_path, monkeypatch):
    pytest.importorskip("resvg_py")
    subgroups = [subgroup for each in styles.SUBGROUPS.values() for subgroup in each]
    groups = {"groups": {"3": "things"}, "subgroups": {str(n): name for n, name in enumerate(subgroups)}}
    entries, icons, chars = [], {}, {}
    for number in range(3 * len(subgroups)):
        code = f"{0x10000 + number:x}"
        entries.append({"hexcode": code, "label": f"Emoji {number}", "group": 3, "subgroup": number % len(subgroups)})
        colour = ("000", "f00", "0f0", "00f", "0ff")[number // 32]
        icons[f"emoji-{number}"] = {"body": f'<path fill="#{colour}" d="M0 0h16v{number % 32 / 2 + 0.5}H0z"/>'}
        chars[code] = f"emoji-{number}"
    write_tgz(tmp_path / emoji.METADATA.file, meta__groups=groups, en__data=entries)
    for vendor in styles.VENDORS:
        known = {} if vendor == "emojione" else chars
        write_tgz(tmp_path / emoji.VENDORS[vendor].file, icons={"prefix": "x", "icons": icons}, chars=known)
    monkeypatch.setattr(rebuild, "verify_sha256", lambda path, expected: None)
    output = tmp_path / "out"
    assert styles.main(["--packages", str(tmp_path), "--output", str(output)]) == 0
    rows = list(csv.DictReader((output / "emoji.csv").open()))
    assert {row["class"] for row in rows} == set(styles.CLASSES)
    assert {row["split"] for row in rows} == set(SPLITS)
    for vendor in styles.VENDORS:
        assert len(emoji_files.read_images(output, vendor)) == sum(row[vendor] == "1" for row in rows)
    assert np.array_equal(emoji_files.read_images(output, "emojione"), emoji_files.read_images(output, "noto"))


def test_readme_names_the_archives():
    text = (styles.BUNDLED / "README.md").read_text(encoding="utf-8")
    for source in (emoji.METADATA, *(emoji.VENDORS[vendor] for vendor in styles.VENDORS)):
        assert source.file in text and source.sha256 in text
