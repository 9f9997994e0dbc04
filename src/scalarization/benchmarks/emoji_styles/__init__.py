"""``emoji_styles``: emoji drawn in six styles, coarse classes of objects; stands in for ``domainnet``.

Every style is a domain with all emoji that its vendor draws. An emoji lies in the same split in all styles, together
with the emoji that vendors derive from its drawing. ``bundled/README.md`` documents the sources of the drawings and how
they were changed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalarization.benchmarks.base import SPLITS, BenchmarkInfo, ClassLabels, DomainData, DomainInfo
from scalarization.benchmarks.bundled import bundled_files
from scalarization.benchmarks.emoji_files import read_drawings

BUNDLED = Path(__file__).resolve().parent / "bundled"
IMAGE_SIZE = 32
CHANNELS = 3
VENDORS = ("twemoji", "noto", "fluent_flat", "fluent_contrast", "emojione", "openmoji")
CLASSES = (
    *("face", "heart", "hand", "mammal", "other_animal", "plant", "produce", "dish", "drink", "place", "vehicle"),
    *("sky", "clothing", "stationery", "electronics", "tool"),
)
#: Domain -> split -> number of images.
SPLIT_SIZES = {
    "twemoji": {"train": 493, "validation": 122, "test": 201},
    "noto": {"train": 493, "validation": 122, "test": 201},
    "fluent_flat": {"train": 488, "validation": 121, "test": 199},
    "fluent_contrast": {"train": 486, "validation": 121, "test": 199},
    "emojione": {"train": 369, "validation": 91, "test": 152},
    "openmoji": {"train": 493, "validation": 122, "test": 201},
}


def read_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All images with their classes and splits, vendor by vendor in the order of ``VENDORS``.

    Returns:
        images uint8 [N, 32, 32, 3] (RGB on white), labels uint8 [N] (index in ``CLASSES``), split uint8 [N] (index in
        ``SPLITS``: train, validation, test), vendor [N] (str), sequence [N] (str: codepoints in lower-case hexadecimal
        joined by ``-``, without the variation selector ``fe0f``).

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    drawings = read_drawings(BUNDLED, VENDORS)
    labels = np.array([CLASSES.index(row["class"]) for row in drawings.rows], dtype=np.uint8)
    sequence = np.array([row["sequence"] for row in drawings.rows])
    return drawings.images, labels, drawings.split, drawings.vendor, sequence


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, classes and splits of some styles.

    Args:
        domains: Names of styles.
        downloads: Not used: no file is downloaded.

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    images, labels, split, vendors, _ = read_arrays()
    data = {}
    for number, vendor in enumerate(VENDORS):
        if vendor in domains:
            rows = vendors == vendor
            generator = np.random.default_rng([0, number])
            splits = {s: generator.permutation(np.flatnonzero(split[rows] == i)) for i, s in enumerate(SPLITS)}
            data[vendor] = DomainData(images[rows], labels[rows], splits)
    return data


BENCHMARK = BenchmarkInfo(
    labels=ClassLabels(CLASSES),
    domains={vendor: DomainInfo(sizes["train"]) for vendor, sizes in SPLIT_SIZES.items()},
    image_size=IMAGE_SIZE,
    channels=CHANNELS,
    provenance={
        "source": "bundled with the code, see src/scalarization/benchmarks/emoji_styles/bundled/README.md",
        "licence": {
            "twemoji": "CC BY 4.0",
            "noto": "Apache-2.0",
            "fluent_flat": "MIT",
            "fluent_contrast": "MIT",
            "emojione": "CC BY 4.0",
            "openmoji": "CC BY-SA 4.0",
            "labels": "MIT (emojibase-data), Unicode-3.0",
        },
    },
    read=read,
    sources=lambda tasks, downloads: bundled_files(BUNDLED),
)
