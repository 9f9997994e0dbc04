"""What a claim declares, and what it compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from scalarization.analysis import inference
from scalarization.analysis.inference import Estimate, Hypothesis, Verdict
from scalarization.analysis.statistics import UNLIMITED

if TYPE_CHECKING:
    from scalarization.analysis.claims.evidence import Evidence

#: In place of an architecture where the capacities are averaged within each seed.
ALL_CAPACITIES = "all"
#: Unit of a statistic -> the least and the largest possible value; others have none.
LIMITS = {"points": (-100.0, 100.0)}
#: Whose numbers a comparison is made of: runs of this preset, or means and deviations that the paper reports.
Origin = Literal["runs", "paper"]


@dataclass(frozen=True)
class Comparison:
    """One comparison that bears on a claim.

    Attributes:
        benchmark: The benchmark.
        task_set: What is trained jointly.
        comparison: What is compared, such as ``PBT - PCGrad``.
        capacity: Architecture, or :data:`ALL_CAPACITIES`.
        statistic: What is estimated, with its unit after the last comma, such as ``test average, points``.
        estimate: The estimate; None if nothing was run that gives one.
        margin: Margin of the hypothesis in the unit of the statistic; None for ``positive``.
        note: Why there is no estimate or what limits it, such as ``not run`` or ``2 of 6 runs diverged``; may be empty.
        origin: Whose numbers these are.
        hypothesis: What the claim says of this estimate, if that differs from what it says of others.
    """

    benchmark: str
    task_set: str
    comparison: str
    capacity: str
    statistic: str
    estimate: Estimate | None
    margin: float | None = None
    note: str = ""
    origin: Origin = "runs"
    hypothesis: Hypothesis | None = None


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or a control that it lacks, and how it is tested. A module exports one as ``CLAIM``.

    Attributes:
        number: Sorts claims and names them: 6 is C6.
        sentence: What is claimed, as one sentence.
        source: Where: ``appendix 2.1``, ``rebuttal table 1a``.
        hypothesis: What the claim says of every estimate, unless its comparison has a hypothesis of its own.
        compare: Evidence of the user's own runs -> comparisons, empty if nothing was run that bears on the claim.
        answers: Verdict -> what it means for a reader, as one sentence.
        reported: Margin in percentage points -> comparisons of the paper's own numbers; None if it reports none.
    """

    number: int
    sentence: str
    source: str
    hypothesis: Hypothesis
    compare: Callable[[Evidence], Iterable[Comparison]]
    answers: Mapping[Verdict, str]
    reported: Callable[[float], Iterable[Comparison]] | None = None

    @property
    def name(self) -> str:
        """``C6``."""
        return f"C{self.number}"


def difference(
    values: ArrayLike,
    *,
    benchmark: str,
    task_set: str,
    comparison: str,
    statistic: str,
    capacity: str = ALL_CAPACITIES,
    margin: float | None = None,
) -> Comparison:
    """A comparison of paired differences, one per seed.

    Args:
        values: [seeds]; NaN where a run of either side diverged, which leaves the comparison without an estimate.
        benchmark: As in :class:`Comparison`, like all others.
        task_set: What is trained jointly.
        comparison: What is compared.
        statistic: What is estimated, with its unit.
        capacity: Architecture, or ``all``.
        margin: Margin of the hypothesis.
    """
    values = np.asarray(values, dtype=float)
    diverged = int(np.isnan(values).sum())
    limits = LIMITS.get(statistic.rpartition(", ")[2], UNLIMITED)
    estimate = None if diverged or not len(values) else inference.mean_of(values, limits)
    note = f"diverged in {diverged} of {len(values)} seeds" if diverged else note_on(estimate)
    return Comparison(benchmark, task_set, comparison, capacity, statistic, estimate, margin, note)


def note_on(estimate: Estimate | None) -> str:
    """Why an estimate cannot be tested, or is hardly worth it; empty if it can."""
    if estimate is None:
        return "not run"
    if estimate.dof <= 0:
        return "one seed: nothing can be tested"
    if not estimate.is_testable:
        return "no spread over seeds: nothing can be tested"
    return "two seeds: the interval is 13 times as wide as the standard error" if estimate.dof == 1 else ""
