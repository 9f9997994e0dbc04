"""Consistency of p* over capacities, on numbers that are known."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
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


def regrets(summary):
    return summary[summary["part"] == "regret"].set_index(["procedure", "source", "architecture"])


def test_regret_is_the_test_loss_of_weights_found_elsewhere_by_other_seeds(summary):
    rows = regrets(summary)
    assert len(rows) == 4
    # Seed 1 chooses 0.5 on the small model and seed 0 chooses 0.1; both choose 0.5 on the large one.
    # The large model with the small one's choice instead of its own: of seed 1 nothing, of seed 0 82 - 75.
    assert rows.loc[("reuse", "vit_d1_w24", "vit_d1_w48"), "by_seed"] == [0, 7]
    assert rows.loc[("reuse", "vit_d1_w24", "vit_d1_w48"), "mean"] == 3.5
    # The small model with the large one's: of seed 1 nothing, of seed 0 72 - 69.
    assert rows.loc[("reuse", "vit_d1_w48", "vit_d1_w24"), "by_seed"] == [0, 3]
    assert rows.loc[("reuse", "vit_d1_w24", "vit_d1_w24"), "by_seed"] == [0, 0]
    assert rows["cross_fitted"].all()
    assert set(summary["procedure"].dropna()) == {"reuse"}  # of the one seed that is left to choose no error is known


def test_one_seed_chooses_and_is_measured(make_plan):
    plan = make_plan(synthetic.preset("consistency", depth=(1,), methods=METHODS, seeds=1))
    synthetic.write_runs(plan, synthetic.plausible)
    rows = regrets(analysis.summarize(plan, "consistency"))
    assert set(rows.index.get_level_values("procedure")) == {"reuse"}
    assert not rows["cross_fitted"].any()
    assert rows[["low", "high"]].isna().all(axis=None)


def near_best(scores):
    """Numbers of the settings within one paired standard error of the best."""
    differences = scores[scores.mean(axis=1).argmax()] - scores
    error = differences.std(axis=1, ddof=1) / np.sqrt(scores.shape[1])
    return np.flatnonzero(differences.mean(axis=1) <= error + 1e-9)


def losses(small, large, refine):
    """Test loss of the large model, each seed at the choice of others; (validation, test) [settings, seeds] of both."""
    result = []
    for seed in range(small[0].shape[1]):
        there, here = (np.delete(validation, seed, axis=1) for validation, _ in (small, large))
        own, taken = here.mean(axis=1).argmax(), there.mean(axis=1).argmax()
        if refine:
            near = near_best(there)
            taken = near[here[near].mean(axis=1).argmax()]
        result.append(large[1][own, seed] - large[1][taken, seed])
    return np.array(result)


@pytest.mark.parametrize("procedure", ["reuse", "refine"])
def test_regret_of_several_seeds_is_that_of_loops_and_its_interval_that_of_the_jackknife(make_plan, procedure):
    seeds, weights = 6, [0.1, 0.5, 0.9]
    plan = make_plan(synthetic.preset("consistency", depth=(1,), methods=METHODS, seeds=seeds))
    rng = np.random.default_rng(4)
    values = {name: rng.normal(80, 2, (2, 3, seeds)) for name in ("vit_d1_w24", "vit_d1_w48")}

    def formula(cell, run, split, task, metric):
        if cell.method == "single" or split not in ("validation", "test"):
            return 1.0
        return values[cell.architecture.name][int(split == "test"), weights.index(run.weights[0]), run.seed]

    synthetic.write_runs(plan, formula)
    row = regrets(analysis.summarize(plan, "consistency")).loc[(procedure, "vit_d1_w24", "vit_d1_w48")]
    expected = losses(*values.values(), procedure == "refine")
    assert row["candidates_left"] == (1 if procedure == "reuse" else len(near_best(values["vit_d1_w24"][0])))
    assert row["by_seed"] == pytest.approx(expected)
    assert row["std"] == pytest.approx(expected.std(ddof=1))
    left_out = [
        losses(*(np.delete(v, seed, axis=2) for v in values.values()), procedure == "refine").mean()
        for seed in range(seeds)
    ]
    half = scipy.stats.t.ppf(0.975, seeds - 1) * np.sqrt((seeds - 1) * np.var(left_out))
    assert (row["low"], row["high"]) == pytest.approx((expected.mean() - half, expected.mean() + half))


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
