"""Tests behind tables of methods: intervals from few seeds, which lines are best, and what differs from the paper.

A column of a block has one value per line and seed. With two or three seeds a line's own deviation is hardly known: the
t quantile of one degree of freedom is 12.7. So below :data:`FEW_SEEDS` seeds the deviation is taken to be the same for
all lines of a block, and estimated from all of them. With L lines and S seeds, the values are split into means of
lines, means of seeds and a residual, as in a two-way analysis of variance, with mean squares B between seeds (S - 1
degrees of freedom) and R of the residual ((L - 1)(S - 1)):

- A difference of two lines, paired by seed, has the variance 2 R / S.
- A mean of one line also contains what a seed adds to all lines alike. It has the variance (B + (L - 1) R) / (L S), the
  mean of the lines' own variances divided by S, with Satterthwaite's degrees of freedom. Where an F test finds that
  seeds move all lines together, the lines say little more than one of them, and the degrees of freedom are S - 1.

With 8 lines that vary alike, intervals of means cover the true mean in 93 to 97.5 percent of simulated experiments,
however much of the deviation the lines share, and those of differences in 95. If one line of 8 varies three times as
much as the others, the interval of its mean covers in 70 percent and those of the others in 98, and 8 to 9 percent of
columns of equal lines have one that is called separated, instead of at most 5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scalarization.analysis import inference
from scalarization.analysis.inference import ALPHA, Estimate

#: From so many seeds on every line has its own deviation.
FEW_SEEDS = 4
#: Level of the F test of what a seed adds to all lines. At 0.05 intervals cover too little, 91 percent at worst.
SHARED_LEVEL = 0.15


class LineValues(NamedTuple):
    """Values of one line in one column.

    Attributes:
        seeds: The seeds.
        values: One value each, [seeds]; NaN where the run diverged.
    """

    seeds: tuple[int, ...]
    values: np.ndarray

    def at(self, seeds: Sequence[int]) -> np.ndarray:
        """Its values at some of its seeds."""
        return self.values[[self.seeds.index(seed) for seed in seeds]]


class Pool(NamedTuple):
    """Two-way analysis of variance of the lines of a column that have the same seeds.

    Attributes:
        lines: Number of lines L.
        seeds: Number of seeds S.
        between: Mean square between seeds, B.
        residual: Mean square of the residual, R.
    """

    lines: int
    seeds: int
    between: float
    residual: float

    @property
    def residual_dof(self) -> int:
        """Degrees of freedom of R."""
        return (self.lines - 1) * (self.seeds - 1)

    @property
    def is_shared(self) -> bool:
        """Whether seeds move all lines together."""
        from scipy.special import fdtrc

        return bool(fdtrc(self.seeds - 1, self.residual_dof, self.between / self.residual) < SHARED_LEVEL)

    def error_and_dof(self) -> tuple[float, float]:
        """Standard error of the mean of one line, and its degrees of freedom."""
        between, residual = self.between / self.lines, (self.lines - 1) * self.residual / self.lines
        dof = self.seeds - 1.0
        if not self.is_shared:
            dof = (between + residual) ** 2 / (between**2 / dof + residual**2 / self.residual_dof)
        return math.sqrt((between + residual) / self.seeds), dof


class Best(NamedTuple):
    """Which lines of a column are best.

    Attributes:
        lines: The line with the best mean and all that are not separated from it; empty if none is separated.
        p: Line -> p-value of its difference to the best one, adjusted; none of the best one itself.
    """

    lines: frozenset[int]
    p: Mapping[int, float]


class Column:
    """Values of all lines in one column of a block.

    Args:
        lines: The lines.
        sign: +1 if more is better, else -1.
    """

    def __init__(self, lines: Sequence[LineValues], sign: float) -> None:
        self._lines, self._sign = lines, sign
        self._pools = {seeds: self._pool(seeds) for seeds in {of.seeds for of in lines}}

    def mean(self, line: int) -> tuple[Estimate, int]:
        """The mean of a line over seeds, and from how many lines its error is estimated."""
        seeds, values = self._lines[line]
        pool = self._pools[seeds]
        if pool is None or np.isnan(values).any():
            return inference.mean_of(values), 1
        return Estimate(float(values.mean()), *pool.error_and_dof(), len(seeds)), pool.lines

    def gain(self, line: int, over: int) -> Estimate:
        """A line minus another, paired by seed, positive where the first is better; NaN if a run of either diverged."""
        ours, theirs, differences = self._lines[line], self._lines[over], self._differences(line, over)
        estimate, pool = inference.mean_of(differences), self._pools[ours.seeds]
        # Lines of the same runs, such as uniform weights that the grid found best, differ by nothing for certain.
        if pool is None or ours.seeds != theirs.seeds or math.isnan(estimate.value) or not differences.any():
            return estimate
        return Estimate(estimate.value, math.sqrt(2 * pool.residual / pool.seeds), pool.residual_dof, pool.seeds)

    def diverged(self, line: int, over: int) -> int:
        """At how many of their common seeds a run of either of two lines diverged."""
        return int(np.isnan(self._differences(line, over)).sum())

    def best(self, lines: Collection[int]) -> Best:
        """Which of some lines are best: paired t tests, corrected over all pairs of them (Holm).

        All pairs count because the data say which line is the best. If no lines differ, at most 5 percent of columns
        have one that is separated; corrected over the comparisons with the best alone, 7 to 10 percent would.
        """
        finished = [line for line in lines if not np.isnan(self._lines[line].values).any()]
        if len(finished) < 2:
            return Best(frozenset(), {})
        first = max(finished, key=lambda line: self._sign * self._lines[line].values.mean())
        pairs = list(itertools.combinations(finished, 2))
        adjusted = dict(zip(pairs, inference.holm([p_value(self.gain(*pair)) for pair in pairs]), strict=True))
        p = {line: adjusted[min(line, first), max(line, first)] for line in finished if line != first}
        separated = {line for line in p if p[line] < ALPHA}
        return Best(frozenset(finished) - separated if separated else frozenset(), p)

    def _differences(self, line: int, over: int) -> np.ndarray:
        """A line minus another at their common seeds, positive where the first is better."""
        ours, theirs = self._lines[line], self._lines[over]
        seeds = [seed for seed in ours.seeds if seed in theirs.seeds]
        return self._sign * (ours.at(seeds) - theirs.at(seeds))

    def _pool(self, seeds: tuple[int, ...]) -> Pool | None:
        """The lines with these seeds; None if there are enough seeds, or too few lines."""
        if not 1 < len(seeds) < FEW_SEEDS:
            return None
        finished = [of.values for of in self._lines if of.seeds == seeds and not np.isnan(of.values).any()]
        # Lines of the same runs count once.
        values = np.unique(np.array(finished).reshape(-1, len(seeds)), axis=0)
        return analyse(values) if len(values) > 1 else None


def analyse(values: np.ndarray) -> Pool | None:
    """Two-way analysis of variance.

    Args:
        values: [lines, seeds], two or more of each.

    Returns:
        The mean squares; None if there is no residual but rounding.
    """
    lines, seeds = values.shape
    of_lines, of_seeds, mean = values.mean(axis=1, keepdims=True), values.mean(axis=0), values.mean()
    between = lines * float(np.square(of_seeds - mean).sum()) / (seeds - 1)
    residual = float(np.square(values - of_lines - of_seeds + mean).sum()) / ((lines - 1) * (seeds - 1))
    if math.sqrt(residual) <= 1e-9 * max(1.0, float(abs(values).max())):
        return None
    return Pool(lines, seeds, between, residual)


def welch(mean: float, std: float, count: int, other_mean: float, other_std: float, other_count: int) -> Estimate:
    """Difference of two independent means with deviations of their own (Welch 1947).

    The degrees of freedom are Welch's, but at most twice those of the smaller sample, which is what samples of equal
    size have: with 8 and 3 seeds Welch's alone are too many far out in the tail, where a correction over hundreds of
    comparisons looks.

    Args:
        mean: Mean of one sample.
        std: Its standard deviation.
        count: Its size.
        other_mean: The same of the other sample.
        other_std: Its standard deviation.
        other_count: Its size.

    Returns:
        ``mean`` - ``other_mean``. Nothing can be tested if a sample has one value, or if both deviations are 0.
    """
    smaller = min(count, other_count)
    if smaller < 2:
        return Estimate(mean - other_mean, math.nan, 0, smaller)
    parts = std**2 / count, other_std**2 / other_count
    weighted = parts[0] ** 2 / (count - 1) + parts[1] ** 2 / (other_count - 1)
    dof = min(sum(parts) ** 2 / weighted, 2 * (smaller - 1)) if weighted > 0 else 0
    return Estimate(mean - other_mean, math.sqrt(sum(parts)), dof, smaller)


def p_value(estimate: Estimate) -> float:
    """Two-sided p-value that the true value is zero; 1 if nothing can be tested."""
    if not estimate.is_testable:
        return 1.0
    from scipy.special import stdtr

    return float(2 * stdtr(estimate.dof, -abs(estimate.value) / estimate.error))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by the step-up procedure of Benjamini and Hochberg (1995), in the order given."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number], reverse=True)
    adjusted, smallest = [math.nan] * len(p_values), 1.0
    for place, number in enumerate(order):
        smallest = min(smallest, p_values[number] * len(p_values) / (len(p_values) - place))
        adjusted[number] = smallest
    return adjusted
