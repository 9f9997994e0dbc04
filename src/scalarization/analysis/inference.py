"""Tests of claims from few seeds: intervals, p-values, verdicts, and how many seeds would decide.

Everything rests on Student's t: an estimate has a standard error and degrees of freedom, whatever it estimates. The
unit of replication is the seed (or the run, where each run is one seed): values are first averaged within a unit.

Three hypotheses can be tested about a true value v and a margin m > 0. Each has a p-value of support and one of
contradiction; both are compared with 5 percent:

- ``positive``: v > 0. Both are the p-value of the two-sided t test of v = 0, and the sign of the estimate tells which.
- ``equivalent``: -m < v < m. Support is two one-sided t tests (TOST; Schuirmann 1987), of which the larger p-value
  counts. Contradiction is the test that |v| exceeds m: its p-value is the sum of both tails beyond the estimate if v is
  m. That is the two-sided test if m is far smaller than the standard error, and a one-sided test if it is far larger.
  One-sided tests on either side, each at 5 percent, would be wrong in 10 percent of cases if m is small.
- ``not_worse``: v > -m. One-sided t tests against -m, from above and from below.

So the 95 % interval excludes 0 exactly if ``positive`` is decided without correction; ``equivalent`` and ``not_worse``
are decided by the 90 % interval.

Holm's (1979) step-down correction is applied over all comparisons of one claim, to the p-values of support and to those
of contradiction. In either direction a claim then has a wrong verdict with a probability of at most 5 percent, however
many comparisons it has and however they depend on each other. In each comparison only one direction can be wrong, so
any wrong verdict has a probability of 5 percent as well. The exception is a claim of two comparisons whose true values
are both exactly on the boundary, one counted as inside and one as outside: 5 percent if they are independent, up to 6
if they are highly correlated. tests/analysis/test_inference_simulated.py holds these rates, and the coverage of the
intervals.

A correlation is tested as Fisher's z, on the scale of which its distribution hardly depends on its value. Its standard
error is that of the jackknife (:func:`jackknife`), which leaves out whole runs: nothing is assumed of how the epochs of
one run depend on each other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scalarization.analysis.statistics import CONFIDENCE, UNLIMITED, Limits

Hypothesis = Literal["positive", "equivalent", "not_worse"]
Verdict = Literal["supported", "contradicted", "undecided"]
ALPHA = 1 - CONFIDENCE
#: The probability with which the number of seeds that is said to be needed decides a comparison.
POWER = 0.8
#: Where more seeds than this would be needed, none are named.
MOST_SEEDS = 1000
#: Points of the Fibonacci lattice on which power is computed, and its generator: it is exact to one percent.
LATTICE = 987, 610


@dataclass(frozen=True)
class Estimate:
    """An estimate with a t distribution.

    Attributes:
        value: The estimate.
        error: Its standard error; NaN with one unit.
        dof: Degrees of freedom of the error.
        units: Number of independent units: seeds or runs.
        is_correlation: Whether ``value`` and ``error`` are Fisher's z = artanh(r) of a correlation r.
        limits: The least and the largest possible true value; the interval ends there.
    """

    value: float
    error: float
    dof: float
    units: int
    is_correlation: bool = False
    limits: Limits = UNLIMITED

    @property
    def reported_value(self) -> float:
        """The estimate as it is reported: a correlation as r."""
        return math.tanh(self.value) if self.is_correlation else self.value

    @property
    def is_nothing(self) -> bool:
        """Whether the difference is exactly 0 in every unit, of two or more: both sides are the same models."""
        return self.units > 1 and self.value == 0 and self.error == 0

    @property
    def is_testable(self) -> bool:
        """Whether anything can be tested: two units or more, which differ by more than rounding."""
        is_finite = math.isfinite(self.value) and math.isfinite(self.error)
        return self.units > 1 and self.dof > 0 and is_finite and self.error > 1e-9 * max(1.0, abs(self.value))


class Decision(NamedTuple):
    """What a test says of one comparison.

    Attributes:
        low: Lower end of the 95 % t interval; NaN if nothing can be tested, as all numbers below.
        high: Its upper end.
        p: p-value of support.
        p_adjusted: The same after Holm's correction over the comparisons of the claim.
        p_contradiction: p-value of contradiction.
        p_contradiction_adjusted: The same after Holm's correction.
        verdict: ``supported`` or ``contradicted`` if the adjusted p-value of this direction is below 5 percent.
        seeds_needed: See :func:`units_needed`, at the level of Bonferroni's correction over the comparisons of the
            claim; Holm's needs no more.
    """

    low: float
    high: float
    p: float
    p_adjusted: float
    p_contradiction: float
    p_contradiction_adjusted: float
    verdict: Verdict
    seeds_needed: int | None


def mean_of(values: ArrayLike, limits: Limits = UNLIMITED) -> Estimate:
    """The mean over units.

    Args:
        values: One value per unit, [units]; of a comparison the paired difference.
        limits: The least and the largest possible value.

    Returns:
        The estimate; its value is NaN without a unit or with a NaN among them.
    """
    values = np.asarray(values, dtype=float)
    count = len(values)
    mean = float(values.mean()) if count else math.nan
    error = float(values.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan
    return Estimate(mean, error, count - 1, count, limits=limits)


def jackknife(whole: float, without: ArrayLike, is_correlation: bool = False) -> Estimate:
    """Any statistic of independent units, with the standard error of the jackknife (Tukey 1958).

    Args:
        whole: The statistic of all units.
        without: The statistic without each of them, [units].
        is_correlation: Whether these are correlations; their error is that of Fisher's z.

    Returns:
        The estimate, with one degree of freedom less than units. Its error is NaN if the statistic is undefined or a
        perfect correlation without one of the units.
    """
    values = np.asarray(without, dtype=float)
    if is_correlation:
        with np.errstate(divide="ignore"):
            whole, values = float(np.arctanh(whole)), np.arctanh(values)
    count, error = len(values), math.nan
    if count > 1 and np.isfinite(values).all():
        error = math.sqrt((count - 1) ** 2 / count * values.var(ddof=1))
    return Estimate(whole, error, count - 1, count, is_correlation)


def interval(estimate: Estimate) -> tuple[float, float]:
    """The 95 % t interval; of a correlation that of z, transformed back. NaN if nothing can be tested."""
    if not estimate.is_testable:
        return math.nan, math.nan
    from scipy.special import stdtrit

    half = float(stdtrit(estimate.dof, 1 - ALPHA / 2)) * estimate.error
    low, high = estimate.value - half, estimate.value + half
    if estimate.is_correlation:
        return math.tanh(low), math.tanh(high)
    least, largest = estimate.limits
    return max(low, least), min(high, largest)


def decide(comparisons: Sequence[tuple[Estimate, float | None, Hypothesis]]) -> list[Decision]:
    """Test all comparisons of one claim.

    A difference of exactly 0 in every unit needs no test: it is within any margin, and it is not positive.

    Args:
        comparisons: Estimate, margin and hypothesis of each; the margin is None for ``positive``. Of a correlation the
            margin is one of r.
    """
    tested = [number for number, (estimate, _, _) in enumerate(comparisons) if estimate.is_testable]
    pairs = [_test(*comparisons[number]) for number in tested]
    supporting, contradicting = (holm([pair[side] for pair in pairs]) for side in (0, 1))
    decisions = [_untested(estimate, hypothesis) for estimate, _, hypothesis in comparisons]
    for place, number in enumerate(tested):
        estimate, margin, hypothesis = comparisons[number]
        verdict: Verdict = "undecided"
        if supporting[place] < ALPHA and (hypothesis != "positive" or estimate.value > 0):
            verdict = "supported"
        elif contradicting[place] < ALPHA and (hypothesis != "positive" or estimate.value < 0):
            verdict = "contradicted"
        needed = units_needed(estimate, margin, hypothesis, ALPHA / len(tested))
        p_values = pairs[place][0], supporting[place], pairs[place][1], contradicting[place]
        decisions[number] = Decision(*interval(estimate), *p_values, verdict, needed)
    return decisions


def _untested(estimate: Estimate, hypothesis: Hypothesis) -> Decision:
    """The decision on an estimate that cannot be tested."""
    verdict: Verdict = "supported" if estimate.is_nothing and hypothesis != "positive" else "undecided"
    nan = math.nan
    return Decision(nan, nan, nan, nan, nan, nan, verdict, None)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down procedure, in the order given."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def units_needed(estimate: Estimate, margin: float | None, hypothesis: Hypothesis, level: float) -> int | None:
    """Fewest units with which a test decides with 80 percent probability, whichever way the estimate points.

    The true value and spread are taken to be those of the estimate. Few units know neither well, so this is a rough
    number: in one of six cases two units show less than a fifth of the true spread.

    Args:
        estimate: The estimate.
        margin: Margin of the hypothesis.
        hypothesis: What is tested.
        level: Significance level of the test.

    Returns:
        Two or more; None if nothing can be tested or more than :data:`MOST_SEEDS` would be needed.
    """
    if not estimate.is_testable:
        return None
    low, high = 2, 2
    while power(estimate, margin, hypothesis, level, high) < POWER:
        if high >= MOST_SEEDS:
            return None
        low, high = high + 1, min(2 * high, MOST_SEEDS)
    while low < high:
        middle = (low + high) // 2
        if power(estimate, margin, hypothesis, level, middle) < POWER:
            low = middle + 1
        else:
            high = middle
    return high


def power(estimate: Estimate, margin: float | None, hypothesis: Hypothesis, level: float, units: int) -> float:
    """Probability that a test decides as the estimate points, if that has the true value and spread.

    The test is made of every point of a lattice over the quantiles of the estimate and of its error.

    Args:
        estimate: The estimate; the standard error falls with the square root of the number of units, and its degrees of
            freedom grow with their number less one.
        margin: Margin of the hypothesis.
        hypothesis: What is tested.
        level: Significance level of the test.
        units: Number of units.
    """
    dof = estimate.dof * (units - 1) / (estimate.units - 1)
    true_error = estimate.error * math.sqrt(estimate.units / units)
    normal, chi = _lattice(dof)
    value, error = estimate.value + true_error * normal, true_error * chi
    bound = _bound(estimate, margin)
    support, contradiction = _p_values(value, error, dof, bound, hypothesis)
    if hypothesis == "positive":
        return float(np.mean((support < level) & (value * estimate.value > 0)))
    is_true = estimate.value > -bound and (hypothesis == "not_worse" or estimate.value < bound)
    return float(np.mean((support if is_true else contradiction) < level))


@functools.lru_cache(1000)
def _lattice(dof: float) -> tuple[np.ndarray, np.ndarray]:
    """An estimate's deviations from the true value, and its errors, in units of the true error, [points] each."""
    from scipy.special import gammaincinv, ndtri

    count, generator = LATTICE
    points = np.arange(count)
    chi_square = 2 * gammaincinv(dof / 2, (points + 0.5) / count)
    return ndtri((points * generator % count + 0.5) / count), np.sqrt(chi_square / dof)


def _bound(estimate: Estimate, margin: float | None) -> float:
    """The margin on the scale of the estimate's value; 0 without one."""
    margin = margin or 0.0
    return math.atanh(margin) if estimate.is_correlation else margin


def _test(estimate: Estimate, margin: float | None, hypothesis: Hypothesis) -> tuple[float, float]:
    """p-values of support and of contradiction."""
    value, error = np.array(estimate.value), np.array(estimate.error)
    support, contradiction = _p_values(value, error, estimate.dof, _bound(estimate, margin), hypothesis)
    return float(support), float(contradiction)


def _p_values(
    value: np.ndarray, error: np.ndarray, dof: float, bound: float, hypothesis: Hypothesis
) -> tuple[np.ndarray, np.ndarray]:
    """p-values of support and of contradiction of estimates with these values and errors, in their shape."""
    from scipy.special import stdtr

    def beyond(distance: np.ndarray) -> np.ndarray:
        """Probability that t exceeds a distance; from the lower tail, where it is precise."""
        return stdtr(dof, -distance / error)

    size = np.abs(value)
    if hypothesis == "positive":
        return 2 * beyond(size), 2 * beyond(size)
    if hypothesis == "not_worse":
        return beyond(value + bound), beyond(-value - bound)
    return beyond(bound - size), np.minimum(1.0, beyond(size - bound) + beyond(size + bound))
