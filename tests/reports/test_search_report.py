"""What the report of an ad hoc search writes for a mean over seeds."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from scalarization.reports.search import _policy_table as policy_table
from scalarization.reports.search import with_interval
from scalarization.search.policies import Policy


def test_means_have_their_interval_and_one_seed_has_none():
    assert with_interval(np.array([50.0, 52.0])) == "51.00 (38.29 to 63.71)"
    assert with_interval(np.array([2.0]), "+") == "+2.00"


def test_a_diverged_run_is_no_number():
    assert with_interval(np.array([50.0, math.nan])) == "diverged (1 of 2)"
    assert with_interval(np.array([math.nan]), "+") == "diverged"


@pytest.mark.parametrize(("method", "row"), [("pbt", "4-12 0.250 0.750"), ("search_lr", "4-12 0.00123")])
def test_a_policy_is_shown_with_what_was_searched(method, row, shipped_plan):
    shipped = next(s for s in shipped_plan("demo").searches.values() if s.key == "digits_pbt")
    search = replace(shipped, method=method)
    policy = Policy(2, 97.5, ((0.5, 0.5), (0.25, 0.75)), (3, 12), (1, 2), 0.001234)
    printed = io.StringIO()
    Console(file=printed, width=100).print(policy_table(search, policy))
    words = " ".join(printed.getvalue().replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())
    assert row in words and ("learning rate" in words) == (method == "search_lr")
