"""Making a prepared store from a benchmark's original files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scalarization import benchmarks
from scalarization.benchmarks.base import SPLITS, DomainData, EncodedDomain, MapLabels
from scalarization.data.dense_store import write_dense_store
from scalarization.data.encode import describe_encoding, write_images
from scalarization.data.store import FORMAT
from scalarization.storage import replacing, write_json

#: Images whose values are counted at a time, which bounds the memory.
CHUNK = 1000


def prepare(
    directory: Path, benchmark: str, domains: list[str], downloads: Path, tasks: list[str] | None = None
) -> None:
    """Make a benchmark's prepared store from its original files.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domains: Domains to prepare.
        downloads: Directory of the original files.
        tasks: Dense tasks: those whose maps are prepared; None: all.

    Raises:
        DataError: An original file is missing or damaged.
    """
    info = benchmarks.load(benchmark)
    metadata = {**info.labels.describe(), **(describe_encoding(info.image_size) if info.encoded else {})}
    metadata |= info.provenance
    if isinstance(info.labels, MapLabels):
        formats = {task: info.labels.formats[task] for task in tasks or info.labels.formats}
        write_dense_store(directory, benchmark, domains[0], info.read(list(formats), downloads), formats, metadata)
    else:
        write_store(directory, benchmark, info.read(domains, downloads), metadata)


def write_store(
    directory: Path,
    benchmark: str,
    domains: Mapping[str, DomainData] | Mapping[str, EncodedDomain],
    metadata: Mapping[str, Any],
) -> None:
    """Write a prepared store; ``dataset.json`` is written last and makes it complete.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domains: Domain -> its data.
        metadata: Further content of ``dataset.json``: classes, source, licence, encoding.
    """
    described: dict[str, Any] = {}
    moments = []
    for name, domain in domains.items():
        rows = np.concatenate([domain.splits[s] for s in SPLITS])
        if len(np.unique(rows)) != len(rows):
            raise ValueError(f"{benchmark}: splits of {name} overlap")
        bounds = np.cumsum([0, *(len(domain.splits[s]) for s in SPLITS)])
        labels = domain.labels[rows].astype(np.int64 if domain.labels.ndim == 1 else np.uint8)
        files, domain_moments = IMAGE_WRITERS[type(domain)](directory, name, domain, rows, int(bounds[1]))
        moments.append(domain_moments)
        described[name] = {
            "splits": {s: [int(bounds[i]), int(bounds[i + 1])] for i, s in enumerate(SPLITS)},
            **_label_counts(labels, bounds, len(metadata["classes"])),
            "files": {**files, "labels": _save(directory, name, "labels", labels)},
        }
    # One normalisation for all domains, with equal weight for each: the network must not be told the domain.
    mean = np.mean([m for m, _ in moments], axis=0)
    std = np.sqrt(np.mean([s for _, s in moments], axis=0) - mean**2)
    content = {"format": FORMAT, "benchmark": benchmark, **metadata, "domains": described}
    content["normalisation"] = {"mean": mean.round(6).tolist(), "std": std.round(6).tolist()}
    write_json(directory / "dataset.json", content)


#: Entries of ``dataset.json`` for files, and mean and mean square of each channel over the train split, [2, C].
Written = tuple[dict[str, Any], np.ndarray]


def _write_pixels(directory: Path, name: str, domain: DomainData, rows: np.ndarray, train: int) -> Written:
    images = np.ascontiguousarray(domain.images[rows])
    return {"images": _save(directory, name, "images", images)}, _moments(images[:train])


def _write_encoded(directory: Path, name: str, domain: EncodedDomain, rows: np.ndarray, train: int) -> Written:
    images, offsets, moments = write_images(directory, name, domain, rows, train)
    return {"images": images, "offsets": _save(directory, name, "offsets", offsets)}, moments


#: Type of a domain's data -> function that writes its images.
IMAGE_WRITERS: dict[type, Callable[..., Written]] = {DomainData: _write_pixels, EncodedDomain: _write_encoded}


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


def _save(directory: Path, domain: str, kind: str, array: np.ndarray) -> dict[str, Any]:
    path = directory / f"{domain}_{kind}.npy"
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
