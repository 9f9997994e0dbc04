"""Measured costs of methods, as ``training.bench`` left them."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scalarization.analysis import _names
from scalarization.errors import ConfigError, DataError
from scalarization.experiments import Plan

TYPES = {
    "benchmark": "string",
    "architecture": "string",
    "batch_size": "Int64",
    **_names.METHOD_TYPES,
    "tasks": "Int64",
    "seconds_per_step": "float64",
    "time_ratio": "float64",
    "peak_bytes": "Int64",
    "memory_ratio": "float64",
}
MEASURED = [name for name in TYPES if name not in ("group", "label")]


def measured(plan: Plan, artifact: str) -> pd.DataFrame:
    """The measurement that an artifact queries, under :data:`TYPES`, methods in the order of the tables.

    Raises:
        ConfigError: The artifact names no measurement.
        DataError: Its file is missing or damaged.
    """
    specification = plan.config.preset["artifacts"][artifact]
    if "costs" not in specification:
        raise ConfigError(f"{plan.config.preset_file}: artifacts.{artifact}: key 'costs' is missing")
    file = plan.costs_file(specification["costs"])
    try:
        found = pq.read_table(file, columns=MEASURED).to_pandas()
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; build it with: snakemake --cores all {file}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a readable table of costs ({error}); delete it and run snakemake again") from None
    named = found["method"].map(_names.describe)
    for column in ("group", "label"):
        found[column] = named.map(lambda n, column=column: n[column])
    found["order"] = found["method"].map(_names.order)
    found = found.sort_values(["benchmark", "architecture", "batch_size", "order", "tasks"], kind="stable")
    return found[list(TYPES)].astype(TYPES).reset_index(drop=True)
