"""Rebuild the bundled ``emoji_people`` files from npm packages.

Four icon sets draw the people and body parts of Unicode; ``emojibase-data`` names them. Labels follow from the sequence
of codepoints, the subgroup and the tags of an emoji, never from a drawing; :data:`RULES` has the rule of every
attribute.

Usage::

    envs/run python tools/rebuild_emoji_people.py --output DIR
    envs/run python tools/rebuild_emoji_people.py --check
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import emoji
import numpy as np
from emoji import TONES, Emoji
from families import split_families
from rebuild import run

from scalarization.benchmarks import SPLITS
from scalarization.benchmarks.emoji_people import ATTRIBUTES, BUNDLED, VENDORS

SPLIT_PERCENTAGES = (70, 15, 15)  # percent
#: Smallest number of images with an attribute in each split.
SPLIT_MINIMUM = (40, 10, 10)
SPLIT_STARTS = 24
#: Largest difference (of 255) in any channel of any pixel between drawings that count as alike (choice).
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
#: Police officer, detective, guard, construction worker; all other jobs are a person joined with an object.
JOBS = frozenset({"1f46e", "1f575", "1f482", "1f477"})
JOB_OBJECTS = frozenset(
    {"2695", "1f393", "1f3eb", "2696", "1f33e", "1f373", "1f527", "1f3ed"}
    | {"1f4bc", "1f52c", "1f4bb", "1f3a4", "1f3a8", "2708", "1f680", "1f692"}
)
#: Baby, child, boy, girl, baby angel.
YOUNG = frozenset({"1f476", "1f9d2", "1f466", "1f467", "1f47c"})
#: Walking, standing, running, white cane.
ON_FOOT = frozenset({"1f6b6", "1f9cd", "1f3c3", "1f9af"})
#: Holding hands (three), kiss, couple with heart, bunny ears, wrestling.
SEVERAL = frozenset({"1f46b", "1f46c", "1f46d", "1f48f", "1f491", "1f46f", "1f93c"})
#: Symbols that join two people: a handshake, a heart, a rabbit, a fight cloud.
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

#: Emoji that differ only by gender or direction, although their codepoints do not show it; the first names the family.
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
_FAMILY_OF = {sequence: siblings[0] for siblings in SIBLINGS for sequence in siblings}


def is_included(candidate: Emoji) -> bool:
    """Whether an emoji shows people or body parts with at most one skin tone.

    Families are excluded, because most vendors now draw them as pictograms without gender, and so is the subgroup
    ``person-symbol`` (busts, footprints and other silhouettes).
    """
    points = candidate.codepoints
    is_family = FAMILY in points or (len(points) > 1 and bool(CHILDREN & {*points[1:]}))
    shows_people = candidate.group == "people-body" and candidate.subgroup != "person-symbol"
    return shows_people and not is_family and len(candidate.tones) <= 1


def family(sequence: str) -> str:
    """The sequence that stands for all variants of one emoji in skin tone, gender and direction.

    Skin tones, gender signs and the arrow of direction are dropped, man and woman become person, and :data:`SIBLINGS`
    become the first of them.
    """
    kept = []
    for part in sequence.split(f"-{JOINER}-"):
        points = [PERSON if point in (MAN, WOMAN) else point for point in part.split("-") if point not in TONES]
        if points not in ([MALE_SIGN], [FEMALE_SIGN], [RIGHT_ARROW]):
            kept.append("-".join(points))
    neutral = f"-{JOINER}-".join(kept)
    return _FAMILY_OF.get(neutral, neutral)


def labels_of(person: Emoji) -> tuple[int, ...]:
    """0 or 1 for every attribute, in the order of ``ATTRIBUTES``."""
    return tuple(int(RULES[attribute](person)) for attribute in ATTRIBUTES)


def distinct(drawings: Mapping[str, np.ndarray], labels: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Sequences whose drawings show their labels, at most one of each group of drawings that are alike.

    If some emoji of a group name a gender, those that name none are dropped, because the drawing shows that gender. If
    the remaining ones agree on all labels, the first is kept, otherwise none.
    """
    gendered = [ATTRIBUTES.index("male"), ATTRIBUTES.index("female")]
    kept = set()
    for alike in emoji.alike(drawings, TOLERANCE):
        remaining = [each for each in alike if any(labels[each][column] for column in gendered)] or alike
        if len({labels[each] for each in remaining}) == 1:
            kept.add(remaining[0])
    return [sequence for sequence in drawings if sequence in kept]


def build(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """Build the table, the vendors' images and ``SHA256SUMS`` from the archives.

    Args:
        paths: Package -> path of its archive.

    Returns:
        File name -> content.
    """
    people = [each for each in emoji.read_metadata(paths[emoji.METADATA.package]) if is_included(each)]
    labels = {each.sequence: labels_of(each) for each in people}
    images: dict[str, dict[str, np.ndarray]] = {}
    for vendor in VENDORS:
        source = emoji.VENDORS[vendor]
        drawings = emoji.draw(emoji.read_icon_set(paths[source.package], source), people)
        images[vendor] = {sequence: drawings[sequence] for sequence in distinct(drawings, labels)}
    people = [each for each in people if any(each.sequence in images[vendor] for vendor in VENDORS)]

    families: dict[str, np.ndarray] = {}
    for each in people:
        count = sum(each.sequence in images[vendor] for vendor in VENDORS)
        row = count * np.array([1, *labels[each.sequence]], dtype=np.int64)
        families[family(each.sequence)] = families.get(family(each.sequence), 0) + row
    splits = split_families(families, SPLIT_PERCENTAGES, SPLIT_MINIMUM, SPLIT_STARTS)

    rows = [
        {
            "sequence": each.sequence,
            "name": each.name,
            "family": family(each.sequence),
            "split": SPLITS[splits[family(each.sequence)]],
            **{vendor: int(each.sequence in images[vendor]) for vendor in VENDORS},
            **dict(zip(ATTRIBUTES, labels[each.sequence], strict=True)),
        }
        for each in people
    ]
    return emoji.bundled_files(["sequence", "name", "family", "split", *VENDORS, *ATTRIBUTES], rows, images)


def main(argv: list[str] | None = None) -> int:
    """Run the command line with arguments ``argv`` (None: those of the process); see :func:`rebuild.run`."""
    sources = [emoji.METADATA, *(emoji.VENDORS[vendor] for vendor in VENDORS)]
    description = "Rebuild the bundled files of emoji_people from npm packages. Needs resvg-py %s."
    return run(argv, description % emoji.RESVG_VERSION, sources, BUNDLED, build)


if __name__ == "__main__":
    sys.exit(main())
