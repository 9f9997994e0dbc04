"""Cross-fitting: what a choice is worth, measured on a seed that had no part in it. Plain arrays in and out.

A candidate that is chosen on validation is not only good but also lucky, and validation and test share the luck: both
are measured on the same trained models. So the test value of the best candidate is too good. Here every seed is
measured at the candidate that the *other* seeds choose, and the mean over seeds is not biased.

The values of different seeds are not independent, though: each seed helps to choose for the others. Where the choice is
unstable, a t interval from their plain deviation covers the true value in only 79 to 94 percent of simulated
experiments (2 to 11 candidates, 3 to 10 seeds). The jackknife leaves out one seed altogether, as measured and as
choosing, and so includes what the choice adds. Its expectation is at least the true variance (Efron and Stein 1981).
With it the interval covers the true value in 95 to 98 percent, and in 95 where all seeds choose the same.

With two seeds no seed is left to choose when one is left out. There the deviation is multiplied by the factor of Nadeau
and Bengio (2003), sqrt(1 + S / (S - 1)), if they choose differently: 94 to 97 percent.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from scalarization.analysis import statistics
from scalarization.analysis.statistics import UNLIMITED, Limits

Choice = TypeVar("Choice")


class CrossFitted(NamedTuple):
    """Values at what other seeds choose.

    Attributes:
        values: [seeds, ...], each seed at the choice of all others; with one seed at its own choice.
        adjusted: [seeds, ...], with the same mean. Their deviation over seeds includes what the choice adds, so
            a t interval of them covers the true mean. They are linear: those of a sum are the sums of those of its
            parts. Equal to ``values`` where the choice does not depend on which seed is left out.
        is_cross_fitted: Whether another seed chose; False with one seed, whose values are too good.
    """

    values: np.ndarray
    adjusted: np.ndarray
    is_cross_fitted: bool

    def spread(self, limits: Limits = UNLIMITED) -> dict[str, Any]:
        """:func:`statistics.spread` of ``values`` [seeds], its interval being that of ``adjusted``."""
        adjusted = statistics.spread(self.adjusted, limits)
        return {**statistics.spread(self.values), "low": adjusted["low"], "high": adjusted["high"]}


def cross_fit(
    choose: Callable[[Sequence[int]], Choice], values_of: Callable[[Choice], np.ndarray], count: int
) -> CrossFitted:
    """Measure every seed at what the other seeds choose.

    Args:
        choose: Numbers of the seeds that choose -> what they choose.
        values_of: A choice -> its values [seeds, ...].
        count: Number of seeds, S.
    """
    seeds = tuple(range(count))
    if count < 2:
        values = values_of(choose(seeds))
        return CrossFitted(values, values, False)

    @functools.cache
    def values_chosen_by(choosing: tuple[int, ...]) -> np.ndarray:
        return values_of(choose(choosing))

    def measured(left: tuple[int, ...]) -> np.ndarray:
        """Each of some seeds at the choice of the others of them [seeds left, ...]."""
        return np.stack([values_chosen_by(_without(left, seed))[seed] for seed in left])

    values = measured(seeds)
    mean = values.mean(axis=0)
    if count == 2:
        factor = 1.0 if choose([0]) == choose([1]) else math.sqrt(1 + count / (count - 1))
        return CrossFitted(values, mean + factor * (values - mean), True)
    left_out = np.stack([measured(_without(seeds, seed)).mean(axis=0) for seed in seeds])
    adjusted = mean + (count - 1) * (left_out.mean(axis=0) - left_out)
    # Of seeds that diverged there is no mean to adjust; which ones they are must stay known.
    return CrossFitted(values, np.where(np.isnan(mean), values, adjusted), True)


def cross_fit_best(scores: np.ndarray, values: np.ndarray) -> CrossFitted:
    """Measure every seed at the candidate that the other seeds find best.

    A candidate with a diverged run is never chosen. If each has one, the candidate with the fewest is.

    Args:
        scores: By which candidates are chosen, higher is better, [candidates, seeds]; NaN of runs that diverged.
        values: What is measured, [candidates, seeds, ...].
    """
    eligible = np.where(np.isnan(scores).any(axis=1, keepdims=True), np.nan, scores)

    def choose(seeds: Sequence[int]) -> int:
        chosen = statistics.best(eligible[:, list(seeds)])
        return statistics.representative(scores) if chosen is None else chosen

    return cross_fit(choose, lambda chosen: values[chosen], scores.shape[1])


def _without(seeds: tuple[int, ...], seed: int) -> tuple[int, ...]:
    return tuple(other for other in seeds if other != seed)
