"""Rebuild the bundled ``emoji_people`` files from npm packages.

Four icon sets draw the people and body parts of Unicode; ``emojibase-data`` names them. Labels follow from the sequence
of codepoints, the subgroup and the tags of an emoji, never from a drawing; :data:`RULES` holds the rule of every
attribute.

Run it as::

    python -m scalarization.benchmarks.emoji_people.rebuild --output DIR
    python -m scalarization.benchmarks.emoji_people.rebuild --check

Exit status: 0 when all went well, 1 when ``--check`` found a file that differs, 2 when nothing could be rebuilt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from scalarization.benchmarks import _emoji
from scalarization.benchmarks._emoji import TONES, Emoji
from scalarization.benchmarks._emoji_files import CHECKSUM_FILE, TABLE_FILE, images_file
from scalarization.benchmarks.emoji_people import ATTRIBUTES, BUNDLED, SPLITS, VENDORS

SPLIT_SHARES = (70, 15, 15)  # percent
#: Least number of images with an attribute in each split.
SPLIT_MINIMUM = (40, 10, 10)
SPLIT_STARTS = 24
#: Drawings that differ by no more than this (of 255) in any channel of any pixel count as one (choice).
TOLERANCE = 16

MAN, WOMAN, PERSON = "1f468", "1f469", "1f9d1"
MALE_SIGN, FEMALE_SIGN, RIGHT_ARROW, JOINER = "2642", "2640", "27a1", "200d"
#: Emoji of one gender without a sign for it: boy, old man, prince, Santa Claus, man dancing, pregnant man, men and
#: woman and man holding hands.
MALE = frozenset({"1f466", "1f474", "1f934", "1f385", "1f57a", "1fac3", "1f46c", "1f46b"})
#: Girl, old woman, princess, Mrs. Claus, woman dancing, pregnant woman, women and woman and man holding hands, woman
#: with headscarf, breast-feeding (tagged ``woman``).
FEMALE = frozenset({"1f467", "1f475", "1f478", "1f936", "1f483", "1f930", "1f46d", "1f46b", "1f9d5", "1f931"})
#: Red, curly, bald, white; blond; beard.
HAIR = frozenset({"1f9b0", "1f9b1", "1f9b2", "1f9b3", "1f471", "1f9d4"})
#: Police officer, detective, guard, construction worker; the rest are a person joined with an object.
JOBS = frozenset({"1f46e", "1f575", "1f482", "1f477"})
JOB_OBJECTS = frozenset(
    "2695 1f393 1f3eb 2696 1f33e 1f373 1f527 1f3ed 1f4bc 1f52c 1f4bb 1f3a4 1f3a8 2708 1f680 1f692".split()
)
#: Baby, child, boy, girl, baby angel.
YOUNG = frozenset({"1f476", "1f9d2", "1f466", "1f467", "1f47c"})
#: Walking, standing, running, white cane.
ON_FOOT = frozenset({"1f6b6", "1f9cd", "1f3c3", "1f9af"})
#: Holding hands (three), kiss, couple with heart, bunny ears, wrestling.
SEVERAL = frozenset({"1f46b", "1f46c", "1f46d", "1f48f", "1f491", "1f46f", "1f93c"})
#: What joins two people: a handshake, a heart, a rabbit, a cloud of a fight.
SEVERAL_JOINED = frozenset({"1f91d", "2764", "1f430", "1faef"})
FAMILY = "1f46a"
CHILDREN = frozenset({"1f466", "1f467", "1f9d2"})

#: Attribute -> rule.
RULES: dict[str, Callable[[Emoji], bool]] = {
    "male": lambda e: bool({MAN, MALE_SIGN, *MALE} & {*e.codepoints}),
    "female": lambda e: bool({WOMAN, FEMALE_SIGN, *FEMALE} & {*e.codepoints}),
    "tone_light": lambda e: TONES[0] in e.tones,
    "tone_medium_light": lambda e: TONES[1] in e.tones,
    "tone_medium": lambda e: TONES[2] in e.tones,
    "tone_medium_dark": lambda e: TONES[3] in e.tones,
    "tone_dark": lambda e: TONES[4] in e.tones,
    "named_hair": lambda e: bool(HAIR & {*e.codepoints}),
    "named_headwear": lambda e: bool({"hat", "helmet", "crown", "turban", "headscarf", "veil"} & e.tags),
    "young": lambda e: bool(YOUNG & {*e.codepoints}),
    "job": lambda e: bool(JOBS & {*e.codepoints} or JOB_OBJECTS & {*e.codepoints[1:]}),
    "fantasy": lambda e: e.subgroup == "person-fantasy",
    "sport": lambda e: e.subgroup == "person-sport",
    "gesture": lambda e: e.subgroup == "person-gesture",
    "other_activity": lambda e: e.subgroup == "person-activity",
    "water": lambda e: bool({"ocean", "lake", "swimming", "bathtub"} & e.tags),
    "wheels": lambda e: bool({"wheelchair", "bicycle"} & e.tags),
    "on_foot": lambda e: bool(ON_FOOT & {*e.codepoints}),
    "facing_right": lambda e: e.codepoints[-1] == RIGHT_ARROW,
    "portrait": lambda e: e.subgroup == "person",
    "hand": lambda e: e.subgroup.startswith("hand"),
    "body_part": lambda e: e.subgroup == "body-parts",
    "several_people": lambda e: bool(
        SEVERAL & {*e.codepoints} or (e.subgroup != "hands" and SEVERAL_JOINED & {*e.codepoints})
    ),
}

#: Emoji that differ by gender or direction only, though their codepoints do not say so: the first names the family.
SIBLINGS = (
    ("1f9d2", "1f466", "1f467"),  # child, boy, girl
    ("1f9d3", "1f474", "1f475"),  # older person, old man, old woman
    ("1fac5", "1f934", "1f478"),  # person with crown, prince, princess
    ("1f385", "1f936", "1f9d1-200d-1f384"),  # Santa Claus, Mrs. Claus, Mx Claus
    ("1f57a", "1f483"),  # man, woman dancing
    ("1f930", "1fac3", "1fac4"),  # pregnant woman, man, person
    ("1f931", "1f9d1-200d-1f37c"),  # breast-feeding, person feeding baby
    ("1f46b", "1f46c", "1f46d", "1f9d1-200d-1f91d-200d-1f9d1"),  # holding hands
    ("1f48f", "1f9d1-200d-2764-200d-1f48b-200d-1f9d1"),  # kiss
    ("1f491", "1f9d1-200d-2764-200d-1f9d1"),  # couple with heart
    ("1f46f", "1f9d1-200d-1f430-200d-1f9d1"),  # people with bunny ears
    ("1f93c", "1f9d1-200d-1faef-200d-1f9d1"),  # people wrestling
    ("1f91d", "1faf1-200d-1faf2"),  # handshake
    ("1faf1", "1faf2"),  # rightwards, leftwards hand
    ("1faf3", "1faf4"),  # palm down, palm up hand
    ("1faf7", "1faf8"),  # leftwards, rightwards pushing hand
    ("1f91b", "1f91c"),  # left-facing, right-facing fist
    ("1f446", "1f447", "1f448", "1f449"),  # backhand index pointing up, down, left, right
    ("1f44d", "1f44e"),  # thumbs up, down
)
_FAMILY_OF = {member: siblings[0] for siblings in SIBLINGS for member in siblings}


def is_wanted(emoji: Emoji) -> bool:
    """Whether an emoji shows people or body parts, with one skin tone at most.

    Left out are families, which most vendors now draw as pictograms without gender, and the subgroup
    ``person-symbol`` (busts, footprints and the like in silhouette).
    """
    points = emoji.codepoints
    is_family = FAMILY in points or (len(points) > 1 and bool(CHILDREN & {*points[1:]}))
    wanted_group = emoji.group == "people-body" and emoji.subgroup != "person-symbol"
    return wanted_group and not is_family and len(emoji.tones) <= 1


def family(sequence: str) -> str:
    """The sequence that stands for all variants of one emoji in skin tone, gender and direction.

    Skin tones, gender signs and the arrow of direction are dropped, man and woman become person, and :data:`SIBLINGS`
    are brought together.
    """
    kept = []
    for part in sequence.split(f"-{JOINER}-"):
        points = [PERSON if point in (MAN, WOMAN) else point for point in part.split("-") if point not in TONES]
        if points not in ([MALE_SIGN], [FEMALE_SIGN], [RIGHT_ARROW]):
            kept.append("-".join(points))
    neutral = f"-{JOINER}-".join(kept)
    return _FAMILY_OF.get(neutral, neutral)


def labels_of(emoji: Emoji) -> tuple[int, ...]:
    """0 or 1 for every attribute, in the order of ``ATTRIBUTES``."""
    return tuple(int(RULES[attribute](emoji)) for attribute in ATTRIBUTES)


def distinct(drawings: Mapping[str, np.ndarray], labels: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The sequences whose drawings tell their labels, of drawings that are alike one at most.

    If some of them name a gender, those that name none are left out: the drawing shows that gender. If the rest agree
    on all labels, the first is kept, otherwise none.
    """
    gendered = [ATTRIBUTES.index("male"), ATTRIBUTES.index("female")]
    kept = set()
    for alike in _emoji.alike(drawings, TOLERANCE):
        rest = [each for each in alike if any(labels[each][place] for place in gendered)] or alike
        if len({labels[each] for each in rest}) == 1:
            kept.add(rest[0])
    return [sequence for sequence in drawings if sequence in kept]


def build(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """Build the table, the vendors' images and ``SHA256SUMS`` from the tarballs.

    Args:
        paths: Package -> path of its tarball.

    Returns:
        File name -> content.
    """
    emoji = [each for each in _emoji.read_metadata(paths[_emoji.METADATA.package]) if is_wanted(each)]
    labels = {each.sequence: labels_of(each) for each in emoji}
    images: dict[str, dict[str, np.ndarray]] = {}
    for vendor in VENDORS:
        source = _emoji.VENDORS[vendor]
        drawings = _emoji.draw(_emoji.read_icon_set(paths[source.package], source), emoji)
        images[vendor] = {sequence: drawings[sequence] for sequence in distinct(drawings, labels)}
    emoji = [each for each in emoji if any(each.sequence in images[vendor] for vendor in VENDORS)]

    families: dict[str, np.ndarray] = {}
    for each in emoji:
        count = sum(each.sequence in images[vendor] for vendor in VENDORS)
        row = count * np.array([1, *labels[each.sequence]], dtype=np.int64)
        families[family(each.sequence)] = families.get(family(each.sequence), 0) + row
    splits = _emoji.split_families(families, SPLIT_SHARES, SPLIT_MINIMUM, SPLIT_STARTS)

    rows = [
        {
            "sequence": each.sequence,
            "name": each.name,
            "family": family(each.sequence),
            "split": SPLITS[splits[family(each.sequence)]],
            **{vendor: int(each.sequence in images[vendor]) for vendor in VENDORS},
            **dict(zip(ATTRIBUTES, labels[each.sequence], strict=True)),
        }
        for each in emoji
    ]
    columns = ["sequence", "name", "family", "split", *VENDORS, *ATTRIBUTES]
    files = {TABLE_FILE: _emoji.table_bytes(columns, rows)}
    for vendor, drawings in images.items():
        files[images_file(vendor)] = _emoji.pack_images(np.stack(list(drawings.values())))
    files[CHECKSUM_FILE] = _emoji.sha256sums(files)
    return files


def main(argv: list[str] | None = None) -> int:
    """Run the command line with ``argv`` (default: ``sys.argv[1:]``) and return the exit status (0, 1 or 2)."""
    sources = [_emoji.METADATA, *(_emoji.VENDORS[vendor] for vendor in VENDORS)]
    return _emoji.run(argv, "emoji_people", sources, BUNDLED, build)


if __name__ == "__main__":
    sys.exit(main())
