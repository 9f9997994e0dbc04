"""Which training images are used if a preset limits their number (``train_images``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scalarization import seeds
from scalarization.benchmarks.base import SPLITS, images_left
from scalarization.errors import DataError

TRAIN = SPLITS[0]


def limited_splits(
    benchmark: str, domain: str, splits: Mapping[str, Any], limit: float | None, labels: np.ndarray | None = None
) -> dict[str, Any]:
    """The splits of a domain with fewer training images; validation and test stay whole.

    The draw is that of the benchmark and domain, the same for all presets. A smaller number of images takes a part of
    those that a larger one takes, up to the rounding of the classes' shares.

    Args:
        benchmark: The benchmark.
        domain: The domain.
        splits: Split -> its rows or keys.
        limit: Number (1 or more) or fraction (below 1) of the training images that are used; None: all.
        labels: Labels of all images; if they are classes, [N], each class keeps its share of the training images.

    Returns:
        Split -> its rows or keys; those for training in the order that they had.

    Raises:
        DataError: There are fewer training images, or too few are left for one of each class.
    """
    if limit is None:
        return dict(splits)
    train = splits[TRAIN]
    count = images_left(len(train), limit)
    if count > len(train):
        raise DataError(
            f"{benchmark}: train_images = {count:,}, but the train split of {domain} has {len(train):,} images; "
            f"change benchmarks.{benchmark}.train_images"
        )
    classes = labels[np.asarray(train)] if labels is not None and labels.ndim == 1 else np.zeros(len(train), dtype=int)
    if count < (present := len(np.unique(classes))):
        raise DataError(f"{benchmark}: train_images = {count:,} of {domain}, which has images of {present} classes")
    order = seeds.generator(0, 0, "train_images", seeds.key(benchmark, domain)).permutation(len(train))
    places = np.sort(np.concatenate([order[classes[order] == c][:n] for c, n in _shares(classes, count).items()]))
    kept = np.asarray(train)[places] if isinstance(train, np.ndarray) else [train[place] for place in places]
    return {**splits, TRAIN: kept}


def _shares(classes: Sequence[int] | np.ndarray, count: int) -> dict[int, int]:
    """Class -> its number among ``count`` images: its share by largest remainders, at least one."""
    names, sizes = np.unique(classes, return_counts=True)
    exact = sizes * (count / sizes.sum())
    numbers = np.maximum(np.floor(exact).astype(int), 1)
    # At least one of each may be too many in all: the classes that are most above their share give some back.
    while numbers.sum() > count:
        numbers[np.argmax(np.where(numbers > 1, numbers - exact, -np.inf))] -= 1
    while numbers.sum() < count:
        numbers[np.argmax(np.where(numbers < sizes, exact - numbers, -np.inf))] += 1
    return dict(zip(names.tolist(), numbers.tolist(), strict=True))
