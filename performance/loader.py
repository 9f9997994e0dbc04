"""Prepared store with batched augmentation against a torchvision data set, PIL transforms and DataLoader (one core)."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from sides import side_by_side
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from scalarization.benchmarks import DomainData
from scalarization.data.augmentation import Augmentation
from scalarization.data.device import DeviceData
from scalarization.data.prepare import write_store
from scalarization.data.store import Store

IMAGES, BATCH, SIZE = 2560, 256, 32
RECIPES = {
    "crop and flip": {"crop_padding": 4, "flip": True, "randaugment": None},
    "crop, flip and RandAugment": {"crop_padding": 4, "flip": True, "randaugment": {"num_ops": 2, "magnitude": 9}},
}


def measure():
    """Lines of results, one per recipe."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    # Smooth random colour pictures: neither side's work depends on what they show.
    coarse = rng.integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    labels = rng.integers(0, 10, IMAGES)
    for name, recipe in RECIPES.items():
        with tempfile.TemporaryDirectory() as directory:
            yield _compare(name, recipe, images, labels, Path(directory))


def _compare(name, recipe, images, labels, directory):
    rows = np.arange(IMAGES)
    splits = {"train": rows, "validation": rows[:0], "test": rows[:0]}
    write_store(
        directory / "store", "random", {"only": DomainData(images, labels, splits)}, {"classes": list(range(10))}
    )
    data = DeviceData(Store(directory / "store" / "dataset.json"), ["only"], torch.device("cpu"))
    augmentation = Augmentation(recipe)

    def batched():
        order = torch.randperm(IMAGES)
        for step, batch in enumerate(order.split(BATCH)):
            data.batch(batch, augmentation, step)

    steps = [transforms.RandomCrop(SIZE, padding=4), transforms.RandomHorizontalFlip()]
    if recipe["randaugment"]:
        steps.append(transforms.RandAugment(**recipe["randaugment"]))
    steps += [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    loader = DataLoader(_dataset(images, labels, transforms.Compose(steps)), BATCH, shuffle=True)

    def torchvision_loader():
        for _ in loader:
            pass

    ours, theirs, ratio = side_by_side(batched, torchvision_loader, rounds=5)
    return (
        f"{name}: {1 / ratio:.1f} times as fast "
        f"({IMAGES / ours:,.0f} and {IMAGES / theirs:,.0f} images/s per core, {SIZE} px RGB, batches of {BATCH})"
    )


def _dataset(images, labels, transform):
    """As torchvision's CIFAR10: arrays in memory, one PIL image per item."""
    dataset = CIFAR10.__new__(CIFAR10)
    dataset.data, dataset.targets = images, labels.tolist()
    dataset.transform, dataset.target_transform = transform, None
    return dataset
