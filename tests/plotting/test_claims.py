"""How claims are put into words: units that are no seeds, and reasons for which nothing could be tested."""

import numpy as np
import pytest
import synthetic_claims

from scalarization.analysis import claims as analysis
from scalarization.analysis.claims.base import UNITS, Comparison, difference
from scalarization.plotting import claims

PLACE = {"benchmark": "digits", "statistic": "test average, points", "margin": synthetic_claims.MARGIN}
NOISY = 0.1 + 2.0 * synthetic_claims.SPREAD


def claim_of(*comparisons, number=6):
    """The claim that has these comparisons, and all claims."""
    table = analysis.table(lambda claim: comparisons if claim.number == number else ())
    every = claims.tested_claims(claims.rows_of(table))
    return next(claim for claim in every if claim.claim == f"C{number}"), every


def noisy(unit, values=NOISY, task_set="contest"):
    """A comparison that is undecided; the name of its task set has the word test in it."""
    return difference(values, task_set=task_set, comparison=f"of {unit}", unit=unit, **PLACE)


@pytest.mark.parametrize("unit", UNITS)
def test_needed_units_are_named(unit):
    claim, _ = claim_of(noisy(unit))
    (row,) = claim.rows
    assert claim.needed == f"Those undecided would need {int(row['seeds_needed'])} {unit} each."
    named = "" if unit == "seeds" else f" {unit}"
    assert claims.units_text(row) == f"5{named}"
    assert claims.seeds_needed_text(row) == f"{int(row['seeds_needed'])}{named}"
    assert claim.units == [unit]


def test_needed_numbers_of_different_units_are_apart():
    claim, _ = claim_of(noisy("seeds"), noisy("seeds", 0.5 * NOISY), noisy("searches"))
    few, many = sorted(int(row["seeds_needed"]) for row in claim.rows if row["unit"] == "seeds")
    (searches,) = (int(row["seeds_needed"]) for row in claim.rows if row["unit"] == "searches")
    assert claim.needed == f"Those undecided would need {few} to {many} seeds or {searches} searches each."


@pytest.mark.parametrize("unit", UNITS)
def test_notes_name_the_unit(unit):
    assert noisy(unit, [0.2]).note == f"one {UNITS[unit]}: nothing can be tested"
    assert noisy(unit, [0.2, 0.4]).note == f"two {unit}: the interval reaches 12.7 standard errors to each side"
    assert noisy(unit, [0.2, 0.2, 0.2]).note == f"no spread over {unit}: nothing can be tested"
    assert noisy(unit, [0.0, 0.0]).note == f"no difference in any of the {unit}"
    assert noisy(unit, [0.2, np.nan]).note == f"diverged in 1 of 2 {unit}"
    assert noisy(unit, []).note == "not run" and noisy(unit).note == ""


@pytest.mark.parametrize(
    ("values", "reason"),
    [(NOISY, ""), ([0.1, 0.3], ""), ([0.1], "too few"), ([0.1] * 3, "no spread"), ([0.1, np.nan], "diverged")],
)
def test_reasons_are_typed(values, reason):
    assert noisy("seeds", values).reason == reason


def test_reasons_do_not_come_from_names():
    """A task set or a note in which the word test occurs is no reason."""
    named = Comparison(**{**vars(noisy("searches", [0.2])), "note": "one search; of the contest; tested elsewhere"})
    claim, _ = claim_of(named, noisy("seeds", [0.1] * 3))
    assert claim.untested == "2 cannot be tested (too few searches, no spread)."


def test_no_difference_at_all_is_not_untested():
    claim, _ = claim_of(noisy("seeds", [0.0, 0.0]))
    assert claim.verdict == "supported" and claim.untested == claim.needed == ""


def test_a_claim_without_an_estimate_says_why_and_counts_apart():
    claim, every = claim_of(noisy("seeds", [0.1, np.nan]), noisy("seeds", [np.nan] * 2, "pair"))
    assert (claim.verdict, claim.answer) == (claims.NO_ESTIMATE, "") and claims.NO_ESTIMATE == analysis.NO_ESTIMATE
    assert claim.counts == "2 comparisons without an estimate"
    assert claim.without_estimate == "diverged in 1 of 2 seeds; diverged in 2 of 2 seeds"
    assert claims.count_verdicts(every) == f"1 claim without estimate, {len(every) - 1} not run"
