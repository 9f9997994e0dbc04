"""Spread over seeds, and the choice of the best weights. Plain arrays in and out."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Candidates whose scores differ by less than rounding tie; the first one wins.
TIE = 1e-9
CONFIDENCE = 0.95


def spread(values: np.ndarray) -> dict[str, Any]:
    """Mean and uncertainty over seeds.

    Args:
        values: One value per seed, [seeds]; may be empty (a cell that was not run).

    Returns:
        ``mean``; ``std``, the standard deviation (ddof 1); ``low`` and ``high``, the 95 % t interval of the mean;
        ``seeds``, their number; ``by_seed``, the values. What needs two seeds is NaN with fewer.
    """
    values = np.asarray(values, dtype=float)
    count = len(values)
    mean = values.mean() if count else np.nan
    std = half = np.nan
    if count > 1:
        from scipy.special import stdtrit  # scipy.stats would cost two seconds of start-up

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


def inside(found: dict[str, Any], value: float) -> bool | None:
    """Whether a value is within the t interval of what :func:`spread` found; None with fewer than two seeds."""
    return bool(found["low"] <= value <= found["high"]) if found["seeds"] > 1 else None


def named(name: str, values: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation over seeds as ``<name>_mean`` and ``<name>_std``."""
    found = spread(values)
    return {f"{name}_mean": found["mean"], f"{name}_std": found["std"]}


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
    """How far each candidate is behind the best one, paired by seed.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Mean over seeds of (best candidate - candidate), [candidates], not negative beyond rounding; and its standard
        error, [candidates], NaN with one seed.
    """
    behind = scores[best(scores)] - scores
    count = scores.shape[1]
    error = behind.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(scores), np.nan)
    return behind.mean(axis=1), error


def within_error(scores: np.ndarray) -> np.ndarray:
    """Which candidates are within one paired standard error of the best.

    With one seed there is no standard error, and only the best and what ties with it remain.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Boolean array [candidates]; the best is always among them.
    """
    mean, error = gaps(scores)
    return mean <= np.nan_to_num(error, nan=0.0) + TIE
