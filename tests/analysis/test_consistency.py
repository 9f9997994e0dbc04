"""Consistency of p* over capacities, on numbers that are known."""

import dataclasses

import pytest
import synthetic

from scalarization import analysis
from scalarization.analysis import consistency

METHODS = {"single": {}, "grid": {"p1": [0.1, 0.5, 0.9]}}
#: Capacity -> weight -> validation average of each seed. Of two seeds, a standard error is half their difference.
VALIDATION = {
    # Best 0.1 (mean 80). 0.5 is behind by 3 and -1: mean 1, error 2. 0.9 by 9 and 11: mean 10, error 1.
    "vit_d1_w24": {0.1: (80, 80), 0.5: (77, 81), 0.9: (71, 69)},
    # Best 0.5 (mean 85). 0.1 is behind by 5 at both: error 0. 0.9 by 3 and 1: mean 2, error 1.
    "vit_d1_w48": {0.1: (79, 81), 0.5: (84, 86), 0.9: (81, 85)},
}
TEST = {
    "vit_d1_w24": {0.1: (70, 72), 0.5: (73, 69), 0.9: (60, 60)},
    "vit_d1_w48": {0.1: (74, 75), 0.5: (78, 82), 0.9: (90, 90)},
}


@pytest.fixture
def plan(make_plan):
    plan = make_plan(synthetic.preset("consistency", depth=(1,), methods=METHODS))

    def formula(cell, run, split, task, metric):
        if cell.method == "single":
            return 50.0
        source = {"validation": VALIDATION, "test": TEST}.get(split)
        # The average over tasks is the table's value, no single task's is.
        side = 4.0 if task == "mnist" else -4.0
        return source[cell.architecture.name][run.weights[0]][run.seed] + side if source else 0.0

    synthetic.write_runs(plan, formula)
    return plan


@pytest.fixture
def summary(plan):
    return analysis.summarize(plan, "consistency")


def optimum(summary, architecture):
    rows = summary[(summary["part"] == "optimum") & (summary["architecture"] == architecture)]
    return rows[rows["task"] == "mnist"].set_index("weight")


def test_near_best_settings_are_within_one_paired_standard_error(summary):
    small, large = optimum(summary, "vit_d1_w24"), optimum(summary, "vit_d1_w48")
    assert small["mean"].to_dict() == {0.1: 80, 0.5: 79, 0.9: 70}
    assert small["gap"].to_dict() == pytest.approx({0.1: 0, 0.5: 1, 0.9: 10})
    assert small["gap_error"].to_dict() == pytest.approx({0.1: 0, 0.5: 2, 0.9: 1})
    assert small["within_error"].to_dict() == {0.1: True, 0.5: True, 0.9: False}
    assert large["within_error"].to_dict() == {0.1: False, 0.5: True, 0.9: False}
    assert small["optimum"].to_dict() == {0.1: True, 0.5: False, 0.9: False}
    assert small["seeds_choosing"].to_dict() == {0.1: 1, 0.5: 1, 0.9: 0}


def test_regret_is_the_test_loss_of_weights_found_elsewhere(summary):
    regrets = summary[summary["part"] == "regret"].set_index(["procedure", "source", "architecture"])
    assert len(regrets) == 8
    # The large model with the small one's p* = 0.1 instead of its own 0.5, on test: 78 - 74 and 82 - 75.
    assert regrets.loc[("reuse", "vit_d1_w24", "vit_d1_w48"), "by_seed"] == [4, 7]
    assert regrets.loc[("reuse", "vit_d1_w24", "vit_d1_w48"), "mean"] == 5.5
    # The small model with the large one's p* = 0.5 instead of its own 0.1: 70 - 73 and 72 - 69.
    assert regrets.loc[("reuse", "vit_d1_w48", "vit_d1_w24"), "by_seed"] == [-3, 3]
    assert regrets.loc[("reuse", "vit_d1_w24", "vit_d1_w24"), "by_seed"] == [0, 0]


def test_refining_searches_again_among_the_near_best_of_the_other_capacity(summary):
    regrets = summary[summary["part"] == "regret"].set_index(["procedure", "source", "architecture"])
    # The small model leaves 0.1 and 0.5; of these the large one takes its own best, 0.5. Never 0.9, the best on test.
    assert regrets.loc[("refine", "vit_d1_w24", "vit_d1_w48"), "candidates_left"] == 2
    assert regrets.loc[("refine", "vit_d1_w24", "vit_d1_w48"), "by_seed"] == [0, 0]
    # The large model leaves only 0.5.
    assert regrets.loc[("refine", "vit_d1_w48", "vit_d1_w24"), "candidates_left"] == 1
    assert regrets.loc[("refine", "vit_d1_w48", "vit_d1_w24"), "by_seed"] == [-3, 3]


def test_regret_of_a_loss_is_positive_where_weights_found_elsewhere_cost(make_plan):
    plan = make_plan(synthetic.dense_preset("consistency", methods=METHODS))
    small, large = "dense26_w8_shr0", "dense26_w16_shr0"
    best = {small: 0.1, large: 0.9}

    def formula(cell, run, split, task, metric):
        if cell.method == "single":
            return 1.0
        return abs(run.weights[0] - best[cell.architecture.name])

    synthetic.write_runs(plan, formula)
    regrets = analysis.summarize(plan, "consistency").query("part == 'regret' and procedure == 'reuse'")
    assert regrets.set_index(["source", "architecture"])["mean"].to_dict() == pytest.approx(
        {
            (small, small): 0,
            (small, large): 0.8,
            (large, small): 0.8,
            (large, large): 0,
        }
    )


def test_only_pairs_of_present_capacities_have_a_regret(make_plan):
    plan = make_plan(synthetic.preset("consistency"), only={"capacities": ["vit_d1_w24", "vit_d3_w48"]})
    synthetic.write_runs(plan, synthetic.plausible)
    regrets = analysis.summarize(plan, "consistency").query("part == 'regret'")
    present = {"vit_d1_w24", "vit_d3_w48"}
    assert set(zip(regrets["source"], regrets["architecture"], strict=True)) == {
        (a, b) for a in present for b in present
    }


def test_reported_ranges_are_listed_for_a_benchmark_of_the_paper_only(plan, monkeypatch):
    monkeypatch.setitem(consistency.REPORTED, "digits", consistency.REPORTED["cifar_stl"])
    assert "reported" not in set(analysis.summarize(plan, "consistency")["part"])
    benchmarks = {"digits": dataclasses.replace(plan.benchmarks["digits"], reported=True)}
    plan = dataclasses.replace(plan, benchmarks=benchmarks)
    reported = analysis.summarize(plan, "consistency").query("part == 'reported'")
    assert reported[["where", "low", "high"]].to_numpy().tolist() == [
        ["low width", 0.3, 0.4],
        ["larger models", 0.1, 0.3],
        ["always", 0.2, 0.4],
    ]
    assert set(reported["task"]) == {"optdigits"}
