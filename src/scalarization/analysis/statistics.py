"""Mean and uncertainty over seeds, and the choice of the best weights. Plain arrays in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

#: Candidates whose scores differ by less than this tie: it is more than rounding. Of tied ones the first one wins.
TIE = 1e-9
CONFIDENCE = 0.95


def spread(values: ArrayLike) -> dict[str, Any]:
    """Mean and uncertainty over seeds.

    Args:
        values: One value per seed, [seeds]; empty for a cell that was not run.

    Returns:
        ``mean``; ``std``, the standard deviation (ddof 1); ``low`` and ``high``, the 95 % t interval of the mean;
        ``seeds``, their number; ``by_seed``, the values. ``mean`` is NaN without a seed; ``std``, ``low`` and ``high``
        are NaN with fewer than two.
    """
    values = np.asarray(values, dtype=float)
    count = len(values)
    mean = values.mean() if count else np.nan
    std = half = np.nan
    if count > 1:
        from scipy.special import stdtrit  # importing scipy.stats instead would take two seconds

        std = values.std(ddof=1)
        half = stdtrit(count - 1, (1 + CONFIDENCE) / 2) * std / np.sqrt(count)
    return {
        "mean": mean,
        "std": std,
        "low": mean - half,
        "high": mean + half,
        "seeds": count,
        "by_seed": values.tolist(),
    }


def within_ci(spread: dict[str, Any], value: float) -> bool | None:
    """Whether a value is within the t interval of a result of :func:`spread`; None with fewer than two seeds."""
    return bool(spread["low"] <= value <= spread["high"]) if spread["seeds"] > 1 else None


def mean_and_std(name: str, values: ArrayLike) -> dict[str, float]:
    """Mean and standard deviation over seeds as ``<name>_mean`` and ``<name>_std``."""
    result = spread(values)
    return {f"{name}_mean": result["mean"], f"{name}_std": result["std"]}


def best(scores: np.ndarray) -> int:
    """The candidate with the highest mean score; of tied ones the first. A diverged run (NaN) cannot win.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Its row number.
    """
    means = np.nan_to_num(scores, nan=-np.inf).mean(axis=1)
    return int(np.flatnonzero(means >= means.max() - TIE)[0])


def gaps(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much each candidate is worse than the best one, paired by seed.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Mean over seeds of (best candidate - candidate), [candidates], not negative beyond rounding; and its standard
        error, [candidates], NaN with one seed.
    """
    differences = scores[best(scores)] - scores
    count = scores.shape[1]
    error = differences.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(scores), np.nan)
    return differences.mean(axis=1), error


def within_error(scores: np.ndarray) -> np.ndarray:
    """Which candidates are within one paired standard error of the best one.

    With one seed there is no standard error; then only the best one and its ties count.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Boolean array [candidates]; the best one is always among them.
    """
    mean, error = gaps(scores)
    return mean <= np.nan_to_num(error, nan=0.0) + TIE
