"""``emoji_people``: people and body parts among the emoji, drawn by four vendors; stands in for ``celeba``.

Every image carries all attributes, which follow from its Unicode sequence of codepoints and from Unicode's metadata.
All variants of an emoji in skin tone, gender and direction, by all vendors, lie in the same split.
``bundled/README.md`` documents the sources of the drawings, how they were changed, and the rule of every attribute.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalarization.benchmarks.base import SPLITS, AttributeLabels, BenchmarkInfo, DomainData, DomainInfo
from scalarization.benchmarks.bundled import bundled_files
from scalarization.benchmarks.emoji_files import read_drawings

BUNDLED = Path(__file__).resolve().parent / "bundled"
IMAGE_SIZE = 32
CHANNELS = 3
VENDORS = ("twemoji", "noto", "fluent_flat", "openmoji")

#: Group -> attributes, which share one weight.
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


def read_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All images with their labels and splits, vendor by vendor in the order of ``VENDORS``.

    Returns:
        images uint8 [N, 32, 32, 3] (RGB on white), labels uint8 [N, A] (0 or 1, in the order of ``ATTRIBUTES``), split
        uint8 [N] (index in ``SPLITS``: train, validation, test), vendor [N] (str), sequence [N] (str: codepoints in
        lower-case hexadecimal joined by ``-``, without the variation selector ``fe0f``).

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    drawings = read_drawings(BUNDLED, VENDORS)
    labels = np.array([[int(row[attribute]) for attribute in ATTRIBUTES] for row in drawings.rows], dtype=np.uint8)
    sequence = np.array([row["sequence"] for row in drawings.rows])
    return drawings.images, labels, drawings.split, drawings.vendor, sequence


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, attributes and splits.

    Args:
        domains: Not used: the only domain is read.
        downloads: Not used: no file is downloaded.

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    images, labels, split, _, _ = read_arrays()
    # Each split is shuffled, so that its first rows hold drawings of all vendors.
    generator = np.random.default_rng(0)
    splits = {name: generator.permutation(np.flatnonzero(split == number)) for number, name in enumerate(SPLITS)}
    return {"people": DomainData(images, labels, splits)}


BENCHMARK = BenchmarkInfo(
    labels=AttributeLabels(GROUPS),
    domains={"people": DomainInfo(SPLIT_SIZES["train"])},
    image_size=IMAGE_SIZE,
    channels=CHANNELS,
    provenance={
        "source": "bundled with the code, see src/scalarization/benchmarks/emoji_people/bundled/README.md",
        "licence": {
            "twemoji": "CC BY 4.0",
            "noto": "Apache-2.0",
            "fluent_flat": "MIT",
            "openmoji": "CC BY-SA 4.0",
            "labels": "MIT (emojibase-data), Unicode-3.0",
        },
    },
    read=read,
    sources=lambda tasks, downloads: bundled_files(BUNDLED),
)
