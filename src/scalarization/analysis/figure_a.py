"""Figure A: how many training samples each class has in each domain (paper A, data imbalance)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _runs
from scalarization.benchmarks import SPLITS
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Plan

TYPES = {
    "benchmark": "string",
    "domain": "string",
    "label": "Int64",
    "class": "string",
    "samples": "Int64",
    "uniform": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per domain and class.

    Returns:
        ``benchmark``, ``domain`` (in the order of the preset), ``label``, ``class``; ``samples``: images of the
        official training set, held-out ones included; ``uniform``: what every class would have in every domain if all
        images were spread evenly.

    Raises:
        ConfigError: The benchmark has no classes.
        DataError: The prepared store is missing or damaged.
    """
    benchmark = plan.config.preset["experiments"][_runs.experiment_name(plan, artifact)]["benchmark"]
    if plan.info(benchmark).setting != "mdl":
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: benchmark '{benchmark}' has no domains with classes"
        )
    return _runs.table(_rows(plan, benchmark), TYPES)


def _rows(plan: Plan, benchmark: str) -> Iterator[dict[str, Any]]:
    file = plan.store_file(benchmark)
    domains = plan.config.preset["benchmarks"][benchmark]["domains"]
    try:
        store = json.loads(file.read_text(encoding="utf-8"))
        classes = store["classes"]
        counted = {d: [store["domains"][d]["samples_per_class"][s] for s in SPLITS[:2]] for d in domains}
    except FileNotFoundError:
        raise DataError(f"{file}: no prepared data; make it with: snakemake --cores all {file}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error!r}); delete it and run snakemake again") from None
    samples = {domain: [sum(parts) for parts in zip(*splits, strict=True)] for domain, splits in counted.items()}
    uniform = sum(map(sum, samples.values())) / (len(classes) * len(domains))
    for domain in domains:
        for label, (name, count) in enumerate(zip(classes, samples[domain], strict=True)):
            row = {"benchmark": benchmark, "domain": domain, "label": label, "class": str(name), "samples": count}
            yield row | {"uniform": uniform}
