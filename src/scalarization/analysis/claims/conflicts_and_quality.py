"""C5: gradient conflicts do not tell quality (appendix 3, rebuttal figure 1).

Two correlations of the percentage of conflicting pairs and the validation average over tasks. The unit of both is the
condition, an architecture in one variant (:func:`scalarization.analysis.conflicts.correlation`): its seeds are near
copies. Runs that diverged are left out, and the note counts them.

- *Over epochs*, of all epochs of all runs, after the trend over epochs is removed: the mean over runs at each epoch is
  subtracted from both. Conflicts and quality both change in every training, whatever one has to do with the other, so
  epochs as they are correlate anyway. The mean at each epoch removes whatever runs have in common, of any shape; a line
  or another curve fitted to each run would have to be the right one. What is left asks: does the run that has more
  conflicts than others at the same stage of training have another quality than they?
- *Across runs at the last epoch*: the same of the trained models alone.

"Does not tell" is equivalence: the correlation is between -0.3 and 0.3, where one quantity explains less than a tenth
of the variance of the other (0.3^2 = 9 percent).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scalarization.analysis import conflicts, runs
from scalarization.analysis.claims.base import ALL_CAPACITIES, Claim, Comparison, Reason
from scalarization.analysis.claims.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

    from scalarization.analysis.inference import Estimate

#: Margin of the correlation.
MARGIN = 0.3


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Both correlations, of each benchmark and task set of which conflicts were counted."""
    plan = evidence.plan
    counted = {cell.name: cell for cells in plan.conflicts.values() for cell in cells}
    selected = [cell for cell in counted.values() if runs.selected_seeds(plan, cell)]
    if not selected:
        return
    epochs = conflicts.epochs_of(plan, selected)
    for (benchmark, task_set), rows in epochs.groupby(["benchmark", "task_set"], sort=False):
        yield from _correlations(benchmark, task_set, rows)


def _correlations(benchmark: str, task_set: str, rows: pd.DataFrame) -> Iterator[Comparison]:
    """Both correlations of one benchmark and task set; positive where more conflicts go with better quality."""
    metric = rows["metric"].iloc[0]
    diverged = rows.groupby(conflicts.RUN)["diverged"].transform("any")
    finished = rows[~diverged].assign(validation=runs.sign(metric) * rows["validation"])
    points = finished.dropna(subset=["percent", "validation"])
    total, failed = (part.groupby(conflicts.RUN).ngroups for part in (rows, rows[diverged]))
    left_out = f"{failed} of {total} runs diverged" if failed else ""
    for name, estimate in (
        ("over epochs, mean of each epoch removed", conflicts.correlation(points, within_epochs=True)),
        ("across runs at the last epoch", conflicts.correlation(conflicts.at_last_epoch(finished))),
    ):
        reason: Reason = "diverged" if failed == total else _reason(estimate)
        yield Comparison(
            benchmark,
            task_set,
            name,
            ALL_CAPACITIES,
            f"r of conflicts and validation {metric}",
            None if math.isnan(estimate.value) else estimate,
            MARGIN,
            "; ".join(filter(None, (left_out, _note(reason, estimate)))),
            unit="conditions",
            reason=reason,
        )


def _reason(estimate: Estimate) -> Reason:
    """Why a correlation cannot be tested; empty if it can."""
    if estimate.is_testable:
        return ""
    return "too few" if estimate.units <= conflicts.MIN_CONDITIONS else "no spread"


def _note(reason: Reason, estimate: Estimate) -> str:
    """The reason as a sentence."""
    if reason == "too few":
        conditions = "1 condition" if estimate.units == 1 else f"{estimate.units} conditions"
        return f"{conditions}: too few to test a correlation"
    if reason == "no spread":
        return "conflicts, quality or their relation do not vary over conditions: nothing can be tested"
    return ""


CLAIM = Claim(
    5,
    "How often gradients of tasks conflict says nothing about how good the model is.",
    "appendix 3, rebuttal figure 1",
    "equivalent",
    compare,
    {
        "supported": f"Conflicts and quality are not correlated, or weakly: |r| < {MARGIN}.",
        "contradicted": f"Conflicts and quality are correlated somewhere: |r| > {MARGIN}.",
        "undecided": "It is open whether conflicts and quality are correlated.",
    },
)
