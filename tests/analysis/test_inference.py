"""Tests of claims against SciPy, against numerical integration, and against what defines a correction."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from scalarization.analysis import inference
from scalarization.analysis.inference import Estimate, decide, holm, interval, jackknife, mean_of, power, units_needed

MARGIN = 0.7
SAMPLES = [np.random.default_rng(n).normal(shift, 1, n) for n in (2, 3, 5, 12) for shift in (-1.5, -0.7, 0.0, 0.3, 2.0)]


def decision(values, hypothesis, margin=MARGIN):
    return decide([(mean_of(values), None if hypothesis == "positive" else margin, hypothesis)])[0]


# --- Estimates and intervals ---


@pytest.mark.parametrize("values", SAMPLES)
def test_mean_has_the_interval_of_a_t_test(values):
    estimate = mean_of(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(estimate) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (estimate.value, estimate.error) == pytest.approx((values.mean(), stats.sem(values)))
    assert (estimate.dof, estimate.units) == (len(values) - 1, len(values))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [2.0, 2.0, 2.0], [0.1 + 0.2, 0.3]])
def test_nothing_can_be_tested_without_two_seeds_that_differ(values):
    assert not mean_of(values).is_testable
    assert np.isnan(interval(mean_of(values))).all()
    assert decision(values, "equivalent")[6:] == ("undecided", None)
    assert units_needed(mean_of(values), MARGIN, "equivalent", 0.05) is None


def test_interval_ends_at_the_limits():
    values, limits = np.array([91.7, 99.5]), (-100.0, 100.0)
    low, high = interval(mean_of(values))
    assert low < 95.6 < 100 < high
    assert interval(mean_of(values, limits)) == (low, 100.0)
    assert interval(mean_of(-values, limits)) == (-100.0, -low)


@pytest.mark.parametrize("values", SAMPLES)
def test_jackknife_of_a_mean_is_the_mean(values):
    without = [np.delete(values, number).mean() for number in range(len(values))]
    ours, expected = jackknife(values.mean(), without), mean_of(values)
    assert (ours.value, ours.error) == pytest.approx((expected.value, expected.error))
    assert (ours.dof, ours.units, ours.is_correlation) == (expected.dof, expected.units, False)


def test_jackknife_of_a_correlation_is_on_fishers_scale():
    x, y = np.random.default_rng(3).normal(size=(2, 9))
    y = y + x
    z = [math.atanh(np.corrcoef(np.delete(x, n), np.delete(y, n))[0, 1]) for n in range(9)]
    whole = math.atanh(np.corrcoef(x, y)[0, 1])
    pseudo = 9 * whole - 8 * np.array(z)
    estimate = jackknife(math.tanh(whole), np.tanh(z), is_correlation=True)
    assert (estimate.value, estimate.error) == pytest.approx((whole, stats.sem(pseudo)))
    half = stats.t.ppf(0.975, 8) * stats.sem(pseudo)
    assert interval(estimate) == pytest.approx((math.tanh(whole - half), math.tanh(whole + half)))
    assert estimate.reported_value == pytest.approx(np.corrcoef(x, y)[0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("without", [[0.1, 1.0, 0.3], [0.1, math.nan, 0.3], []])
def test_jackknife_of_an_undefined_correlation_has_no_error(without):
    estimate = jackknife(0.5, without, is_correlation=True)
    assert math.isnan(estimate.error) and not estimate.is_testable


# --- p-values and verdicts of one comparison ---


@pytest.mark.parametrize("values", SAMPLES)
def test_positive_is_a_two_sided_t_test(values):
    ours, p = decision(values, "positive"), stats.ttest_1samp(values, 0).pvalue
    assert ours.p == ours.p_adjusted == pytest.approx(p, abs=1e-12)
    verdict = "undecided" if p >= 0.05 else "supported" if values.mean() > 0 else "contradicted"
    assert ours.verdict == verdict
    # The interval excludes 0 exactly if the test decides.
    assert (not ours.low < 0 < ours.high) == (verdict != "undecided")


@pytest.mark.parametrize(
    ("hypothesis", "verdict"), [("equivalent", "supported"), ("not_worse", "supported"), ("positive", "undecided")]
)
def test_models_that_are_the_same_need_no_test(hypothesis, verdict):
    same = mean_of([0.0, 0.0])
    first, other = decide([(same, MARGIN, hypothesis), (mean_of([1.0, 2.0, 1.5]), MARGIN, hypothesis)])
    assert first.verdict == verdict and math.isnan(first.p) and first.seeds_needed is None
    # It takes no part in the correction.
    assert other == decide([(mean_of([1.0, 2.0, 1.5]), MARGIN, hypothesis)])[0]
    assert decide([(mean_of([0.0]), MARGIN, hypothesis)])[0].verdict == "undecided"


@pytest.mark.parametrize("values", SAMPLES)
def test_a_verdict_has_the_p_value_of_its_direction(values):
    for hypothesis in ("equivalent", "not_worse"):
        ours = decision(values, hypothesis)
        assert (ours.verdict == "supported") == (ours.p_adjusted < 0.05)
        assert (ours.verdict == "contradicted") == (ours.p_contradiction_adjusted < 0.05)


@pytest.mark.parametrize("values", SAMPLES)
def test_not_worse_is_a_one_sided_t_test_on_either_side(values):
    ours = decision(values, "not_worse")
    better, worse = (stats.ttest_1samp(values, -MARGIN, alternative=side).pvalue for side in ("greater", "less"))
    assert (ours.p, ours.p_contradiction) == pytest.approx((better, worse), abs=1e-12)
    assert ours.verdict == ("supported" if better < 0.05 else "contradicted" if worse < 0.05 else "undecided")


@pytest.mark.parametrize("values", SAMPLES)
def test_equivalent_is_two_one_sided_tests_and_a_test_of_a_larger_size(values):
    ours = decision(values, "equivalent")
    above = stats.ttest_1samp(values, -MARGIN, alternative="greater").pvalue
    below = stats.ttest_1samp(values, MARGIN, alternative="less").pvalue
    assert ours.p == pytest.approx(max(above, below), abs=1e-12)
    size, error = abs(values.mean()), stats.sem(values)
    larger = sum(stats.t.sf((size - bound) / error, len(values) - 1) for bound in (MARGIN, -MARGIN))
    verdict = "supported" if max(above, below) < 0.05 else "contradicted" if larger < 0.05 else "undecided"
    assert ours.verdict == verdict


def test_a_margin_far_below_the_error_leaves_the_two_sided_test():
    """With one-sided tests on either side, equal methods would be told apart in 10 percent of experiments."""
    values = np.array([0.1, 1.0, 1.9, 1.2, 0.3])
    p = stats.ttest_1samp(values, 0).pvalue
    for factor, verdict in ((0.99, "contradicted"), (1.01, "undecided")):
        # The mean is moved so that the two-sided p-value is just below or just above 5 percent.
        critical = stats.t.ppf(1 - 0.05 * factor / 2, 4) * stats.sem(values)
        assert decision(values - values.mean() + critical, "equivalent", margin=1e-9).verdict == verdict
    assert p < 0.05


def test_margin_of_a_correlation_is_one_of_r():
    inside = Estimate(math.atanh(0.2), 0.01, 9, 10, is_correlation=True)
    outside = Estimate(math.atanh(0.35), 0.01, 9, 10, is_correlation=True)
    close = Estimate(math.atanh(0.298), 0.01, 9, 10, is_correlation=True)
    verdicts = [d.verdict for d in decide([(e, 0.3, "equivalent") for e in (inside, outside, close)])]
    assert verdicts == ["supported", "contradicted", "undecided"]
    p = stats.t.cdf((math.atanh(0.298) - math.atanh(0.3)) / 0.01, 9)
    assert decide([(close, 0.3, "equivalent")])[0].p == pytest.approx(p)


def test_p_values_are_precise_in_the_tails():
    estimate = Estimate(1.0, 0.01, 20, 21)
    assert decide([(estimate, None, "positive")])[0].p == pytest.approx(2 * stats.t.sf(100, 20), rel=1e-9)


# --- Several comparisons ---


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_closed_testing_with_bonferroni(p_values):
    """An adjusted p-value is the largest Bonferroni p-value of all sets of hypotheses that include it."""
    numbers = range(len(p_values))
    sets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(numbers, size)]
    expected = [
        max(min(1.0, len(s) * min(p_values[member] for member in s)) for s in sets if number in s) for number in numbers
    ]
    assert holm(p_values) == pytest.approx(expected)


def test_comparisons_of_one_claim_are_corrected_together_whatever_they_are_tested_for():
    gain = mean_of([1.0, 1.3, 0.9])  # p = 0.012 for positive
    on_par = Estimate(0.0, 0.1, 5, 6)
    alone = mean_of([2.0])
    first, nothing, second = decide([(gain, None, "positive"), (alone, 0.5, "not_worse"), (on_par, 0.3, "equivalent")])
    p = [stats.ttest_1samp([1.0, 1.3, 0.9], 0).pvalue, stats.t.cdf(-3, 5)]
    assert [first.p, second.p] == pytest.approx(p)
    # Two can be tested; the one seed between them counts for nothing.
    assert [first.p_adjusted, second.p_adjusted] == pytest.approx([max(2 * min(p), p[0]), max(2 * min(p), p[1])])
    assert (first.verdict, nothing.verdict, second.verdict) == ("supported", "undecided", "supported")
    assert np.isnan(nothing[:4]).all() and nothing.seeds_needed is None
    assert decide([(gain, None, "positive")] * 5)[0].verdict == "undecided"


def test_nothing_to_decide():
    assert decide([]) == []


# --- Power and seeds needed ---


@pytest.mark.parametrize("effect", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("units", [3, 5, 20])
def test_power_of_positive_is_that_of_the_t_test(effect, units):
    estimate = Estimate(-effect, 1 / math.sqrt(5), 4, 5)
    expected = stats.nct.sf(stats.t.ppf(0.975, units - 1), units - 1, effect * math.sqrt(units))
    assert power(estimate, None, "positive", 0.05, units) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("truth", [-1.9, -1.0, 0.0, 0.6])
@pytest.mark.parametrize("units", [3, 6, 15])
def test_power_of_the_others_is_an_integral_over_the_deviation(truth, units):
    """Given the deviation seen, the mean is normal and the tests are thresholds for it."""
    dof, critical, margin = units - 1, stats.t.ppf(0.95, units - 1), 1.2
    error = 1 / math.sqrt(units)

    def expected(decides):
        chi = stats.chi(dof)
        return integrate.quad(lambda c: chi.pdf(c) * decides(critical * error * c / math.sqrt(dof)), 0, 12)[0]

    def above(threshold):
        return stats.norm.sf((threshold - truth) / error)

    estimate = Estimate(truth, 1 / math.sqrt(5), 4, 5)
    not_worse = expected(lambda reach: above(reach - margin) if truth > -margin else 1 - above(-margin - reach))
    assert power(estimate, margin, "not_worse", 0.05, units) == pytest.approx(not_worse, abs=0.01)
    if abs(truth) < margin:
        equivalent = expected(lambda reach: max(0, above(reach - margin) - above(margin - reach)))
        assert power(estimate, margin, "equivalent", 0.05, units) == pytest.approx(equivalent, abs=0.01)


@pytest.mark.parametrize("hypothesis", ["positive", "equivalent", "not_worse"])
@given(value=st.floats(-3, 3), error=st.floats(0.01, 3), units=st.integers(2, 12))
def test_seeds_needed_are_the_fewest(hypothesis, value, error, units):
    estimate = Estimate(value, error, units - 1, units)
    needed = units_needed(estimate, 1.0, hypothesis, 0.05)
    most = inference.MOST_SEEDS if needed is None else needed
    assert (power(estimate, 1.0, hypothesis, 0.05, most) >= 0.8) == (needed is not None)
    if needed is None or needed > 2:
        assert power(estimate, 1.0, hypothesis, 0.05, most - 1) < 0.8


def test_seeds_needed_take_the_correction_into_account():
    estimate = Estimate(0.5, 0.3, 4, 5)
    of_one, of_many = (decide([(estimate, None, "positive")] * count)[0].seeds_needed for count in (1, 10))
    assert of_one == units_needed(estimate, None, "positive", 0.05)
    assert of_many == units_needed(estimate, None, "positive", 0.005) > of_one
