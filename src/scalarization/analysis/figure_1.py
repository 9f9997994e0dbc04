"""Main-text figure 1: peak memory of training against the number of tasks, for every method."""

from __future__ import annotations

import pandas as pd

from scalarization.analysis import _costs
from scalarization.experiments import Plan


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per method and number of tasks.

    Returns:
        ``benchmark``, ``architecture``, ``batch_size``, ``group``, ``method``, ``label``, ``tasks``,
        ``seconds_per_step``, ``time_ratio``, ``peak_bytes``, ``memory_ratio``, and ``peak_mib`` (2^20 bytes).

    Raises:
        ConfigError: The artifact names no measurement.
        DataError: Its file is missing or damaged.
    """
    found = _costs.measured(plan, artifact)
    return found.assign(peak_mib=(found["peak_bytes"] / 2**20).astype("float64"))
