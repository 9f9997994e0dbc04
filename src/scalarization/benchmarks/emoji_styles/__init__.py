"""``emoji_styles``: emoji drawn in six styles, coarse classes of objects; stands in for ``domainnet``.

Every style is a domain and keeps all emoji that it has. An emoji lies in the same split in all styles, and so do emoji
that are drawn from one another. ``bundled/README.md`` tells where the drawings come from and how they were changed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalarization.benchmarks import SPLITS, BenchmarkInfo, DomainData
from scalarization.benchmarks._emoji_files import read_images, read_table

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

INFO = BenchmarkInfo(
    setting="mdl",
    domains={vendor: sizes["train"] for vendor, sizes in SPLIT_SIZES.items()},
    classes=CLASSES,
    image_size=IMAGE_SIZE,
    channels=CHANNELS,
    reported=False,
)
PROVENANCE = {
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
}


def read_arrays() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All images with their classes and splits, vendor by vendor in the order of ``VENDORS``.

    Returns:
        images uint8 [N, 32, 32, 3] (RGB on white), labels uint8 [N] (place in ``CLASSES``), split uint8 [N] (place in
        ``SPLITS``: train, validation, test), vendor [N] (str), sequence [N] (str: codepoints in lower-case hexadecimal
        joined by ``-``, without the variation selector ``fe0f``).

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    rows = read_table(BUNDLED)
    images, drawn = [], []
    for vendor in VENDORS:
        images.append(read_images(BUNDLED, vendor))
        drawn += [(vendor, row) for row in rows if row[vendor] == "1"]
    labels = np.array([CLASSES.index(row["class"]) for _, row in drawn], dtype=np.uint8)
    split = np.array([SPLITS.index(row["split"]) for _, row in drawn], dtype=np.uint8)
    vendors, sequences = np.array([vendor for vendor, _ in drawn]), np.array([row["sequence"] for _, row in drawn])
    return np.concatenate(images), labels, split, vendors, sequences


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, classes and splits of the wanted styles.

    Args:
        domains: Names of styles.
        downloads: Not used, nothing is downloaded.

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
