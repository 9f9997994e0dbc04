"""C12: time and memory of gradient-based methods grow with the number of tasks (figure 1, rebuttal table 1b).

Of every measured method: the exponent b of the time of a training step, and of its peak memory, relative to those of
uniform scalarization with the same number of tasks T, ratio ~ T^b. Uniform scalarization itself needs more with more
tasks, by what their heads take; the ratio is what a method adds. b is the least-squares slope of log ratio over log T.
Its standard error is that of the regression, with two degrees of freedom less than there are numbers of tasks: one
ratio of each is measured, so the deviation from a power law is all that is known of the error. The unit is the number
of tasks.

What is claimed depends on the kind of method. Gradient-based ones (and RotoGrad, on features) grow: b > 0. Those that
only weight losses do not: -0.1 < b < 0.1, so that from 2 to 40 tasks the ratio changes by less than 35 percent. T
backward passes next to one forward pass make (1 + 2 T) / 3 with b = 0.93 over that range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scalarization.analysis import names, result_files
from scalarization.analysis.claims.base import Claim, Comparison, Reason
from scalarization.analysis.claims.evidence import Evidence
from scalarization.analysis.inference import Estimate, Hypothesis

#: Margin of the exponent of methods that weight losses.
MARGIN = 0.1
#: Relative precision of a ratio that is taken for granted at best. Peaks of memory are exact multiples of blocks: all
#: ratios of a method may be 1, which must not look like nothing was measured.
PRECISION = 1e-3
#: Quantity -> column of its ratio to uniform scalarization.
QUANTITIES = {"time": "time_ratio", "peak memory": "memory_ratio"}


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Both exponents of every method but uniform scalarization, of each profile."""
    for profile in evidence.plan.profiles:
        rows = result_files.read_profile(evidence.plan, profile)
        methods = sorted({row["method"] for row in rows} - {"uniform"}, key=names.order)
        for method in methods:
            of_method = sorted((row for row in rows if row["method"] == method), key=lambda row: row["tasks"])
            for quantity in QUANTITIES:
                yield _comparison(method, quantity, of_method)


def exponent(tasks: Sequence[int], ratios: Sequence[float]) -> Estimate:
    """Exponent b of ratio ~ T^b.

    Args:
        tasks: Numbers of tasks, two or more different ones, [points].
        ratios: [points].

    Returns:
        The slope of log ratio over log T. With two points there is no error.
    """
    x, y = np.log(tasks), np.log(ratios)
    count, x = len(x), x - x.mean()
    square = float(x @ x)
    slope = float(x @ y) / square
    residual = y - y.mean() - slope * x
    deviation = math.sqrt(residual @ residual / (count - 2)) if count > 2 else math.nan
    return Estimate(slope, max(deviation, PRECISION) / math.sqrt(square), count - 2, count)


def _comparison(method: str, quantity: str, rows: list[dict[str, Any]]) -> Comparison:
    """One exponent from the rows of a method, in the order of T."""
    tasks = [row["tasks"] for row in rows]
    ratios = [row[QUANTITIES[quantity]] for row in rows]
    hypothesis, margin = _claimed(method)
    reason: Reason = ""
    note = ""
    if any(math.isnan(ratio) for ratio in ratios):
        reason, note = "diverged", "diverged while it was measured"
    elif len(tasks) < 3:
        reason = "too few"
        note = f"{len(tasks)} numbers of tasks: nothing can be tested" if len(tasks) > 1 else "one number of tasks"
    return Comparison(
        rows[0]["benchmark"],
        f"{tasks[0]} to {tasks[-1]} attributes",
        f"{quantity} of {names.LABELS[method]}",
        rows[0]["architecture"],
        "exponent of the number of tasks, relative to uniform",
        None if reason == "diverged" or len(tasks) < 2 else exponent(tasks, ratios),
        margin,
        note,
        hypothesis=hypothesis,
        unit="numbers of tasks",
        reason=reason,
    )


def _claimed(method: str) -> tuple[Hypothesis, float | None]:
    """What the claim says of a method's exponents, and the margin."""
    grows = names.METHODS[method].kind in ("gradient", "feature")
    return ("positive", None) if grows else ("equivalent", MARGIN)


CLAIM = Claim(
    12,
    "Time and memory of methods that work on the tasks' gradients grow with the number of tasks; those of methods that "
    "weight losses do not.",
    "main-text figure 1, rebuttal table 1b",
    "positive",
    compare,
    {
        "supported": "Gradient-based methods cost more with every task, and weighting losses does not.",
        "contradicted": "With the number of tasks, costs of a gradient-based method fall, or those of another change.",
        "undecided": "It is open how the costs of some methods change with the number of tasks.",
    },
)
