"""Prepared store with batched augmentation, against torchvision's data set, PIL transforms and DataLoader, one core."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from sides import side_by_side
from torch._inductor import metrics
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from scalarization.benchmarks.base import DomainData
from scalarization.config import AugmentationOptions
from scalarization.data.augmentation import Augmentation
from scalarization.data.device import DeviceData
from scalarization.data.prepare import write_store
from scalarization.data.randaugment import all_steps, by_step, variant_tables
from scalarization.data.store import Store

IMAGES, BATCH, SIZE = 2560, 256, 32
RECIPES = {
    "crop and flip": AugmentationOptions(crop_padding=4, flip=True),
    "crop, flip and RandAugment": AugmentationOptions(
        crop_padding=4, flip=True, randaugment={"num_ops": 2, "magnitude": 9}
    ),
}


def measure(tiny=False):
    """Lines of results, one per recipe, then the operations that a round of RandAugment launches."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    count, rounds = (BATCH, 1) if tiny else (IMAGES, 9)
    # Smooth random colours: the time of neither side depends on the content.
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    labels = rng.integers(0, 10, count)
    for name, recipe in RECIPES.items():
        with tempfile.TemporaryDirectory() as directory:
            yield _compare(name, recipe, images, labels, Path(directory), rounds)
    yield _launches(compiled=not tiny)


def _compare(name, recipe, images, labels, directory, rounds):
    rows = np.arange(len(images))
    splits = {"train": rows, "validation": rows[:0], "test": rows[:0]}
    write_store(
        directory / "store", "random", {"only": DomainData(images, labels, splits)}, {"classes": list(range(10))}
    )
    data = DeviceData(Store(directory / "store" / "dataset.json"), ["only"], torch.device("cpu"))
    augmentation = Augmentation(recipe)

    def batched():
        order = torch.randperm(len(images))
        for step, batch in enumerate(order.split(BATCH)):
            data.batch(batch, augmentation, step)

    steps = [transforms.RandomCrop(SIZE, padding=4), transforms.RandomHorizontalFlip()]
    if recipe.randaugment:
        steps.append(transforms.RandAugment(recipe.randaugment.num_ops, recipe.randaugment.magnitude))
    steps += [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    loader = DataLoader(_dataset(images, labels, transforms.Compose(steps)), BATCH, shuffle=True)

    def torchvision_loader():
        for _ in loader:
            pass

    ours, theirs, ratio = side_by_side(batched, torchvision_loader, rounds)
    count = len(images)
    return (
        f"{name}: {1 / ratio:.1f} times as fast "
        f"({count / ours:,.0f} and {count / theirs:,.0f} images/s per core, {SIZE} px RGB, batches of {BATCH})"
    )


def _dataset(images, labels, transform):
    """A data set like torchvision's CIFAR10: arrays in memory, one PIL image per item."""
    dataset = CIFAR10.__new__(CIFAR10)
    dataset.data, dataset.targets = images, labels.tolist()
    dataset.transform, dataset.target_transform = transform, None
    return dataset


def _launches(compiled):
    images = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8)
    variant = torch.randint(0, 28, (BATCH,))
    tables = variant_tables(9, 3, SIZE, SIZE, device=images.device)
    launched = {}
    for one_round in (all_steps, by_step):
        with _Launched() as mode:
            one_round(images, variant, tables)
        launched[one_round] = mode.number
    line = f"round of RandAugment: {launched[all_steps]} operations, {launched[by_step]} on a CPU"
    if not compiled:
        return line
    metrics.reset()
    torch.compile(all_steps, fullgraph=True, dynamic=False)(images, variant, tables)
    return f"{line}; {metrics.generated_kernel_count} kernels with torch.compile"


class _Launched(TorchDispatchMode):
    """Counts operations that are no views."""

    number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += not func.is_view
        return func(*args, **(kwargs or {}))
