"""Gradient conflicts against the validation metric (main-text figure 3, rebuttal figures 1b and 1c)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scalarization.analysis import _conflicts, _statistics
from scalarization.experiments import Plan

RESAMPLES = 2000
#: Fewer runs say nothing about how the correlation varies between runs.
FEWEST_RUNS = 3
FIT_TYPES = {
    "runs": "Int64",
    "slope": "float64",
    "intercept": "float64",
    "r": "float64",
    "r_low": "float64",
    "r_high": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per run and epoch.

    Returns:
        The columns of :data:`_conflicts.EPOCH_TYPES`, and of the benchmark and task set: ``runs``, their number;
        ``slope`` and ``intercept`` of the least-squares line of ``percent`` over ``validation`` through all points;
        ``r``, Pearson's correlation; ``r_low`` and ``r_high``, its 95 % percentile bootstrap interval. Epochs of one
        run depend on each other, so it is runs that are drawn, each with all its epochs; null with fewer than three.

    Raises:
        ConfigError: The artifact names no counting of conflicts, or ``only:`` left nothing of it.
        DataError: A file is missing, damaged or incomplete.
    """
    found = _conflicts.epochs(plan, artifact)
    parts = [part.assign(**_fit(part)) for _, part in found.groupby(["benchmark", "task_set"], sort=False)]
    return pd.concat(parts).astype(FIT_TYPES).reset_index(drop=True)


def _fit(part: pd.DataFrame) -> dict[str, Any]:
    points = part.dropna(subset=["percent", "validation"])
    if points.empty:
        return dict.fromkeys(FIT_TYPES, np.nan) | {"runs": 0}
    run = points.groupby(["architecture", "variant", "seed"]).ngroup().to_numpy()
    # Centred, so that the differences of large sums below lose nothing.
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
    if runs >= FEWEST_RUNS and np.isfinite(r):
        drawn = np.random.default_rng(0).multinomial(runs, np.full(runs, 1 / runs), RESAMPLES) @ by_run
        tail = 100 * (1 - _statistics.CONFIDENCE) / 2
        # A draw of runs that all stay at one value has no correlation.
        fit["r_low"], fit["r_high"] = np.nanpercentile(_line(drawn)[1], [tail, 100 - tail])
    return fit


def _line(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope of y over x and Pearson's r from sums [N, 6] of 1, x, y, x^2, y^2, x y; NaN where nothing varies."""
    count, x, y, xx, yy, xy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_x, spread_y, both = xx - x * x / count, yy - y * y / count, xy - x * y / count
        # What is left of a difference of equal sums is rounding, not variation.
        varies_x, varies_y = spread_x > 1e-12 * xx, spread_y > 1e-12 * yy
        slope = np.where(varies_x, both / spread_x, np.nan)
        return slope, np.where(varies_x & varies_y, both / np.sqrt(spread_x * spread_y), np.nan)
