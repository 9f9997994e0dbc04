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
#: Statistic -> its least and its largest possible value; others have none.
LIMITS = {"test average, points": (-100.0, 100.0), "test less train average, points": (-200.0, 200.0)}
#: What the independent units of an estimate can be, each with its singular.
UNITS = {"seeds": "seed", "searches": "search", "conditions": "condition", "numbers of tasks": "number of tasks"}
Unit = Literal["seeds", "searches", "conditions", "numbers of tasks"]
#: Why nothing can be tested; empty if it can. ``not run``: something that the comparison needs was not run.
#: ``diverged``: a run did. ``too few``: there are too few units. ``no spread``: the units do not differ.
#: ``no deviation``: the paper reports none. ``not comparable``: both sides did not get the same.
Reason = Literal["", "not run", "diverged", "too few", "no spread", "no deviation", "not comparable"]
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
        note: Why there is no estimate or what limits it, such as ``2 of 6 runs diverged``, for people; may be empty.
        origin: Whose numbers these are.
        hypothesis: What the claim says of this estimate, if that differs from what it says of others.
        unit: What the independent units of the estimate are.
        reason: Why nothing can be tested, in one of a few words, for drawings and the page.
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
    unit: Unit = "seeds"
    reason: Reason = ""


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
    unit: Unit = "seeds",
) -> Comparison:
    """A comparison of paired differences, one per seed or other independent unit.

    Args:
        values: [units]; NaN where a run of either side diverged, which leaves the comparison without an estimate.
        benchmark: As in :class:`Comparison`, like all others.
        task_set: What is trained jointly.
        comparison: What is compared.
        statistic: What is estimated, with its unit.
        capacity: Architecture, or ``all``.
        margin: Margin of the hypothesis.
        unit: What there is one value of.
    """
    values = np.asarray(values, dtype=float)
    diverged = int(np.isnan(values).sum())
    estimate = None
    if len(values) and not diverged:
        estimate = inference.mean_of(values, LIMITS.get(statistic, UNLIMITED))
    note = f"diverged in {diverged} of {len(values)} {unit}" if diverged else note_on(estimate, unit)
    reason: Reason = "diverged" if diverged else reason_of(estimate)
    return Comparison(
        benchmark, task_set, comparison, capacity, statistic, estimate, margin, note, unit=unit, reason=reason
    )


def reason_of(estimate: Estimate | None) -> Reason:
    """Why an estimate of runs that did not diverge cannot be tested; empty if it can."""
    if estimate is None:
        return "not run"
    if estimate.is_testable:
        return ""
    return "too few" if estimate.dof <= 0 else "no spread"


def note_on(estimate: Estimate | None, unit: Unit = "seeds") -> str:
    """Why an estimate cannot be tested, or is hardly worth it; empty if it can."""
    reason = reason_of(estimate)
    if estimate is None:
        return "not run"
    if reason == "too few":
        return f"one {UNITS[unit]}: nothing can be tested"
    if reason == "no spread":
        return (
            f"no difference in any of the {unit}"
            if estimate.is_nothing
            else f"no spread over {unit}: nothing can be tested"
        )
    return f"two {unit}: the interval reaches 12.7 standard errors to each side" if estimate.dof == 1 else ""
