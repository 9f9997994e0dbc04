"""Table A: the tasks as groups of attributes that share a weight, and how often each attribute is positive."""

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
    "group": "string",
    "attribute": "string",
    "split": "string",
    "positives": "Int64",
    "images": "Int64",
    "percent": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per attribute and split.

    Returns:
        ``benchmark``, ``group``, ``attribute``, ``split``, ``positives``, ``images`` of the split, and ``percent`` of
        them that are positive; positives are null if the prepared store does not count them.

    Raises:
        ConfigError: The benchmark has no attributes.
        DataError: The prepared store is missing or damaged.
    """
    benchmark = plan.config.preset["experiments"][_runs.experiment_name(plan, artifact)]["benchmark"]
    if not plan.info(benchmark).groups:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: benchmark '{benchmark}' has no groups of attributes"
        )
    return _runs.table(_rows(plan, benchmark), TYPES)


def _rows(plan: Plan, benchmark: str) -> Iterator[dict[str, Any]]:
    file = plan.store_file(benchmark)
    try:
        store = json.loads(file.read_text(encoding="utf-8"))
        domains = list(store["domains"].values())
        columns = {attribute: number for number, attribute in enumerate(store["attributes"])}
        images = {split: sum(d["splits"][split][1] - d["splits"][split][0] for d in domains) for split in SPLITS}
        counted = all("positives_per_attribute" in d for d in domains)
    except FileNotFoundError:
        raise DataError(f"{file}: no prepared data; make it with: snakemake --cores all {file}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: damaged ({error!r}); delete it and run snakemake again") from None
    for group, attributes in plan.info(benchmark).groups.items():
        for attribute in attributes:
            for split in SPLITS:
                row = {"benchmark": benchmark, "group": group, "attribute": attribute, "split": split}
                row["images"] = images[split]
                if counted:
                    column = columns[attribute]
                    row["positives"] = sum(d["positives_per_attribute"][split][column] for d in domains)
                    row["percent"] = 100 * row["positives"] / images[split]
                yield row
