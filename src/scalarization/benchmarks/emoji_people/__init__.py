"""``emoji_people``: people and body parts among the emoji, drawn by four vendors; stands in for ``celeba``.

Every image carries all attributes, which follow from Unicode's sequence of codepoints and metadata. All variants of one
emoji in skin tone, gender and direction, by all vendors, lie in the same split. ``bundled/README.md`` tells where the
drawings come from, how they were changed, and the rule of every attribute.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalarization.benchmarks import SPLITS, BenchmarkInfo, DomainData
from scalarization.benchmarks._emoji_files import read_images, read_table

BUNDLED = Path(__file__).resolve().parent / "bundled"
IMAGE_SIZE = 32
CHANNELS = 3
VENDORS = ("twemoji", "noto", "fluent_flat", "openmoji")

#: Group -> attributes; those of a group share one weight.
GROUPS = {
    "gender": ("male", "female"),
    "skin_tone": ("tone_light", "tone_medium_light", "tone_medium", "tone_medium_dark", "tone_dark"),
    "head": ("named_hair", "named_headwear"),
    "age": ("young",),
    "role": ("job", "fantasy"),
    "activity": ("sport", "gesture", "other_activity"),
    "scene": ("water", "wheels"),
    "motion": ("on_foot", "facing_right"),
    "subject": ("portrait", "hand", "body_part", "several_people"),
}
ATTRIBUTES = tuple(attribute for attributes in GROUPS.values() for attribute in attributes)
#: Split -> number of images.
SPLIT_SIZES = {"train": 5371, "validation": 1165, "test": 1160}

INFO = BenchmarkInfo(
    setting="mtl",
    domains={"people": SPLIT_SIZES["train"]},
    classes=(),
    image_size=IMAGE_SIZE,
    channels=CHANNELS,
    reported=False,
    groups=GROUPS,
)
PROVENANCE = {
    "source": "bundled with the code, see src/scalarization/benchmarks/emoji_people/bundled/README.md",
    "licence": {
        "twemoji": "CC BY 4.0",
        "noto": "Apache-2.0",
        "fluent_flat": "MIT",
        "openmoji": "CC BY-SA 4.0",
        "labels": "MIT (emojibase-data), Unicode-3.0",
    },
}


def read_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All images with their labels and splits, vendor by vendor in the order of ``VENDORS``.

    Returns:
        images uint8 [N, 32, 32, 3] (RGB on white), labels uint8 [N, A] (0 or 1, in the order of ``ATTRIBUTES``), split
        uint8 [N] (place in ``SPLITS``: train, validation, test), vendor [N] (str), sequence [N] (str: codepoints in
        lower-case hexadecimal joined by ``-``, without the variation selector ``fe0f``).

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    rows = read_table(BUNDLED)
    images, drawn = [], []
    for vendor in VENDORS:
        images.append(read_images(BUNDLED, vendor))
        drawn += [(vendor, row) for row in rows if row[vendor] == "1"]
    labels = np.array([[int(row[attribute]) for attribute in ATTRIBUTES] for _, row in drawn], dtype=np.uint8)
    split = np.array([SPLITS.index(row["split"]) for _, row in drawn], dtype=np.uint8)
    vendors, sequences = np.array([vendor for vendor, _ in drawn]), np.array([row["sequence"] for _, row in drawn])
    return np.concatenate(images), labels, split, vendors, sequences


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, attributes and splits.

    Args:
        domains: Not used, there is one.
        downloads: Not used, nothing is downloaded.

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    images, labels, split, _, _ = read_arrays()
    # Shuffled within each split, so that its beginning holds all vendors.
    generator = np.random.default_rng(0)
    splits = {name: generator.permutation(np.flatnonzero(split == number)) for number, name in enumerate(SPLITS)}
    return {"people": DomainData(images, labels, splits)}
