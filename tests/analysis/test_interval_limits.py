"""No summary has an interval outside the range of its metric, however far apart two seeds are."""

import numpy as np
import pytest
import synthetic
import synthetic_methods

from scalarization import analysis
from scalarization.analysis import method_lines

KINDS = {
    "affinity": {"experiment": "pair"},
    "consistency": {"experiment": "pair"},
    "figure_2": {"experiment": "pair"},
    "figure_b": {"experiment": "pair"},
    "figure_d": {"experiment": "pair"},
    "table_methods": {"experiment": "pair"},
}


def far_apart(cell, run, split, task, metric):
    """One seed near 0, the other near 100, in the opposite order for single tasks: also differences are huge."""
    if metric == "loss":
        return 0.01 + run.seed
    high = run.seed if cell.method == "single" else 1 - run.seed
    return 99.0 - run.weight_setting / 10 if high else 1.0 + run.weight_setting / 10


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_are_within_the_range_of_the_metric(make_plan, kind):
    plan = make_plan(synthetic.preset(kind))
    synthetic.write_runs(plan, far_apart)
    summary = analysis.summarize(plan, kind)
    assert summary["high"].max() == 100.0, "no interval is cut, so this tests nothing"
    rows = summary[summary["metric"].isin(["accuracy", "balanced_accuracy"]) & summary["low"].notna()]
    assert len(rows) and (rows["high"] <= 100).all() and (rows["low"] >= -100).all()
    if kind in ("figure_b", "table_methods"):
        assert rows["low"].min() == 0.0
    losses = summary[summary["metric"] == "loss"]
    assert (losses["low"].dropna() >= 0).all()


def test_intervals_by_task_are_within_the_range_of_the_metric():
    values = np.array([[99.0, 98.0], [20.0, 30.0]])
    spreads = method_lines.spread_by_task(synthetic_methods.PAIR, values, "accuracy")
    assert {(spread["low"], spread["high"]) for spread in spreads.values()} == {(0.0, 100.0)}
