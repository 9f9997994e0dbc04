"""Rebuttal figure 1a: gradient conflicts and training loss over epochs, by learning rate and capacity."""

from __future__ import annotations

import pandas as pd

from scalarization.analysis import _conflicts
from scalarization.experiments import Plan


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per run and epoch, with the columns of :data:`_conflicts.EPOCH_TYPES`.

    Raises:
        ConfigError: The artifact names no counting of conflicts, or ``only:`` left nothing of it.
        DataError: A file is missing, damaged or incomplete.
    """
    return _conflicts.epochs(plan, artifact)
