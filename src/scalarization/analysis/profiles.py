"""Measured time and peak memory of methods, as :mod:`scalarization.training.profile` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import names, result_files
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


def read_profile(plan: Plan, artifact: str) -> pd.DataFrame:
    """The profile that an artifact queries, under :data:`TYPES`, methods in the order of the tables.

    Raises:
        DataError: Its file is missing or damaged, or its rows are not those of the profile.
    """
    import pandas as pd

    rows = pd.DataFrame(result_files.read_profile(plan, plan.preset.artifacts[artifact].profile or ""))
    described = rows["method"].map(names.describe)
    for column in ("group", "label"):
        rows[column] = described.map(lambda columns, column=column: columns[column])
    rows["order"] = rows["method"].map(names.order)
    rows = rows.sort_values(["benchmark", "architecture", "batch_size", "order", "tasks"], kind="stable")
    return rows[list(TYPES)].astype(TYPES).reset_index(drop=True)
