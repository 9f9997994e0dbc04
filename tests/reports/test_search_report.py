"""What the report of an ad hoc search writes for a mean over seeds."""

import math

import numpy as np

from scalarization.reports.search import with_interval


def test_means_have_their_interval_and_one_seed_has_none():
    assert with_interval(np.array([50.0, 52.0])) == "51.00 (38.29 to 63.71)"
    assert with_interval(np.array([2.0]), "+") == "+2.00"


def test_a_diverged_run_is_no_number():
    assert with_interval(np.array([50.0, math.nan])) == "diverged (1 of 2)"
    assert with_interval(np.array([math.nan]), "+") == "diverged"
