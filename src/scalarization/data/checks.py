"""The check of what a reader returned, whoever wrote it, before anything is written.

Every image and every map is checked where it is written (:mod:`scalarization.data.encode`,
:mod:`scalarization.data.dense_store`), because they may not fit into memory.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scalarization.benchmarks.base import (
    SPLITS,
    AttributeLabels,
    BenchmarkInfo,
    DenseData,
    DomainData,
    DomainInfo,
    EncodedDomain,
    MapLabels,
)
from scalarization.benchmarks.images import listed
from scalarization.benchmarks.labels import check_attribute_labels, check_class_labels
from scalarization.errors import DataError

#: Published data of which so small a part is there are no damaged originals but a trial: their sizes are not compared.
TRIAL = 0.01
log = logging.getLogger(__name__)


def check_data(benchmark: str, info: BenchmarkInfo, names: Sequence[str], data: Any, is_part: bool) -> None:
    """Check what a reader returned: types, shapes, labels, splits and sizes.

    Args:
        benchmark: The benchmark's name.
        info: Its declaration.
        names: Domains that were to be read; with maps, the one set of images.
        data: What the reader returned.
        is_part: Whether the user declared that the data are only a part, or others in the same format.

    Raises:
        DataError: Something is not as it is declared.
    """
    if isinstance(info.labels, MapLabels):
        _check_dense(benchmark, info, names[0], data, is_part)
        return
    if not isinstance(data, Mapping) or set(data) != set(names):
        returned = listed(data) if isinstance(data, Mapping) else type(data).__name__
        raise DataError(f"{benchmark}: its reader returned {returned}, expected a dictionary of {listed(names)}")
    for name, domain in data.items():
        source = f"{benchmark}: {name}"
        _check_type(source, domain, EncodedDomain if info.encoded else DomainData)
        name_of = _name_of(domain)
        _check_labels(source, info, domain.labels, name_of)
        _check_images(source, info, domain)
        sizes = _check_rows(source, domain.splits, len(domain.labels), name_of)
        _check_sizes(source, info, info.domains[name], sizes, is_part)
    _check_coverage(benchmark, info, data)


def _check_dense(benchmark: str, info: BenchmarkInfo, name: str, data: Any, is_part: bool) -> None:
    source = f"{benchmark}: {name}"
    _check_type(source, data, DenseData)
    sizes = _check_splits(source, data.splits, str)
    _check_sizes(source, info, info.domains[name], sizes, is_part)


def _check_type(source: str, data: Any, expected: type) -> None:
    if not isinstance(data, expected):
        raise DataError(f"{source}: its reader returned {type(data).__name__}, expected {expected.__name__}")


def _name_of(domain: DomainData | EncodedDomain) -> Callable[[int], str]:
    names = domain.names if isinstance(domain, EncodedDomain) else []
    return lambda row: names[row] if row < len(names) else f"image {row}"


def _check_labels(source: str, info: BenchmarkInfo, labels: Any, name_of: Callable[[int], str]) -> None:
    if isinstance(info.labels, AttributeLabels):
        check_attribute_labels(labels, len(info.labels.attributes), source, name_of)
    else:
        check_class_labels(labels, len(info.labels.describe()["classes"]), source, name_of)


def _check_images(source: str, info: BenchmarkInfo, domain: DomainData | EncodedDomain) -> None:
    """Number, type and shape of the images; encoded images of any size are allowed."""
    count = len(domain.labels)
    if isinstance(domain, EncodedDomain):
        if len(domain.names) != count:
            raise DataError(f"{source}: {len(domain.names)} names and {count} labels, expected one of each per image")
        return
    images = domain.images
    expected = (count, info.image_size, info.image_size, info.channels)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != expected:
        actual = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise DataError(f"{source}: images are {actual}, expected uint8 {expected} for {count} labels")


def _check_rows(source: str, splits: Any, count: int, name_of: Callable[[int], str]) -> dict[str, int]:
    """Check that splits are numbers of rows; returns their sizes."""
    for split, rows in splits.items() if isinstance(splits, Mapping) else []:
        try:
            numbers = np.asarray(rows)
        except ValueError as error:
            raise DataError(f"{source}: split {split} has no rows, integers [N] ({error})") from None
        if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
            raise DataError(
                f"{source}: split {split} is {numbers.dtype} {numbers.shape}, expected numbers of rows, integers [N]"
            )
        outside = numbers[(numbers < 0) | (numbers >= count)]
        if len(outside):
            raise DataError(f"{source}: split {split} has rows {listed(outside)}, there are {count} images")
    return _check_splits(source, splits, name_of)


def _check_splits(source: str, splits: Any, name_of: Callable[[Any], str]) -> dict[str, int]:
    """Check that no split is empty and no image is twice in one or in two of them; returns their sizes."""
    if not isinstance(splits, Mapping) or set(splits) != set(SPLITS):
        names = listed(splits) if isinstance(splits, Mapping) else type(splits).__name__
        raise DataError(f"{source}: splits are {names}, expected {', '.join(SPLITS)}")
    if wrong := [split for split in SPLITS if not isinstance(splits[split], Sequence | np.ndarray)]:
        kind = type(splits[wrong[0]]).__name__
        raise DataError(f"{source}: split {wrong[0]} is of type {kind}, expected a sequence of its images")
    if empty := [split for split in SPLITS if not len(splits[split])]:
        raise DataError(f"{source}: no image is in {' and '.join(empty)}")
    found: Counter[Any] = Counter()
    for split in SPLITS:
        try:
            counted = Counter(splits[split].tolist() if isinstance(splits[split], np.ndarray) else splits[split])
        except TypeError as error:
            raise DataError(f"{source}: keys of split {split} must be numbers, texts or tuples ({error})") from None
        if twice := [key for key, number in counted.items() if number > 1]:
            raise DataError(f"{source}: {len(twice)} images are twice in {split}: {listed(map(name_of, twice))}")
        found.update(counted.keys())
    if shared := [key for key, number in found.items() if number > 1]:
        names = listed(map(name_of, shared))
        raise DataError(f"{source}: splits overlap, {len(shared)} images are in two of them: {names}")
    return {split: len(splits[split]) for split in SPLITS}


def _check_sizes(
    source: str, info: BenchmarkInfo, declared: DomainInfo, sizes: Mapping[str, int], is_part: bool
) -> None:
    """Compare numbers of images with the declared ones; the official training set may include the validation split."""
    if declared.approximate:
        return
    train, total = sizes["train"], sum(sizes.values())
    wrong = []
    if declared.train_images not in (train, train + sizes["validation"]):
        wrong.append(f"{declared.train_images} images for training, there are {train} and {sizes['validation']}")
    if declared.images not in (None, total):
        wrong.append(f"{declared.images} images in all splits, there are {total}")
    if not wrong:
        return
    message = (
        f"{source}: declared are {'; '.join(wrong)} (train and validation)"
        if len(wrong) < 2
        else (f"{source}: declared are {wrong[0]} (train and validation); and {wrong[1]}")
    )
    if is_part or (info.files and total < TRIAL * (declared.images or declared.train_images)):
        log.warning("%s; these are not the published data", message)
    elif info.files:
        raise DataError(
            f"{message}. The originals are incomplete or of another version: fetch them again. To use other data in "
            "this format on purpose, put a SHA256SUMS next to them"
        )
    else:
        raise DataError(f"{message}. Correct the numbers in its DomainInfo, or the reader")


def _check_coverage(benchmark: str, info: BenchmarkInfo, data: Mapping[str, DomainData | EncodedDomain]) -> None:
    """Refuse classes that are evaluated but never trained; warn of what a domain cannot teach."""
    if isinstance(info.labels, AttributeLabels):
        for name, domain in data.items():
            means = domain.labels[domain.splits["train"]].mean(axis=0)
            constant = [a for a, mean in zip(info.labels.attributes, means, strict=True) if mean in (0, 1)]
            if constant:
                log.warning("%s: %s: equal in all training images: %s", benchmark, name, listed(constant))
        return
    classes = info.labels.describe()["classes"]
    trained, evaluated = (
        {n: {s: set(np.unique(d.labels[d.splits[s]]).tolist()) for s in splits} for n, d in data.items()}
        for splits in (SPLITS[:1], SPLITS[1:])
    )
    known = set().union(*(labels for splits in trained.values() for labels in splits.values()))
    unknown = {
        f"{classes[label]} ({name}, {split})"
        for name, splits in evaluated.items()
        for split, labels in splits.items()
        for label in labels - known
    }
    if unknown:
        raise DataError(f"{benchmark}: classes without any training image are evaluated: {listed(sorted(unknown))}")
    for name in data:
        if missing := [c for label, c in enumerate(classes) if label not in trained[name]["train"]]:
            log.warning("%s: %s: %d classes have no training image: %s", benchmark, name, len(missing), listed(missing))
