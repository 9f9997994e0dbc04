"""Gradient conflicts against the validation metric (main-text figure 3, rebuttal figures 1b and 1c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import conflicts, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import CONFLICTS, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 2000
#: With fewer runs the correlation has no interval: they do not show how it varies between runs.
MIN_RUNS = 3
FIT_TYPES = {
    "runs": "Int64",
    "slope": "float64",
    "intercept": "float64",
    "r": "float64",
    "r_low": "float64",
    "r_high": "float64",
}
TYPES = {**conflicts.EPOCH_TYPES, **FIT_TYPES}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per run and epoch.

    Returns:
        The columns of :data:`conflicts.EPOCH_TYPES`, and of the benchmark and task set: ``runs``, their number;
        ``slope`` and ``intercept`` of the least-squares line of ``percent`` over ``validation`` through all points;
        ``r``, Pearson's correlation of the epochs in which the run had not diverged; ``r_low`` and ``r_high``, its 95 %
        percentile bootstrap interval. Epochs of one run depend on each other, so the bootstrap draws runs, each with
        all its epochs; with fewer than three runs the interval is null.

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
    if points.empty:
        return dict.fromkeys(FIT_TYPES, np.nan) | {"runs": 0}
    run = points.groupby(["architecture", "variant", "seed"]).ngroup().to_numpy()
    # Centred, so that the differences of large sums below stay precise.
    x, y = (points[name].to_numpy() - points[name].mean() for name in ("validation", "percent"))
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    runs = len(np.unique(run))
    by_run = np.stack([np.bincount(run, column, minlength=runs) for column in sums.T], axis=1)
    slope, r = (float(v[0]) for v in _line(by_run.sum(0, keepdims=True)))
    fit = {
        "runs": runs,
        "slope": slope,
        "intercept": points["percent"].mean() - slope * points["validation"].mean(),
        "r": r,
        "r_low": np.nan,
        "r_high": np.nan,
    }
    if runs >= MIN_RUNS and np.isfinite(r):
        resampled = np.random.default_rng(0).multinomial(runs, np.full(runs, 1 / runs), RESAMPLES) @ by_run
        tail = 100 * (1 - statistics.CONFIDENCE) / 2
        # NaN is a resample in which nothing varies, so that it has no correlation.
        fit["r_low"], fit["r_high"] = np.nanpercentile(_line(resampled)[1], [tail, 100 - tail])
    return fit


def _line(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope of y over x and Pearson's r from sums [N, 6] of 1, x, y, x^2, y^2, x y; NaN where nothing varies."""
    count, x, y, xx, yy, xy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_x, spread_y, both = xx - x * x / count, yy - y * y / count, xy - x * y / count
        # A difference of equal sums is not exactly zero after rounding; that is no variation.
        varies_x, varies_y = spread_x > 1e-12 * xx, spread_y > 1e-12 * yy
        slope = np.where(varies_x, both / spread_x, np.nan)
        return slope, np.where(varies_x & varies_y, both / np.sqrt(spread_x * spread_y), np.nan)


KIND = ArtifactKind("figure_3", "figure", "conflicts", CONFLICTS, summarize, columns=TYPES)
