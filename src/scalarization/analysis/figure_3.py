"""Gradient conflicts against the validation metric (main-text figure 3, rebuttal figures 1b and 1c)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import conflicts, inference
from scalarization.plan import Plan
from scalarization.plan.artifacts import CONFLICTS, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

#: A correlation and the ends of its interval.
R = ("r", "r_low", "r_high")
#: Of the correlations: over all epochs of all runs, and over runs at the last epoch. ``conditions`` are their units.
FIT_TYPES = {
    "slope": "float64",
    "intercept": "float64",
    **{
        f"{prefix}{name}": kind
        for prefix in ("", "last_")
        for name, kind in {**dict.fromkeys(("runs", "conditions"), "Int64"), **dict.fromkeys(R, "float64")}.items()
    },
}
TYPES = {**conflicts.EPOCH_TYPES, **FIT_TYPES}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per run and epoch.

    Returns:
        The columns of :data:`conflicts.EPOCH_TYPES`, and of the benchmark and task set: ``slope`` and ``intercept`` of
        the least-squares line of ``percent`` over ``validation`` through all points, the epochs in which the run had
        not diverged; ``r``, Pearson's correlation of these points, of ``runs`` runs of ``conditions`` conditions;
        ``last_r``, ``last_conditions``, the same of the runs at the last epoch, of the ``last_runs`` that did not
        diverge; ``r_low``, ``r_high``, ``last_r_low``, ``last_r_high``: their 95 % intervals over conditions
        (:func:`conflicts.correlation`), null with fewer than three conditions, at the last epoch with fewer than four
        that have one seed each, or if all are alike.

    Raises:
        ConfigError: ``only:`` selects nothing of the counted conflicts.
        DataError: A file is missing, damaged or incomplete.
    """
    import pandas as pd

    epochs = conflicts.epochs(plan, artifact)
    fitted = [rows.assign(**_fit(rows)) for _, rows in epochs.groupby(["benchmark", "task_set"], sort=False)]
    return pd.concat(fitted).astype(FIT_TYPES).reset_index(drop=True)


def _fit(rows: pd.DataFrame) -> dict[str, Any]:
    points = rows.dropna(subset=["percent", "validation"])
    columns: dict[str, Any] = {"slope": math.nan, "intercept": math.nan}
    for prefix, part in (("", points), ("last_", conflicts.at_last_epoch(rows))):
        estimate = conflicts.correlation(part)
        low, high = inference.interval(estimate)
        counts = {"runs": part.groupby(conflicts.RUN).ngroups, "conditions": estimate.units}
        of_part = {**counts, **dict(zip(R, (estimate.reported_value, low, high), strict=True))}
        columns |= {f"{prefix}{name}": value for name, value in of_part.items()}
    x, y = points["validation"].to_numpy(dtype=float), points["percent"].to_numpy(dtype=float)
    if len(x) and np.ptp(x) > 1e-9 * np.abs(x).max():
        columns["slope"], columns["intercept"] = np.polyfit(x, y, 1)
    return columns


KIND = ArtifactKind("figure_3", "figure", "conflicts", CONFLICTS, summarize, columns=TYPES)
