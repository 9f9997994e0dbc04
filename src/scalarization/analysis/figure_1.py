"""Main-text figure 1: peak memory of training against the number of tasks, for every method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import profiles
from scalarization.plan import Plan
from scalarization.plan.artifacts import PROFILE, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd


TYPES = {**profiles.TYPES, "peak_mib": "float64"}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per method and number of tasks.

    Returns:
        ``benchmark``, ``architecture``, ``batch_size``, ``group``, ``method``, ``label``, ``tasks``,
        ``seconds_per_step``, ``time_ratio``, ``peak_bytes``, ``memory_ratio``, and ``peak_mib`` (2^20 bytes).

    Raises:
        DataError: The profile's file is missing or damaged.
    """
    rows = profiles.read_profile(plan, artifact)
    return rows.assign(peak_mib=(rows["peak_bytes"] / 2**20).astype("float64"))


KIND = ArtifactKind("figure_1", "figure", "profile", PROFILE, summarize, columns=TYPES)
