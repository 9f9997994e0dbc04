"""Rebuild the bundled ``emoji_styles`` files from npm packages.

Six icon sets draw Unicode's emoji, each in its own style. ``emojibase-data`` assigns the emoji to subgroups, and
:data:`SUBGROUPS` joins these to coarse classes of objects.

Usage::

    envs/run python tools/rebuild_emoji_styles.py --output DIR
    envs/run python tools/rebuild_emoji_styles.py --check
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import emoji
import numpy as np
from emoji import Emoji
from families import split_families
from rebuild import run

from scalarization.benchmarks import SPLITS
from scalarization.benchmarks.emoji_styles import BUNDLED, CLASSES, VENDORS

SPLIT_PERCENTAGES = (60, 15, 25)  # choice: the test part is large enough to tell methods apart
SPLIT_MINIMUM = (0, 0, 0)
SPLIT_STARTS = 8
#: Largest difference (of 255) in any channel of any pixel between drawings that count as alike (choice).
TOLERANCE = 16

#: Class -> subgroups of emojibase.
SUBGROUPS = {
    "face": (
        *("face-smiling", "face-affection", "face-tongue", "face-hand", "face-neutral-skeptical", "face-sleepy"),
        *("face-unwell", "face-hat", "face-glasses", "face-concerned", "face-negative"),
    ),
    "heart": ("heart",),
    "hand": ("hand-fingers-open", "hand-fingers-partial", "hand-single-finger", "hand-fingers-closed", "hands"),
    "mammal": ("animal-mammal",),
    "other_animal": ("animal-bird", "animal-amphibian", "animal-reptile", "animal-marine", "animal-bug"),
    "plant": ("plant-flower", "plant-other"),
    "produce": ("food-fruit", "food-vegetable"),
    "dish": ("food-prepared", "food-asian", "food-sweet"),
    "drink": ("drink", "dishware"),
    "place": ("place-geographic", "place-building", "place-religious", "place-other"),
    "vehicle": ("transport-ground", "transport-water", "transport-air"),
    "sky": ("sky-weather",),
    "clothing": ("clothing",),
    "stationery": ("book-paper", "mail", "writing", "office"),
    "electronics": ("phone", "computer", "light-video"),
    "tool": ("tool",),
}

#: Drawings of another object than the name says: EmojiOne's alias ``cricket`` (the insect) is the game.
WRONG = {("emojione", "1f997")}

#: Emoji that vendors derive from one drawing: recoloured, mirrored, seen from another side, or with a detail changed.
SIBLINGS = tuple(
    tuple(siblings.split())
    for siblings in (
        # hearts: in all colours, on fire, mended, broken, with sparkles, growing, beating; two hearts
        "2764 1fa77 1f9e1 1f49b 1f49a 1f499 1fa75 1f49c 1f90e 1f5a4 1fa76 1f90d "
        "2764-200d-1f525 2764-200d-1fa79 1f494 1f496 1f497 1f493",
        "1f495 1f49e",
        # hands: to the left and right, up and down, two fingers, one finger
        "1faf1 1faf2",
        "1faf3 1faf4",
        "1faf7 1faf8",
        "1f91b 1f91c",
        "1f446 1f447 1f448 1f449 261d",
        "1f44d 1f44e",
        "1f590 270b 1f91a 1f596",
        "270c 1f91e",
        # dogs, cats, bears, horses, camels, sheep, apes, rabbits, big cats, cattle, pigs, mice
        "1f415 1f9ae 1f415-200d-1f9ba",
        "1f408 1f408-200d-2b1b",
        "1f43b 1f43b-200d-2744 1f43c",
        "1f434 1f984",
        "1f42a 1f42b",
        "1f40f 1f411",
        "1f405 1f406",
        "1f402 1f403 1f404",
        "1f401 1f400",
        # birds, chicks, whales
        "1f426 1f426-200d-2b1b",
        "1f423 1f424 1f425",
        "1f40b 1f433",
        # nests, mushrooms
        "1fab9 1faba",
        "1f344 1f344-200d-1f7eb",
        # apples, lemon and lime
        "1f34e 1f34f",
        "1f34b 1f34b-200d-1f7e9",
        # beer, glasses
        "1f37a 1f37b",
        # mountains, post offices, houses, evening towns, sunrises
        "26f0 1f3d4",
        "1f3e3 1f3e4",
        "1f3e0 1f3e1",
        "1f303 1f306 1f307",
        "1f304 1f305",
        # vehicles from the front and from the side; trains; aeroplanes; wheelchairs
        "1f697 1f698 1f695 1f696 1f693 1f694",
        "1f68c 1f68d 1f68e 1f690",
        "1f684 1f685",
        "1f683 1f68b 1f68a 1f687 1f688 1f689 1f686",
        "1f6a5 1f6a6",
        "2708 1f6e9 1f6eb 1f6ec",
        "1f9bc 1f9bd",
        "1f69a 1f69b",
        # phases of the moon; moons and suns with and without a face; clouds; umbrellas; snowmen; stars
        "1f311 1f312 1f313 1f314 1f315 1f316 1f317 1f318 1f31a 1f31d 1f31b 1f31c 1f319",
        "2600 1f31e",
        "2601 26c5 26c8 1f324 1f325 1f326 1f327 1f328 1f329 1f32a",
        "2602 2614 26f1 1f302",
        "2603 26c4",
        "2b50 1f31f",
        # eye-wear, shirts
        "1f453 1f576",
        # books; pages; newspapers; envelopes; mailboxes; pens; folders; calendars; charts; trays; clips; rulers
        "1f4d5 1f4d7 1f4d8 1f4d9 1f4d4 1f4d3 1f4d2",
        "1f4c3 1f4c4",
        "1f4f0 1f5de",
        "2709 1f4e7 1f4e8 1f4e9",
        "1f4ea 1f4eb 1f4ec 1f4ed",
        "1f58a 1f58b 1f58c 2712",
        "1f4c1 1f4c2 1f5c2",
        "1f4c5 1f4c6 1f5d3",
        "1f4c8 1f4c9 1f4ca",
        "1f4e4 1f4e5",
        "1f4ce 1f587",
        # telephones; disks; magnifying glasses; cameras
        "1f4f1 1f4f2",
        "1f4bf 1f4c0 1f4bd",
        "1f50d 1f50e",
        "1f4f7 1f4f8",
        "1f50b 1faab",
        # hammers and picks
        "1f528 26cf 2692 1f6e0",
        "1f5e1 2694",
    )
)
_FAMILY_OF = {sequence: siblings[0] for siblings in SIBLINGS for sequence in siblings}
_CLASS_OF = {subgroup: name for name, subgroups in SUBGROUPS.items() for subgroup in subgroups}


def family(sequence: str) -> str:
    """The sequence that stands for an emoji and its :data:`SIBLINGS`."""
    return _FAMILY_OF.get(sequence, sequence)


def class_of(candidate: Emoji) -> str | None:
    """The class of an emoji; None if it has no class, as all emoji with a skin tone, which recolour another one."""
    return None if candidate.tones else _CLASS_OF.get(candidate.subgroup)


def distinct(drawings: Mapping[str, np.ndarray], classes: Mapping[str, str]) -> list[str]:
    """Sequences to keep: the first of each group of drawings that are alike if all are of one class, otherwise none."""
    kept = {
        alike[0] for alike in emoji.alike(drawings, TOLERANCE) if len({classes[sequence] for sequence in alike}) == 1
    }
    return [sequence for sequence in drawings if sequence in kept]


def build(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """Build the table, the vendors' images and ``SHA256SUMS`` from the archives.

    Args:
        paths: Package -> path of its archive.

    Returns:
        File name -> content.
    """
    objects = [each for each in emoji.read_metadata(paths[emoji.METADATA.package]) if class_of(each)]
    classes = {each.sequence: class_of(each) for each in objects}
    images: dict[str, dict[str, np.ndarray]] = {}
    for vendor in VENDORS:
        source = emoji.VENDORS[vendor]
        drawable = [each for each in objects if (vendor, each.sequence) not in WRONG]
        drawings = emoji.draw(emoji.read_icon_set(paths[source.package], source), drawable)
        images[vendor] = {sequence: drawings[sequence] for sequence in distinct(drawings, classes)}
    objects = [each for each in objects if any(each.sequence in images[vendor] for vendor in VENDORS)]

    splits: dict[str, int] = {}
    for name in CLASSES:
        # Number of images of a family by vendor; one family has a mushroom as a plant and as a vegetable.
        families: dict[str, np.ndarray] = {}
        for sequence in (each.sequence for each in objects if classes[each.sequence] == name):
            if family(sequence) not in splits:
                row = np.array([sequence in images[vendor] for vendor in VENDORS], dtype=np.int64)
                families[family(sequence)] = families.get(family(sequence), 0) + row
        splits |= split_families(families, SPLIT_PERCENTAGES, SPLIT_MINIMUM, SPLIT_STARTS)

    rows = [
        {
            "sequence": each.sequence,
            "name": each.name,
            "family": family(each.sequence),
            "split": SPLITS[splits[family(each.sequence)]],
            "class": classes[each.sequence],
            **{vendor: int(each.sequence in images[vendor]) for vendor in VENDORS},
        }
        for each in objects
    ]
    return emoji.bundled_files(["sequence", "name", "family", "split", "class", *VENDORS], rows, images)


def main(argv: list[str] | None = None) -> int:
    """Run the command line with arguments ``argv`` (None: those of the process); see :func:`rebuild.run`."""
    sources = [emoji.METADATA, *(emoji.VENDORS[vendor] for vendor in VENDORS)]
    description = "Rebuild the bundled files of emoji_styles from npm packages. Needs resvg-py %s."
    return run(argv, description % emoji.RESVG_VERSION, sources, BUNDLED, build)


if __name__ == "__main__":
    sys.exit(main())
