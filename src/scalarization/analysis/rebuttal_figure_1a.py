"""Rebuttal figure 1a: gradient conflicts and training loss over epochs, by learning rate and capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import conflicts
from scalarization.plan import Plan
from scalarization.plan.artifacts import CONFLICTS, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per run and epoch, with the columns of :data:`conflicts.EPOCH_TYPES`.

    Raises:
        ConfigError: ``only:`` selects nothing of the counted conflicts.
        DataError: A file is missing, damaged or incomplete.
    """
    return conflicts.epochs(plan, artifact)


KIND = ArtifactKind("rebuttal_figure_1a", "figure", "conflicts", CONFLICTS, summarize, columns=conflicts.EPOCH_TYPES)
