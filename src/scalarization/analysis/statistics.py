"""Mean and uncertainty over seeds, and the choice of the best weights. Plain arrays in and out.

The value of a run that diverged is NaN. A mean over seeds that includes one is NaN as well, never the mean of the rest,
and nothing that has such a run is ever the best.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

#: Candidates whose scores differ by less than this tie: it is more than rounding. Of tied ones the first one wins.
TIE = 1e-9
CONFIDENCE = 0.95
#: The least and the largest possible value of something.
Limits = tuple[float, float]
UNLIMITED: Limits = (-math.inf, math.inf)


def spread(values: ArrayLike, limits: Limits = UNLIMITED) -> dict[str, Any]:
    """Mean and uncertainty over seeds.

    Args:
        values: One value per seed, [seeds]; empty for a cell that was not run.
        limits: The least and the largest value that a mean can have, as of
            :func:`scalarization.analysis.result_files.limits`.

    Returns:
        ``mean``; ``std``, the standard deviation (ddof 1); ``low`` and ``high``, the 95 % t interval of the mean, which
        ends at the limits; ``seeds``, their number; ``diverged``, how many of them diverged; ``by_seed``, the values.
        ``mean`` is NaN without a seed; ``std``, ``low`` and ``high`` are NaN with fewer than two; all are NaN if a seed
        diverged.
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
        "low": np.maximum(mean - half, limits[0]),
        "high": np.minimum(mean + half, limits[1]),
        "seeds": count,
        "diverged": int(np.isnan(values).sum()),
        "by_seed": values.tolist(),
    }


def within_ci(spread: dict[str, Any], value: float) -> bool | None:
    """Whether a value is within the t interval of a result of :func:`spread`; None if it has no interval."""
    return None if np.isnan(spread["low"]) else bool(spread["low"] <= value <= spread["high"])


def mean_and_std(name: str, values: ArrayLike) -> dict[str, float]:
    """Mean and standard deviation over seeds as ``<name>_mean`` and ``<name>_std``."""
    result = spread(values)
    return {f"{name}_mean": result["mean"], f"{name}_std": result["std"]}


def best(scores: np.ndarray) -> int | None:
    """The candidate with the highest mean score; of tied ones the first. One with a diverged run (NaN) cannot win.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Its row number; None if every candidate has a diverged run.
    """
    finished = np.flatnonzero(~np.isnan(scores).any(axis=1))
    if not len(finished):
        return None
    means = scores[finished].mean(axis=1)
    return int(finished[means >= means.max() - TIE][0])


def representative(scores: np.ndarray) -> int:
    """The best candidate or, if every candidate has a diverged run, the first one with the fewest of them.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Its row number.
    """
    number = best(scores)
    return int(np.isnan(scores).sum(axis=1).argmin()) if number is None else number


def settings_columns(scores: np.ndarray) -> dict[str, int]:
    """How many candidates there were to choose from, and how many of them have a diverged run.

    Args:
        scores: [candidates, seeds].
    """
    return {"settings": len(scores), "settings_diverged": int(np.isnan(scores).any(axis=1).sum())}


def gaps(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much each candidate is worse than the best one, paired by seed.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Mean over seeds of (best candidate - candidate), [candidates], not negative beyond rounding; and its standard
        error, [candidates], NaN with one seed. Both are NaN for a candidate with a diverged run, and for all
        candidates if each has one.
    """
    number, count = best(scores), scores.shape[1]
    differences = np.full_like(scores, np.nan) if number is None else scores[number] - scores
    error = differences.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(scores), np.nan)
    return differences.mean(axis=1), error


def within_error(scores: np.ndarray) -> np.ndarray:
    """Which candidates are within one paired standard error of the best one.

    With one seed there is no standard error; then only the best one and its ties count.

    Args:
        scores: [candidates, seeds], higher is better.

    Returns:
        Boolean array [candidates]. The best one is among them, none with a diverged run is.
    """
    mean, error = gaps(scores)
    return mean <= np.nan_to_num(error, nan=0.0) + TIE
