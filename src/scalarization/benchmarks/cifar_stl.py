"""``cifar_stl``: CIFAR-10 and the labelled part of STL-10 at 32 pixels, classes in CIFAR-10's order (A 1.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scalarization.benchmarks import BenchmarkInfo, DomainData
from scalarization.benchmarks._splits import stratified_split
from scalarization.errors import DataError

#: Share of the official training set that is held out for validation (choice).
VALIDATION = 0.1
SPLIT_SEED = 0
#: STL-10's name of a class -> CIFAR-10's. STL-10 has no frog and CIFAR-10 no monkey: they share an index (choice).
STL_TO_CIFAR = {"car": "automobile", "monkey": "frog"}

INFO = BenchmarkInfo(
    setting="mdl",
    domains={"cifar10": 50000, "stl10": 5000},
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_size=32,
    channels=3,
    reported=True,
)
PROVENANCE = {
    "source": "torchvision.datasets.CIFAR10 and STL10",
    "licence": "CIFAR-10 and STL-10 name no licence; both ask to be cited",
    "split_seed": SPLIT_SEED,
}


def read(domains: list[str], downloads: Path) -> dict[str, DomainData]:
    """Images, labels and splits of the wanted domains; what is not in ``downloads`` is fetched there.

    Args:
        domains: Names of domains.
        downloads: Directory with ``cifar-10-batches-py/`` and ``stl10_binary/``, or where they are put.

    Raises:
        DataError: The archives are not there and cannot be fetched, or are damaged.
    """
    readers = {"cifar10": _cifar10, "stl10": _stl10}
    data = {}
    for number, name in enumerate(INFO.domains):
        if name in domains:
            (train, train_labels), (test, test_labels) = readers[name](downloads)
            held_out = round(VALIDATION * len(train))
            sizes = {"train": len(train) - held_out, "validation": held_out}
            splits = stratified_split(train_labels, sizes, np.random.default_rng([SPLIT_SEED, number]))
            splits["test"] = len(train) + np.arange(len(test))
            images, labels = np.concatenate([train, test]), np.concatenate([train_labels, test_labels])
            data[name] = DomainData(images, labels, splits)
    return data


def _cifar10(downloads: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    from torchvision.datasets import CIFAR10

    parts = [_open(CIFAR10, downloads, train=train) for train in (True, False)]
    if tuple(parts[0].classes) != INFO.classes:
        raise DataError(f"{downloads}: CIFAR-10's classes are {parts[0].classes}, expected {INFO.classes}")
    return [(part.data, np.asarray(part.targets)) for part in parts]


def _stl10(downloads: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    from PIL import Image
    from torchvision.datasets import STL10

    parts = [_open(STL10, downloads, split=split) for split in ("train", "test")]
    order = np.array([INFO.classes.index(STL_TO_CIFAR.get(name, name)) for name in parts[0].classes])
    size = (INFO.image_size, INFO.image_size)
    resized = []
    for part in parts:
        images = part.data.transpose(0, 2, 3, 1)
        small = np.stack([np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BILINEAR)) for i in images])
        resized.append((small, order[part.labels.astype(np.int64)]))
    return resized


def _open(dataset: type, downloads: Path, **split):
    try:
        return dataset(str(downloads), download=False, **split)
    except RuntimeError:
        pass
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        return dataset(str(downloads), download=True, **split)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{dataset.__name__} is not in {downloads} and could not be fetched ({error}); "
            "put its official archive there, or set data_dir in config.yaml to where it is"
        ) from None
