"""``celeba``: the aligned faces of CelebA (Liu et al., ICCV 2015) at 32 pixels with 40 binary attributes.

The groups of attributes are those of appendix 1.1, table A. The files lie in ``<data_dir>/celeba`` as torchvision lays
them out: ``list_attr_celeba.txt``, ``list_eval_partition.txt``, and the images, in ``img_align_celeba.zip`` or in a
folder ``img_align_celeba``. The archive is read without unpacking it.

Aligned images have 178 x 218 pixels. The middle 178 x 178 pixels are kept and resampled with a triangle filter as wide
as a new pixel (choice), as torchvision's ``CenterCrop(178)`` and ``Resize(32)`` do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from scalarization.benchmarks.archives import image_files
from scalarization.benchmarks.base import SPLITS, AttributeLabels, BenchmarkInfo, DomainData, DomainInfo
from scalarization.benchmarks.images import Unusable, UnusableError, listed, opened_image
from scalarization.benchmarks.originals import Original, read_lines, require
from scalarization.errors import DataError

IMAGE_SIZE = 32
#: Width and height of the aligned images.
ALIGNED = (178, 218)
ORDER_SEED = 0
#: Largest share of the images that are equal to one of another split at 32 pixels (choice).
SHARED = 0.001
#: Images in one task of the thread pool.
CHUNK = 500
ATTRIBUTES_FILE, PARTITION_FILE = "list_attr_celeba.txt", "list_eval_partition.txt"
IMAGES = "img_align_celeba"
#: Address at which Google Drive serves a large file to programs, without its question about the virus scan.
DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"

#: Group -> attributes, which share one weight (appendix 1.1, table A).
GROUPS = {
    "hair_color": ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    "hair_style": ("Bald", "Bangs", "Receding_Hairline", "Sideburns", "Straight_Hair", "Wavy_Hair"),
    "facial_hair": ("5_o_Clock_Shadow", "Mustache", "No_Beard", "Goatee"),
    "mouth": ("Big_Lips", "Mouth_Slightly_Open", "Smiling", "Wearing_Lipstick"),
    "clothes": (
        *("Eyeglasses", "Heavy_Makeup", "Wearing_Earrings", "Wearing_Hat", "Wearing_Necklace"),
        "Wearing_Necktie",
    ),
    "face_structure": ("Big_Nose", "Chubby", "Double_Chin", "High_Cheekbones", "Oval_Face", "Pointy_Nose"),
    "gender": ("Male",),
    "age": ("Young",),
}

LABELS = AttributeLabels(
    GROUPS,
    ungrouped=(
        *("Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Blurry", "Bushy_Eyebrows", "Narrow_Eyes", "Pale_Skin"),
        "Rosy_Cheeks",
    ),
)


def files(domains: list[str]) -> list[Original]:
    """The original files, with the checksums and Google Drive identifiers that torchvision has."""
    from torchvision.datasets import CelebA

    published = {name: (identifier, md5) for identifier, md5, name in CelebA.file_list}
    unpacked: dict[str, dict[str, str | None]] = {f"{IMAGES}.zip": {f"celeba/{IMAGES}/": None}}
    return [
        Original(
            f"celeba/{name}", DRIVE.format(published[name][0]), f"md5:{published[name][1]}", unpacked.get(name, {})
        )
        for name in (ATTRIBUTES_FILE, PARTITION_FILE, f"{IMAGES}.zip")
    ]


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, attributes and the official partition.

    Args:
        domains: Not used: the only domain is read.
        downloads: Directory with ``celeba/``.

    Raises:
        DataError: A file is missing or damaged, an image is not one of the aligned ones, or the lists are not in the
            official format or do not agree.
    """
    require(files(domains), downloads, "celeba")
    directory = downloads / "celeba"
    names, labels = _attributes(directory / ATTRIBUTES_FILE)
    parts = _partition(directory / PARTITION_FILE, names)
    content = image_files(directory, IMAGES, [f"{IMAGES}/{name}" for name in names])
    images = _images(content, names, directory)
    # Each split is shuffled, so that its first rows are a random subset.
    generator = np.random.default_rng(ORDER_SEED)
    splits = {split: generator.permutation(np.flatnonzero(parts == number)) for number, split in enumerate(SPLITS)}
    return {"celeba": DomainData(images, labels, splits)}


def _attributes(file: Path) -> tuple[list[str], np.ndarray]:
    """Names of the images, and their attributes, uint8 [N, 40] of 0 and 1, in the order of ``LABELS.attributes``."""
    lines = read_lines(file)
    header = lines[1].split() if len(lines) > 1 else []
    if sorted(header) != sorted(LABELS.attributes):
        difference = sorted(set(header) ^ set(LABELS.attributes))
        raise DataError(f"{file}: line 2 does not name the 40 attributes ({', '.join(difference)}); fetch it again")
    if lines[0].strip() != str(len(lines) - 2):
        raise DataError(f"{file}: announces {lines[0]} images and lists {len(lines) - 2}; fetch it again")
    names, values = [], np.empty((len(lines) - 2, len(header)), dtype=np.int8)
    for row, line in enumerate(lines[2:]):
        name, *signs = line.split() or [""]
        if len(signs) != len(header) or not set(signs) <= {"-1", "1"}:
            raise DataError(f"{file}: line {row + 3} is '{line[:60]}', expected a name and 40 values of -1 or 1")
        names.append(name)
        values[row] = [sign == "1" for sign in signs]
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise DataError(f"{file}: lists {len(twice)} images more than once: {listed(twice)}; fetch it again")
    return names, values[:, [header.index(attribute) for attribute in LABELS.attributes]].astype(np.uint8)


def _partition(file: Path, names: list[str]) -> np.ndarray:
    """Index in ``SPLITS`` of every image, which is what the official 0, 1 and 2 mean."""
    pairs = [tuple(line.split()) for line in read_lines(file)]
    wrong = next((n for n, pair in enumerate(pairs, start=1) if len(pair) != 2 or pair[1] not in ("0", "1", "2")), None)
    if wrong is not None:
        raise DataError(f"{file}: line {wrong} is '{' '.join(pairs[wrong - 1])}', expected a name and 0, 1 or 2")
    if [name for name, _ in pairs] != names:
        raise DataError(f"{file}: lists other images than {ATTRIBUTES_FILE}; fetch both again")
    parts = np.array([int(part) for _, part in pairs])
    empty = [split for number, split in enumerate(SPLITS) if number not in parts]
    if empty:
        raise DataError(f"{file}: no image is in {' or '.join(empty)}; fetch it again")
    return parts


def _images(content: Callable[[str], bytes], names: list[str], directory: Path) -> np.ndarray:
    """All images, uint8 [N, 32, 32, 3]; each thread holds one original image at a time."""
    images = np.empty((len(names), IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    unusable = Unusable(str(directory), len(names))

    def fill(first: int) -> None:
        for row in range(first, min(first + CHUNK, len(names))):
            try:
                images[row] = _reduced(content(f"{IMAGES}/{names[row]}"), names[row])
            except UnusableError as error:
                unusable.add(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = [pool.submit(fill, first) for first in range(0, len(names), CHUNK)]
        try:
            for part in parts:
                part.result()
        finally:
            pool.shutdown(cancel_futures=True)
    unusable.check("fetch the images again")
    return images


def _reduced(content: bytes, name: str) -> np.ndarray:
    """An aligned image at 32 pixels, uint8 [32, 32, 3]."""
    from PIL import Image

    width, height = ALIGNED
    top = (height - width) // 2
    with opened_image(content, name) as image:
        if image.size != ALIGNED:
            size = f"{image.width} x {image.height}"
            raise UnusableError(name, f"has {size} pixels, expected the aligned images of 178 x 218")
        middle = image.convert("RGB").crop((0, top, width, top + width))
        return np.asarray(middle.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR))


BENCHMARK = BenchmarkInfo(
    labels=LABELS,
    domains={"celeba": DomainInfo(162_770, images=202_599, original_bytes=1.47e9)},
    image_size=IMAGE_SIZE,
    channels=3,
    provenance={
        "source": "CelebA, aligned and cropped images, official attributes and partition",
        "licence": "non-commercial research only (the data set's agreement)",
        "order_seed": ORDER_SEED,
    },
    read=read,
    reported=True,
    shared_images=SHARED,
    files=files,
    page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, 'Align&Cropped Images' and the folders Anno and Eval of "
    "its Google Drive (for non-commercial research only)",
)
