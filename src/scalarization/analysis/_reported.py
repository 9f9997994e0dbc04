"""Numbers that the paper reports, under the names that they have here. ``reported/*.csv`` holds them as published."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path
from typing import NamedTuple

from scalarization.analysis import _names

DIRECTORY = Path(__file__).resolve().parent / "reported"
#: Architecture as reported -> name here and what width 1.0 is (spec: embedding of ViT-S/4, bottleneck of ResNet).
ARCHITECTURES = ((r"vit-s4-depth(\d+)", "vit_d{}_w{}", 192), (r"resnet(\d+)", "resnet{}_w{}", 64))


class Accuracy(NamedTuple):
    """Percent. ``std`` is NaN if none is reported; of an average it is sqrt(sum of the tasks' variances) / T."""

    mean: float
    std: float


@functools.cache
def accuracies() -> dict[tuple[str, str], dict[tuple[str, str], Accuracy]]:
    """Tables B, C, D of the appendix: (benchmark, architecture) -> (method, task) -> accuracy, names as here."""
    found: dict[tuple[str, str], dict[tuple[str, str], Accuracy]] = {}
    for row in _read("accuracy"):
        place = (row["benchmark"], architecture(row["architecture"], float(row["width"])))
        found.setdefault(place, {})[method(row["method"]), row["task"]] = _accuracy(row)
    return found


@functools.cache
def poster() -> dict[str, dict[str, Accuracy]]:
    """Averages on the authors' poster, which does not state the capacity: benchmark -> method -> accuracy."""
    found: dict[str, dict[str, Accuracy]] = {}
    for row in _read("poster"):
        found.setdefault(row["benchmark"], {})[method(row["method"])] = _accuracy(row)
    return found


@functools.cache
def costs() -> dict[str, dict[str, str]]:
    """R table 1b: method -> formulas (``forward_passes`` and so on)."""
    return {method(row.pop("method")): row for row in _read("costs")}


@functools.cache
def population() -> dict[tuple[str, int], dict[tuple[int | str, int | None, float | None], float]]:
    """R table 1a, percent: (benchmark, number of tasks) -> (N, E, Q) -> mean.

    E is None for the average over all E; instead of N stands ``uniform`` or ``rlw``, with E and Q None.
    """
    found: dict[tuple[str, int], dict[tuple[int | str, int | None, float | None], float]] = {}
    for row in _read("population"):
        size, epochs = row["population"], row["n_epochs_ready"]
        setting = (
            int(size) if size.isdigit() else size,
            int(epochs) if epochs.isdigit() else None,
            float(row["quantile"]) if row["quantile"] else None,
        )
        found.setdefault((row["benchmark"], int(row["tasks"])), {})[setting] = float(row["accuracy_mean"])
    return found


def tasks(benchmark: str, architecture: str) -> frozenset[str]:
    """The tasks of the reported tables: numbers are comparable only if the same tasks were trained together."""
    return frozenset(task for _, task in accuracies().get((benchmark, architecture), {})) - {"average"}


def architecture(reported: str, fraction: float) -> str:
    """Our name of a reported architecture, whose width is a fraction: ``vit-s4-depth6``, 0.25 is ``vit_d6_w48``."""
    for pattern, name, full in ARCHITECTURES:
        if match := re.fullmatch(pattern, reported):
            return name.format(match[1], round(full * fraction))
    raise ValueError(f"{reported} is no known architecture")


def method(reported: str) -> str:
    """Our name of a reported method: ``IMTL-L`` is ``imtl_l``."""
    return {label: name for name, label in _names.LABELS.items()}[reported]


def _accuracy(row: dict[str, str]) -> Accuracy:
    return Accuracy(float(row["accuracy_mean"]), float(row["accuracy_std"] or "nan"))


def _read(name: str) -> list[dict[str, str]]:
    with (DIRECTORY / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
