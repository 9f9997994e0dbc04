"""Making a prepared store from a benchmark's original files."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scalarization import benchmarks
from scalarization.benchmarks.base import SPLITS, BenchmarkInfo, DomainData, EncodedDomain, MapLabels
from scalarization.benchmarks.originals import read_sums
from scalarization.data.checks import check_data
from scalarization.data.dense_store import write_dense_store
from scalarization.data.encode import describe_encoding, write_images
from scalarization.data.equal_images import EqualImages, Place
from scalarization.data.files import write_array
from scalarization.data.limits import limited_splits
from scalarization.data.store import FORMAT, complete_store, normalisation
from scalarization.errors import DataError, UserError

#: Images whose values are counted at a time, which bounds the memory.
CHUNK = 1000
log = logging.getLogger(__name__)


def prepare(
    directory: Path,
    benchmark: str,
    domains: list[str],
    downloads: Path,
    tasks: list[str] | None = None,
    origin: Mapping[str, Any] | None = None,
    train_images: Mapping[str, float] | None = None,
) -> None:
    """Make a benchmark's prepared store from its original files.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domains: Domains to prepare.
        downloads: Directory of the original files.
        tasks: Dense tasks: those whose maps are prepared; None: all.
        origin: What ``dataset.json`` records of where the store comes from, see :mod:`scalarization.provenance`.
        train_images: Domain -> number (1 or more) or fraction (below 1) of its training images that are used, if it
            is limited.

    Raises:
        DataError: An original file is missing or damaged, or the data are not as the benchmark declares them.
    """
    info, limits = benchmarks.load(benchmark), train_images or {}
    metadata = {**info.labels.describe(), **(describe_encoding(info.image_size) if info.encoded else {})}
    metadata |= {**info.provenance, **(origin or {}), **({"train_images": limits} if limits else {})}
    is_part = info.files is not None and bool(read_sums(downloads))
    if isinstance(info.labels, MapLabels):
        formats = {task: info.labels.formats[task] for task in tasks or info.labels.formats}
        data = _read(benchmark, info, list(formats), downloads)
        check_data(benchmark, info, domains, data, is_part)
        data = replace(data, splits=limited_splits(benchmark, domains[0], data.splits, limits.get(domains[0])))
        shape = (info.image_size, info.image_size, info.channels)
        write_dense_store(directory, benchmark, domains[0], data, formats, metadata, shape, info.shared_images)
    else:
        data = _read(benchmark, info, domains, downloads)
        check_data(benchmark, info, domains, data, is_part)
        for name, limit in limits.items():
            splits = limited_splits(benchmark, name, data[name].splits, limit, data[name].labels)
            data[name] = replace(data[name], splits=splits)
        write_store(directory, benchmark, data, metadata, info.shared_images)


def _read(benchmark: str, info: BenchmarkInfo, names: list[str], downloads: Path) -> Any:
    """What the benchmark's reader returns; a mistake in it, or a file that it does not expect, becomes a message."""
    try:
        return info.read(names, downloads)
    except UserError:
        raise
    except Exception as error:
        log.info("%s: its reader failed", benchmark, exc_info=True)
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"{benchmark}: its reader failed on the files in {downloads}: {type(error).__name__}: {error} "
            f"({where.filename}, line {where.lineno})"
        ) from error


def write_store(
    directory: Path,
    benchmark: str,
    domains: Mapping[str, DomainData] | Mapping[str, EncodedDomain],
    metadata: Mapping[str, Any],
    shared_images: float = 0.0,
) -> None:
    """Write a prepared store; ``dataset.json`` is written last and makes it complete.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domains: Domain -> its data, which :func:`scalarization.data.checks.check_data` has checked.
        metadata: Further content of ``dataset.json``: classes, source, licence, encoding.
        shared_images: Largest share of a domain's images that may be in two splits.

    Raises:
        DataError: Images are damaged, or too many are in two splits; or the file system refuses.
    """

    def name_of(place: Place) -> str:
        domain, row = domains[place[0]], place[2]
        return domain.names[row] if isinstance(domain, EncodedDomain) else f"image {row} of {place[0]}"

    described: dict[str, Any] = {}
    moments = []
    equal = EqualImages(benchmark, shared_images, name_of)
    for name, domain in domains.items():
        rows = np.concatenate([domain.splits[s] for s in SPLITS])
        places = [(name, split, row) for split in SPLITS for row in np.asarray(domain.splits[split]).tolist()]
        bounds = np.cumsum([0, *(len(domain.splits[s]) for s in SPLITS)])
        labels = domain.labels[rows].astype(np.int64 if domain.labels.ndim == 1 else np.uint8)
        arguments = (rows, int(bounds[1]), equal, places)
        if isinstance(domain, EncodedDomain):
            files, domain_moments = _write_encoded(directory, name, domain, *arguments)
        else:
            files, domain_moments = _write_pixels(directory, name, domain, *arguments)
        moments.append(domain_moments)
        described[name] = {
            "splits": {s: [int(bounds[i]), int(bounds[i + 1])] for i, s in enumerate(SPLITS)},
            **_label_counts(labels, bounds, len(metadata["classes"])),
            "files": {**files, "labels": write_array(directory / f"{name}_labels.npy", labels)},
        }
    # One normalisation for all domains, with equal weight for each: the network must not be told the domain.
    mean = np.mean([m for m, _ in moments], axis=0)
    std = np.sqrt(np.mean([s for _, s in moments], axis=0) - mean**2)
    content = {"format": FORMAT, "benchmark": benchmark, **metadata, **equal.describe(), "domains": described}
    content["normalisation"] = normalisation(benchmark, mean, std)
    complete_store(directory, content)


#: Entries of ``dataset.json`` for files, and mean and mean square of each channel over the train split, [2, C].
Written = tuple[dict[str, Any], np.ndarray]


def _write_pixels(
    directory: Path,
    name: str,
    domain: DomainData,
    rows: np.ndarray,
    train: int,
    equal: EqualImages,
    places: list[Place],
) -> Written:
    images = np.ascontiguousarray(domain.images[rows])
    for image, place in zip(images, places, strict=True):
        equal.add(image, place)
    return {"images": write_array(directory / f"{name}_images.npy", images)}, _moments(images[:train])


def _write_encoded(
    directory: Path,
    name: str,
    domain: EncodedDomain,
    rows: np.ndarray,
    train: int,
    equal: EqualImages,
    places: list[Place],
) -> Written:
    images, offsets, moments = write_images(directory, name, domain, rows, train, equal, places)
    return {"images": images, "offsets": write_array(directory / f"{name}_offsets.npy", offsets)}, moments


def _moments(images: np.ndarray) -> np.ndarray:
    """Mean and mean square of each channel, [2, C], over images uint8 [N, H, W, C] with values scaled to [0, 1]."""
    counts = np.zeros((images.shape[-1], 256), dtype=np.int64)
    for first in range(0, len(images), CHUNK):
        part = images[first : first + CHUNK]
        counts += [np.bincount(part[..., channel].ravel(), minlength=256) for channel in range(len(counts))]
    frequencies, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    return np.stack([frequencies @ values, frequencies @ values**2])


def _label_counts(labels: np.ndarray, bounds: np.ndarray, classes: int) -> dict[str, Any]:
    parts = {s: labels[bounds[i] : bounds[i + 1]] for i, s in enumerate(SPLITS)}
    if labels.ndim == 1:
        return {"samples_per_class": {s: np.bincount(p, minlength=classes).tolist() for s, p in parts.items()}}
    return {"positives_per_attribute": {s: p.sum(0, dtype=int).tolist() for s, p in parts.items()}}
