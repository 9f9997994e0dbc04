"""A table of claims with every verdict, made of invented differences of which each seed is known."""

import numpy as np

from scalarization.analysis import claims
from scalarization.analysis.claims.base import Comparison, difference
from scalarization.analysis.inference import Estimate

#: Values of five seeds around zero, with a standard deviation of 1.
SPREAD = np.array([-1.265, -0.632, 0.0, 0.632, 1.265])
MARGIN = 0.5
#: Comparison of C6 -> differences by seed; what they show is in the name.
ON_PAR = {
    "near zero, supported": 0.02 + 0.05 * SPREAD,
    "far off, contradicted": -1.0 + 0.05 * SPREAD,
    "noisy, undecided": 0.1 + 2.0 * SPREAD,
    "one seed, undecided": np.array([0.2]),
    "diverged": np.array([0.1, np.nan, 0.1]),
}
REPORTED = Comparison("celeba", "all", "of the paper", "all", "test average, points", Estimate(0.04, 0.02, 4, 3))


def summary():
    """C6 with all kinds of comparisons, in two units, and the paper's; C7 and C8 supported; nothing of the others."""
    return claims.table(comparisons)


def comparisons(claim):
    if claim.number == 6:
        for task_set, unit in (("pair", "points"), ("maps", "% of l1")):
            place = {"benchmark": "digits", "task_set": task_set, "statistic": f"test average, {unit}"}
            for name, values in ON_PAR.items():
                yield difference(values, **place, comparison=name, margin=MARGIN)
        yield Comparison(**{**vars(REPORTED), "margin": MARGIN, "origin": "paper"})
    elif claim.number in (7, 8):
        place = {
            "benchmark": "digits",
            "task_set": "pair",
            "statistic": "test average, points",
            "capacity": "vit_d1_w8",
        }
        margin = None if claim.hypothesis == "positive" else MARGIN
        yield difference(1 + 0.05 * SPREAD, **place, comparison=f"of {claim.name}", margin=margin)
