"""Tests of claims on simulated experiments whose truth is known: coverage, wrong verdicts, power."""

import math

import numpy as np
import pytest

from scalarization.analysis import inference
from scalarization.analysis.inference import Estimate, decide, interval, mean_of, units_needed

EXPERIMENTS = 4000
MARGIN = 0.5


@pytest.fixture
def verdicts(monkeypatch):
    """(differences [experiments, seeds, comparisons], hypothesis) -> verdicts [experiments, comparisons]."""
    monkeypatch.setattr(inference, "units_needed", lambda *_: None)  # it takes most of the time and changes no verdict

    def verdicts(differences, hypothesis):
        margin = None if hypothesis == "positive" else MARGIN
        decisions = (decide([(mean_of(c), margin, hypothesis) for c in of_one.T]) for of_one in differences)
        return np.array([[decision.verdict for decision in of_one] for of_one in decisions])

    return verdicts


def paired_differences(rng, truths, seeds, spread=1.0, experiments=EXPERIMENTS):
    """Differences of methods to one reference, paired by seed: [experiments, seeds, comparisons].

    A seed makes all methods better or worse, and the noise of the reference is in all comparisons.
    """
    of_seed = 3 * rng.standard_normal((experiments, seeds, 1))
    reference = of_seed + spread / math.sqrt(2) * rng.standard_normal((experiments, seeds, 1))
    noise = spread / math.sqrt(2) * rng.standard_normal((experiments, seeds, len(truths)))
    return truths + of_seed + noise - reference


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_cover_the_true_difference(seeds):
    differences = paired_differences(np.random.default_rng(seeds), [1.3], seeds)[:, :, 0]
    ends = np.array([interval(mean_of(of_one)) for of_one in differences])
    assert 0.94 <= np.mean((ends[:, 0] < 1.3) & (ends[:, 1] > 1.3)) <= 0.96


def wrong(verdicts, hypothesis, truths):
    """How often any comparison of an experiment has a wrong verdict. On a boundary both are wrong."""
    truths = np.array(truths)
    if hypothesis == "positive":
        is_false, is_true = truths <= 0, truths >= 0
    elif hypothesis == "not_worse":
        is_false, is_true = truths <= -MARGIN, truths > -MARGIN
    else:
        is_false, is_true = np.abs(truths) >= MARGIN, np.abs(truths) < MARGIN
    return np.mean((((verdicts == "supported") & is_false) | ((verdicts == "contradicted") & is_true)).any(axis=1))


INSIDE, FAR = MARGIN - 1e-9, 9.0
CASES = [
    *[("positive", truths) for truths in ([0], [0] * 4, [0, 0, FAR], [0, 0, -FAR])],
    *[("not_worse", truths) for truths in ([-MARGIN], [-INSIDE] * 4, [-MARGIN] * 4, [-MARGIN, -INSIDE, FAR, -FAR])],
    *[("equivalent", truths) for truths in ([MARGIN], [INSIDE], [0], [MARGIN] * 4, [INSIDE, -INSIDE, MARGIN, -MARGIN])],
    ("equivalent", [MARGIN, INSIDE, FAR, 0]),
]


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("hypothesis", "truths"), CASES)
@pytest.mark.parametrize("spread", [0.2, 5.0])
def test_at_most_five_percent_of_claims_have_a_wrong_verdict(verdicts, hypothesis, truths, spread, seeds):
    """Margins that are far above the spread, and far below."""
    experiments = 1000
    differences = paired_differences(np.random.default_rng(seeds), truths, seeds, spread, experiments)
    rate, error = wrong(verdicts(differences, hypothesis), hypothesis, truths), math.sqrt(0.05 * 0.95 / experiments)
    assert rate <= 0.05 + 3 * error


@pytest.mark.parametrize(
    ("hypothesis", "truth"), [("positive", 0.0), ("not_worse", -MARGIN), ("not_worse", -INSIDE), ("equivalent", INSIDE)]
)
def test_tests_use_their_five_percent(verdicts, hypothesis, truth):
    differences = paired_differences(np.random.default_rng(1), [truth], 5, spread=0.3)
    assert 0.04 <= wrong(verdicts(differences, hypothesis), hypothesis, [truth]) <= 0.06


@pytest.mark.parametrize(
    ("hypothesis", "truth", "expected"),
    [
        ("positive", 0.6, "supported"),
        ("positive", -0.9, "contradicted"),
        ("not_worse", 0.1, "supported"),
        ("not_worse", -1.2, "contradicted"),
        ("equivalent", 0.0, "supported"),
        ("equivalent", 0.1, "supported"),
        ("equivalent", 1.1, "contradicted"),
    ],
)
def test_seeds_needed_reach_their_power(verdicts, hypothesis, truth, expected):
    margin = None if hypothesis == "positive" else MARGIN
    needed = units_needed(Estimate(truth, 1 / math.sqrt(3), 2, 3), margin, hypothesis, 0.05)
    assert 6 <= needed <= 60
    differences = paired_differences(np.random.default_rng(needed), [truth], needed)
    assert 0.78 <= np.mean(verdicts(differences, hypothesis) == expected) <= 0.88
    # One seed fewer is not enough.
    assert np.mean(verdicts(differences[:, :-1], hypothesis) == expected) <= 0.82


@pytest.mark.parametrize("count", [1, 5])
def test_seeds_needed_reach_their_power_among_many_comparisons(verdicts, count):
    """Each comparison is decided with 80 percent probability or a little more: Holm is not stricter than Bonferroni."""
    needed = units_needed(Estimate(0.8, 1 / math.sqrt(3), 2, 3), None, "positive", 0.05 / count)
    decided = verdicts(paired_differences(np.random.default_rng(0), [0.8] * count, needed), "positive") == "supported"
    assert 0.78 <= decided[:, 0].mean() <= 0.92
