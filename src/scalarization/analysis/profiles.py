"""Measured time and peak memory of methods, as :mod:`scalarization.training.profile` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import names
from scalarization.errors import DataError
from scalarization.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "benchmark": "string",
    "architecture": "string",
    "batch_size": "Int64",
    **names.METHOD_TYPES,
    "tasks": "Int64",
    "seconds_per_step": "float64",
    "time_ratio": "float64",
    "peak_bytes": "Int64",
    "memory_ratio": "float64",
}
MEASURED = [name for name in TYPES if name not in ("group", "label")]


def read_profile(plan: Plan, artifact: str) -> pd.DataFrame:
    """The profile that an artifact queries, under :data:`TYPES`, methods in the order of the tables.

    Raises:
        DataError: Its file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = plan.paths.profile_file(plan.preset.artifacts[artifact].profile or "")
    try:
        rows = pq.read_table(file, columns=MEASURED).to_pandas()
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; build it with: snakemake --cores all {file}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a readable profile ({error}); delete it and run snakemake again") from None
    described = rows["method"].map(names.describe)
    for column in ("group", "label"):
        rows[column] = described.map(lambda columns, column=column: columns[column])
    rows["order"] = rows["method"].map(names.order)
    rows = rows.sort_values(["benchmark", "architecture", "batch_size", "order", "tasks"], kind="stable")
    return rows[list(TYPES)].astype(TYPES).reset_index(drop=True)
