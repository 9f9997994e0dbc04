"""Spread over seeds and the choice of weights, against values computed by hand."""

import math

import numpy as np
import pytest

from scalarization.analysis import result_files, statistics


def test_spread_is_mean_sample_deviation_and_t_interval():
    spread = statistics.spread(np.array([1.0, 2.0, 4.0]))
    assert spread["mean"] == pytest.approx(7 / 3)
    assert spread["std"] == pytest.approx(math.sqrt(7 / 3))  # squares 16/9 + 1/9 + 25/9 = 42/9, over 3 - 1
    half = 4.302652729911275 * math.sqrt(7 / 3) / math.sqrt(3)  # t of 2 degrees of freedom at 0.975
    assert (spread["low"], spread["high"]) == (pytest.approx(7 / 3 - half), pytest.approx(7 / 3 + half))
    assert spread["seeds"] == 3
    assert spread["by_seed"] == [1.0, 2.0, 4.0]


def test_interval_ends_at_the_limits():
    """Two seeds of an accuracy near its maximum: the t interval alone would be 79.05 to 104.30."""
    values = np.array([90.6813, 92.6687])
    assert statistics.spread(values)["high"] == pytest.approx(104.30, abs=0.005)
    spread = statistics.spread(values, (0.0, 100.0))
    assert (spread["low"], spread["high"]) == (pytest.approx(79.05, abs=0.005), 100.0)
    assert (spread["mean"], spread["std"]) == (values.mean(), pytest.approx(values.std(ddof=1)))
    assert statistics.spread(0.01 * np.array([1.0, 5.0]), (0.0, math.inf))["low"] == 0.0


@pytest.mark.parametrize(
    ("metric", "limits", "of_differences"),
    [
        ("accuracy", (0, 100), (-100, 100)),
        ("balanced_accuracy", (0, 100), (-100, 100)),
        ("l1", (0, math.inf), (-math.inf, math.inf)),
    ],
)
def test_limits_of_metrics(metric, limits, of_differences):
    assert result_files.limits(metric) == limits
    assert result_files.difference_limits(metric) == of_differences


@pytest.mark.parametrize("limits", [statistics.UNLIMITED, (0.0, 100.0)])
@pytest.mark.parametrize("values", [[], [5.0], [np.nan, 5.0, 6.0]])
def test_limits_make_no_number_of_what_is_none(values, limits):
    spread = statistics.spread(values, limits)
    assert math.isnan(spread["low"]) and math.isnan(spread["high"])


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_one_seed_has_a_mean_and_no_spread():
    spread = statistics.spread(np.array([5.0]))
    assert (spread["mean"], spread["seeds"], spread["by_seed"]) == (5.0, 1, [5.0])
    assert all(math.isnan(spread[name]) for name in ("std", "low", "high"))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_spread_of_nothing_is_nan():
    spread = statistics.spread([])
    assert (spread["seeds"], spread["by_seed"]) == (0, [])
    assert all(math.isnan(spread[name]) for name in ("mean", "std", "low", "high"))


def test_best_is_that_of_the_mean_over_seeds():
    assert statistics.best(np.array([[9.0, 1.0], [4.0, 7.0], [6.0, 4.0]])) == 1


def test_first_of_tied_candidates_wins_even_if_rounding_says_otherwise():
    scores = np.array([[0.1 + 0.2], [0.3], [0.2]])
    assert scores[0] > scores[1]
    assert statistics.best(scores) == 0
    assert statistics.best(scores[[1, 0, 2]]) == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_diverged_run_cannot_win():
    assert statistics.best(np.array([[np.nan, 9.0], [1.0, 2.0]])) == 1


def test_gaps_are_paired_by_seed():
    # The best is row 0 (mean 6). Row 1 is behind by 1 at every seed, row 2 by 8 and -6.
    mean, error = statistics.gaps(np.array([[10.0, 2.0], [9.0, 1.0], [2.0, 8.0]]))
    assert mean == pytest.approx([0, 1, 1])
    assert error == pytest.approx([0, 0, math.sqrt(98) / math.sqrt(2)])


def test_within_one_standard_error_of_the_best():
    assert statistics.within_error(np.array([[10.0, 2.0], [9.0, 1.0], [2.0, 8.0]])).tolist() == [True, False, True]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_with_one_seed_only_the_best_and_its_ties_are_near():
    assert statistics.within_error(np.array([[3.0], [2.9], [3.0]])).tolist() == [True, False, True]
