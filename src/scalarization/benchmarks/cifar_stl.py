"""``cifar_stl``: CIFAR-10 and the labelled part of STL-10 at 32 pixels, classes in CIFAR-10's order (appendix 1.1).

The official archives ``cifar-10-python.tar.gz`` and ``stl10_binary.tar.gz`` are read without unpacking them. The
folders ``cifar-10-batches-py`` and ``stl10_binary`` are read in their place if the archives are already unpacked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scalarization.benchmarks.archives import read_entries, unpickle
from scalarization.benchmarks.base import BenchmarkInfo, ClassLabels, DomainData, DomainInfo
from scalarization.benchmarks.labels import check_class_labels
from scalarization.benchmarks.originals import Original, verified_paths
from scalarization.benchmarks.splits import stratified_split
from scalarization.errors import DataError

#: Part of the official training set that is held out for validation (choice).
VALIDATION = 0.1
SPLIT_SEED = 0
#: Largest share of a domain's images that are equal to one of another split at 32 pixels (choice).
SHARED = 0.001
#: STL-10's name of a class -> CIFAR-10's. STL-10 has no frog and CIFAR-10 no monkey; the two share an index (choice).
STL_TO_CIFAR = {"car": "automobile", "monkey": "frog"}

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SIZE = 32
#: Bytes of an image of STL-10.
STL_BYTES = 3 * 96 * 96
DOMAINS = {
    "cifar10": DomainInfo(50_000, images=60_000, original_bytes=170e6),
    "stl10": DomainInfo(5_000, images=13_000, original_bytes=2.64e9),
}


def files(domains: list[str]) -> list[Original]:
    """The original files of some domains, with the addresses and checksums that torchvision has."""
    from torchvision.datasets import CIFAR10, STL10

    published = {
        "cifar10": (
            CIFAR10,
            [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])],
        ),
        "stl10": (STL10, [*STL10.train_list, *STL10.test_list, (STL10.class_names_file, None)]),
    }
    return [
        Original(
            dataset.filename,
            dataset.url,
            f"md5:{dataset.tgz_md5}",
            {f"{dataset.base_folder}/{name}": md5 and f"md5:{md5}" for name, md5 in parts if name != "unlabeled_X.bin"},
        )
        for dataset, parts in (published[domain] for domain in domains)
    ]


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, labels and splits of some domains.

    Args:
        domains: Names of domains.
        downloads: Directory of the archives or of the unpacked folders.

    Raises:
        DataError: A file is missing, damaged, or not the published one.
    """
    data = {}
    for number, name in enumerate(DOMAINS):
        if name in domains:
            (train, train_labels), (test, test_labels) = _parts(name, downloads)
            held_out = round(VALIDATION * len(train))
            sizes = {"train": len(train) - held_out, "validation": held_out}
            splits = stratified_split(train_labels, sizes, np.random.default_rng([SPLIT_SEED, number]))
            splits["test"] = len(train) + np.arange(len(test))
            images, labels = np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
            data[name] = DomainData(images, labels, splits)
    return data


def _parts(domain: str, downloads: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test images, and labels, of a domain."""
    contents = _contents(domain, downloads)
    try:
        return {"cifar10": _cifar10, "stl10": _stl10}[domain](contents)
    except DataError as error:
        raise DataError(f"{downloads}: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{downloads}: {domain} is not in its official format ({error!r}); fetch it again") from None


def _contents(domain: str, downloads: Path) -> dict[str, bytes]:
    """Name -> content of the files of a domain, whose checksums are compared first."""
    original = files([domain])[0]
    paths = verified_paths(original, downloads, "cifar_stl")
    if paths == [downloads / original.path]:
        entries = read_entries(paths[0], original.unpacked)
        return {path.rpartition("/")[2]: content for path, content in entries.items()}
    return {path.name: path.read_bytes() for path in paths}


def _cifar10(contents: dict[str, bytes]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test images, uint8 [N, 32, 32, 3], and labels."""
    read = {name: unpickle(content, f"CIFAR-10's {name}") for name, content in contents.items()}
    names = read["batches.meta"]["label_names"]
    if tuple(names) != CLASSES:
        raise DataError(f"CIFAR-10's batches.meta: its classes are {names}, expected {CLASSES}")
    parts = []
    for batches in ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"]):
        pixels, labels = zip(*(_cifar_batch(read[batch], batch) for batch in batches), strict=True)
        images = np.concatenate(pixels).reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE).transpose(0, 2, 3, 1)
        parts.append((images, np.concatenate(labels)))
    return parts


def _cifar_batch(batch: dict[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, uint8 [N, 3072], and labels of a batch."""
    pixels, labels = batch["data"], np.array(batch["labels"])
    count = len(pixels)
    if pixels.dtype != np.uint8 or pixels.shape != (count, 3 * IMAGE_SIZE**2):
        raise DataError(
            f"CIFAR-10's {name}: its data are {pixels.dtype} {pixels.shape}, expected uint8 (N, 3072); fetch it again"
        )
    if labels.shape != (count,):
        raise DataError(f"CIFAR-10's {name}: {len(labels)} labels of {count} images; fetch it again")
    check_class_labels(labels, len(CLASSES), f"CIFAR-10's {name}", "image {}".format)
    return pixels, labels


def _stl10(contents: dict[str, bytes]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test images, resized to uint8 [N, 32, 32, 3], and labels in CIFAR-10's order."""
    from PIL import Image

    names = contents["class_names.txt"].decode("ascii").split()
    renamed = [STL_TO_CIFAR.get(name, name) for name in names]
    if sorted(renamed) != sorted(CLASSES):
        raise DataError(f"STL-10's class_names.txt: {', '.join(names)} are not the ten classes; fetch it again")
    order = np.array([CLASSES.index(name) for name in renamed])
    size = (IMAGE_SIZE, IMAGE_SIZE)
    parts = []
    for split in ("train", "test"):
        # Three planes of 96 x 96 in column-major order; labels count from 1.
        pixels = np.frombuffer(contents[f"{split}_X.bin"], np.uint8)
        labels = np.frombuffer(contents[f"{split}_y.bin"], np.uint8).astype(np.int64) - 1
        if len(pixels) != len(labels) * STL_BYTES:
            raise DataError(
                f"STL-10's {split}_X.bin: {len(pixels)} bytes, expected {len(labels) * STL_BYTES} for the "
                f"{len(labels)} labels of {split}_y.bin; one of the two is truncated, fetch it again"
            )
        check_class_labels(labels, len(CLASSES), f"STL-10's {split}_y.bin, counted from 0", "image {}".format)
        images = pixels.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)
        small = np.stack([np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BILINEAR)) for i in images])
        parts.append((small, order[labels]))
    return parts


BENCHMARK = BenchmarkInfo(
    labels=ClassLabels(CLASSES),
    domains=DOMAINS,
    image_size=IMAGE_SIZE,
    channels=3,
    provenance={
        "source": "CIFAR-10 (python version) and STL-10 (binary version), official archives",
        "licence": "CIFAR-10 and STL-10 name no licence; both ask to be cited",
        "split_seed": SPLIT_SEED,
    },
    read=read,
    reported=True,
    shared_images=SHARED,
    files=files,
    page="https://www.cs.toronto.edu/~kriz/cifar.html and https://cs.stanford.edu/~acoates/stl10/",
)
