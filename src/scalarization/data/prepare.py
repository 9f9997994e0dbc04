"""Making a prepared store from a benchmark's original files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from scalarization import benchmarks
from scalarization.benchmarks import SPLITS, DomainData, EncodedDomain
from scalarization.data.dense_store import write_dense_store
from scalarization.data.encode import ENCODING, write_images
from scalarization.data.store import FORMAT
from scalarization.storage import replacing, write_json

#: Images that are counted at a time.
CHUNK = 1000


def prepare(
    directory: Path, benchmark: str, domains: list[str], downloads: Path, tasks: list[str] | None = None
) -> None:
    """Make a benchmark's prepared store from its original files.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domains: Domains to prepare.
        downloads: Directory of the original archives.
        tasks: Dense prediction: tasks whose maps are prepared; None: all.

    Raises:
        DataError: An original file is missing or damaged.
    """
    module = benchmarks.load(benchmark)
    info = module.INFO
    if info.maps:
        maps = {task: info.maps[task] for task in tasks or info.maps}
        facts = {"setting": info.setting, "classes": [], "attributes": [], **module.PROVENANCE}
        write_dense_store(directory, benchmark, domains[0], module.read(list(maps), downloads), maps, facts)
        return
    labels = {"classes": list(info.classes), "attributes": list(info.attributes)}
    encoded = {"encoding": ENCODING, "image_size": info.image_size} if info.encoded else {}
    facts = {"setting": info.setting, **labels, **encoded, **module.PROVENANCE}
    write_store(directory, benchmark, module.read(domains, downloads), facts)


def write_store(
    directory: Path, benchmark: str, domains: dict[str, DomainData] | dict[str, EncodedDomain], facts: dict[str, Any]
) -> None:
    """Write a prepared store; ``dataset.json`` comes last and makes it complete.

    Args:
        directory: Where to.
        benchmark: Benchmark's name.
        domains: Its data.
        facts: Classes, source, licence and whatever else belongs into ``dataset.json``.
    """
    described: dict[str, Any] = {}
    moments = []
    for name, domain in domains.items():
        rows = np.concatenate([domain.splits[s] for s in SPLITS])
        if len(np.unique(rows)) != len(rows):
            raise ValueError(f"{benchmark}: splits of {name} overlap")
        bounds = np.cumsum([0, *(len(domain.splits[s]) for s in SPLITS)])
        labels = domain.labels[rows].astype(np.int64 if domain.labels.ndim == 1 else np.uint8)
        if isinstance(domain, EncodedDomain):
            content, offsets, found = write_images(directory, name, domain, rows, int(bounds[1]))
            files = {"images": content, "offsets": _save(directory, name, "offsets", offsets)}
            moments.append(found)
        else:
            images = np.ascontiguousarray(domain.images[rows])
            moments.append(_moments(images[: bounds[1]]))
            files = {"images": _save(directory, name, "images", images)}
        described[name] = {
            "splits": {s: [int(bounds[i]), int(bounds[i + 1])] for i, s in enumerate(SPLITS)},
            **_label_counts(labels, bounds, len(facts["classes"])),
            "files": {**files, "labels": _save(directory, name, "labels", labels)},
        }
    # One normalisation for all domains, each domain counted alike: the network must not be told the domain.
    mean = np.mean([m for m, _ in moments], axis=0)
    std = np.sqrt(np.mean([s for _, s in moments], axis=0) - mean**2)
    content = {"format": FORMAT, "benchmark": benchmark, **facts, "domains": described}
    content["normalisation"] = {"mean": mean.round(6).tolist(), "std": std.round(6).tolist()}
    write_json(directory / "dataset.json", content)


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and mean square of each channel over images uint8 [N, H, W, C], values in [0, 1]; a few at a time."""
    counts = np.zeros((images.shape[-1], 256), dtype=np.int64)
    for first in range(0, len(images), CHUNK):
        part = images[first : first + CHUNK]
        counts += [np.bincount(part[..., channel].ravel(), minlength=256) for channel in range(len(counts))]
    shares, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    return shares @ values, shares @ values**2


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
