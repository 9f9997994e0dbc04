"""Numbers that the paper reports, under the names of this code. ``reported/*.csv`` holds them as published."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path
from typing import NamedTuple

from scalarization import methods

DIRECTORY = Path(__file__).resolve().parent / "reported"
#: Architecture as reported -> our name, and what width 1.0 is: embedding of ViT-S/4, bottleneck of ResNet.
ARCHITECTURES = ((r"vit-s4-depth(\d+)", "vit_d{}_w{}", 192), (r"resnet(\d+)", "resnet{}_w{}", 64))

#: Benchmark -> seeds behind its numbers in tables B, C and D (appendix 2.1), and those behind rebuttal table 1a.
SEEDS = {"domainnet": 2, "celeba": 3}
POPULATION_SEEDS = 2


class Accuracy(NamedTuple):
    """Percent. ``std`` is NaN if none is reported; of an average it is sqrt(sum of the tasks' variances) / T."""

    mean: float
    std: float


@functools.cache
def accuracies() -> dict[tuple[str, str], dict[tuple[str, str], Accuracy]]:
    """Tables B, C, D of the appendix: (benchmark, architecture) -> (method, task) -> accuracy, under our names."""
    tables: dict[tuple[str, str], dict[tuple[str, str], Accuracy]] = {}
    for row in _read("accuracy"):
        key = (row["benchmark"], architecture(row["architecture"], float(row["width"])))
        tables.setdefault(key, {})[method(row["method"]), row["task"]] = _accuracy(row)
    return tables


@functools.cache
def poster() -> dict[str, dict[str, Accuracy]]:
    """Averages on the authors' poster, which does not state the capacity: benchmark -> method -> accuracy."""
    averages: dict[str, dict[str, Accuracy]] = {}
    for row in _read("poster"):
        averages.setdefault(row["benchmark"], {})[method(row["method"])] = _accuracy(row)
    return averages


@functools.cache
def costs() -> dict[str, dict[str, str]]:
    """Rebuttal table 1b: method -> formulas (``forward_passes`` and so on)."""
    return {method(row.pop("method")): row for row in _read("costs")}


@functools.cache
def population() -> dict[tuple[str, int], dict[tuple[int | str, int | None, float | None], float]]:
    """Rebuttal table 1a, percent: (benchmark, number of tasks) -> (N, E, Q) -> mean.

    E is None for the average over all E. Methods without a search have ``uniform`` or ``rlw`` in place of N, and None
    for E and Q.
    """
    tables: dict[tuple[str, int], dict[tuple[int | str, int | None, float | None], float]] = {}
    for row in _read("population"):
        size, epochs = row["population"], row["n_epochs_ready"]
        setting = (
            int(size) if size.isdigit() else size,
            int(epochs) if epochs.isdigit() else None,
            float(row["quantile"]) if row["quantile"] else None,
        )
        tables.setdefault((row["benchmark"], int(row["tasks"])), {})[setting] = float(row["accuracy_mean"])
    return tables


def tasks(benchmark: str, architecture: str) -> frozenset[str]:
    """The tasks of the reported tables: numbers are comparable only if the same tasks were trained together."""
    return frozenset(task for _, task in accuracies().get((benchmark, architecture), {})) - {"average"}


def architecture(reported: str, fraction: float) -> str:
    """Our name of a reported architecture, whose width is a fraction: ``vit-s4-depth6``, 0.25 is ``vit_d6_w48``.

    Raises:
        ValueError: It is not known.
    """
    for pattern, name, full in ARCHITECTURES:
        if match := re.fullmatch(pattern, reported):
            return name.format(match[1], round(full * fraction))
    raise ValueError(f"architecture '{reported}' is unknown")


def method(reported: str) -> str:
    """Our name of a reported method: ``IMTL-L`` is ``imtl_l``."""
    return _methods_by_label()[reported]


@functools.cache
def _methods_by_label() -> dict[str, str]:
    return {method.label: method.name for method in methods.all_methods()}


def _accuracy(row: dict[str, str]) -> Accuracy:
    return Accuracy(float(row["accuracy_mean"]), float(row["accuracy_std"] or "nan"))


def _read(name: str) -> list[dict[str, str]]:
    with (DIRECTORY / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
