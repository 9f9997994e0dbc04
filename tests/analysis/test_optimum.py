"""How p* is chosen, and what is reported of it: figures 2, B and D, on numbers that are known."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import synthetic

from scalarization import analysis, storage
from scalarization.errors import ConfigError, DataError
from scalarization.plan import artifacts

ONE = {"depth": (1,), "width": (24,)}
GRID = {"single": {}, "grid": {"p1": [0.1, 0.5, 0.9]}}


def table(values):
    """Formula from {(method, weight of the first task): {split: [first task, second task]}}; SD gives own domains."""

    def formula(cell, run, split, task, metric):
        if metric == "loss":
            return 1.0
        if cell.method == "single":
            return values["single"][split][["mnist", "optdigits"].index(cell.tasks[0])] if task in cell.tasks else 5.0
        return values[run.weights[0]][split][cell.tasks.index(task)]

    return formula


def same(validation, test, train=(0.0, 0.0)):
    return {"train": train, "validation": validation, "test": test}


#: Validation is best at 0.5 (average 70), test at 0.9 (average 95), train at 0.1.
CROSSED = {
    "single": same((0, 0), (60, 50), (90, 80)),
    0.1: same((60, 70), (10, 20), (100, 100)),
    0.5: same((66, 74), (63, 45), (88, 79)),
    0.9: same((69, 70), (95, 95), (50, 50)),
}


@pytest.fixture
def crossed(make_plan):
    def make(kind, **options):
        plan = make_plan(synthetic.preset(kind, **{**ONE, "methods": GRID, **options}))
        synthetic.write_runs(plan, table(CROSSED))
        return analysis.summarize(plan, kind)

    return make


def by_task(summary):
    return summary.set_index("task")


def test_optimum_is_chosen_on_validation_at_the_last_epoch_and_reported_on_test(crossed):
    # write_runs puts misleading validation values, best for 0.1, at the earlier evaluation.
    rows = by_task(crossed("figure_2"))
    assert rows["weight"].to_dict() == {"mnist": 0.5, "optdigits": 0.5}
    assert rows["weight_setting"].tolist() == [1, 1]
    assert rows["joint_mean"].to_dict() == {"mnist": 63, "optdigits": 45}
    assert rows["single_mean"].to_dict() == {"mnist": 60, "optdigits": 50}
    assert rows["mean"].to_dict() == {"mnist": 3, "optdigits": -5}
    assert rows["metric"].unique() == ["accuracy"]


def test_tradeoff_has_every_setting_and_each_tasks_own_baseline(crossed):
    summary = crossed("figure_b")
    assert len(summary) == 2 * (1 + 3)
    rows = summary.set_index(["method", "weight", "task"])
    assert rows.loc[("single", 1.0, "mnist"), "mean"] == 60
    assert rows.loc[("single", 1.0, "optdigits"), "mean"] == 50
    # The weight is the task's own: 0.9 of mnist is 0.1 of optdigits.
    assert rows.loc[("grid", 0.1, "optdigits"), "mean"] == 95
    assert rows.loc[("grid", 0.9, "mnist"), "validation"] == pytest.approx(69.5)
    assert set(summary[summary["optimum"]]["weight"]) == {0.5}
    assert set(summary[summary["heuristic"] == "uniform"]["weight"]) == {0.5}


def test_train_and_test_differences_are_told_apart(crossed):
    rows = crossed("figure_d").set_index(["split", "task", "weight"])["mean"]
    assert rows["train", "mnist", 0.5] == -2  # 88 - 90
    assert rows["test", "mnist", 0.5] == 3  # 63 - 60
    assert rows["train", "optdigits", 0.9] == 20  # mnist's 0.1: 100 - 80
    assert rows["test", "optdigits", 0.9] == -30  # 20 - 50
    assert len(rows) == 2 * 2 * 3


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_one_seed_leaves_the_spread_out(crossed):
    rows = by_task(crossed("figure_2", seeds=1))
    assert rows["mean"].to_dict() == {"mnist": 3, "optdigits": -5}
    assert rows[["std", "low", "high", "single_std", "joint_std"]].isna().all(axis=None)
    assert rows["seeds"].tolist() == [1, 1]
    assert rows["cross_fitted"].tolist() == [False, False]


def test_differences_are_paired_by_seed(make_plan):
    plan = make_plan(synthetic.preset("figure_2", **ONE, methods=GRID, seeds=3))
    shift = [0.0, 10.0, -4.0]  # shared by both models of a seed
    gain = [1.0, 3.0, 2.0]

    def formula(cell, run, split, task, metric):
        joint = cell.method != "single"
        return 50 + shift[run.seed] + (gain[run.seed] - (run.weights[0] != 0.5) if joint else 0)

    synthetic.write_runs(plan, formula)
    rows = by_task(analysis.summarize(plan, "figure_2")).loc["mnist"]
    assert rows["by_seed"] == gain
    assert rows["mean"] == pytest.approx(2)
    assert rows["std"] == pytest.approx(1)
    assert rows["single_std"] == pytest.approx(np.std([50, 60, 46], ddof=1))
    assert rows["joint_std"] == pytest.approx(np.std([51, 63, 48], ddof=1))


def test_choice_is_that_of_the_mean_and_the_choices_of_seeds_are_kept(make_plan):
    plan = make_plan(synthetic.preset("figure_2", **ONE, methods=GRID))
    validation = {0.1: [80.0, 50.0], 0.5: [70.0, 70.0], 0.9: [40.0, 72.0]}  # means 65, 70, 56

    def formula(cell, run, split, task, metric):
        return validation[run.weights[0]][run.seed] if cell.method == "grid" else 0.0

    synthetic.write_runs(plan, formula)
    rows = by_task(analysis.summarize(plan, "figure_2"))
    assert rows.loc["mnist", "weight"] == 0.5
    assert rows.loc["mnist", "weight_by_seed"] == [0.1, 0.9]
    assert rows.loc["mnist", ["weight_low", "weight_high"]].tolist() == [0.1, 0.9]
    assert rows.loc["optdigits", "weight_by_seed"] == [0.9, pytest.approx(0.1)]


def test_gain_of_each_seed_is_that_of_the_weights_that_other_seeds_choose(make_plan):
    plan = make_plan(synthetic.preset("figure_2", **ONE, methods=GRID, seeds=3))
    validation = {0.1: [90.0, 50.0, 50.0], 0.5: [70.0, 71.0, 68.0], 0.9: [40.0, 60.0, 90.0]}  # all choose 0.5
    test = {0.1: [1.0, 2.0, 3.0], 0.5: [10.0, 20.0, 30.0], 0.9: [100.0, 50.0, 40.0]}

    def formula(cell, run, split, task, metric):
        source = {"validation": validation, "test": test}.get(split)
        return source[run.weights[0]][run.seed] if cell.method == "grid" and source else float(run.seed)

    synthetic.write_runs(plan, formula)
    rows = by_task(analysis.summarize(plan, "figure_2")).loc["mnist"]
    assert rows["weight"] == 0.5  # the mean of 0.1 is 63.3, of 0.5 69.7, of 0.9 63.3
    # Without seed 0 the means are 50, 69.5 and 75; without 1 70, 69 and 65; without 2 70, 70.5 and 50.
    assert rows["weight_by_others"] == [0.9, 0.1, 0.5]
    assert rows["by_seed"] == [100 - 0, 2 - 1, 30 - 2]
    assert rows["joint_mean"] == pytest.approx((100 + 2 + 30) / 3)
    assert rows["joint_mean"] - rows["single_mean"] == pytest.approx(rows["mean"])
    assert rows["std"] == pytest.approx(np.std([100, 1, 28], ddof=1))
    assert rows["cross_fitted"]
    # Without seed 0, seeds 1 and 2 choose 0.5 and 0.9 for each other; without 1, seeds 0 and 2 choose 0.1 and 0.9;
    # without 2, seeds 0 and 1 choose 0.1 and 0.5.
    without = [(50 - 1 + 30 - 2) / 2, (100 - 0 + 3 - 2) / 2, (10 - 0 + 2 - 1) / 2]
    half = 4.302653 * np.sqrt(2 / 3 * sum((np.array(without) - np.mean(without)) ** 2))
    assert rows["high"] == pytest.approx(min(rows["mean"] + half, 100), rel=1e-6)
    assert rows["low"] == pytest.approx(max(rows["mean"] - half, -100), rel=1e-6)


def test_grid_wins_a_tie_with_the_same_weights_from_another_method(make_plan):
    plan = make_plan(synthetic.preset("figure_2", **ONE, methods={"uniform": {}, **GRID}))

    def formula(cell, run, split, task, metric):
        return 70.0 + (run.weights[0] == 0.5)

    synthetic.write_runs(plan, formula)
    assert set(analysis.summarize(plan, "figure_2")["method"]) == {"grid"}


def test_proportional_weights_are_candidates(make_plan):
    plan = make_plan(synthetic.preset("figure_b", **ONE))

    def formula(cell, run, split, task, metric):
        return 70.0 + (cell.method == "proportional")

    synthetic.write_runs(plan, formula)
    best = analysis.summarize(plan, "figure_b").query("optimum")
    assert set(best["method"]) == set(best["heuristic"]) == {"proportional"}
    assert best.set_index("task")["weight"].to_dict() == pytest.approx({"mnist": 10 / 11, "optdigits": 1 / 11})


def test_of_a_loss_the_lowest_is_best_and_differences_change_sign(make_plan):
    plan = make_plan(synthetic.dense_preset("figure_2", methods=GRID, width=(8,)))
    losses = {
        "single": same((0, 0), (0.5, 0.4)),
        0.1: same((0.3, 0.5), (0.9, 0.9)),
        0.5: same((0.2, 0.4), (0.3, 0.6)),
        0.9: same((0.6, 0.6), (0.1, 0.1)),
    }

    def formula(cell, run, split, task, metric):
        if split == "batches":
            return 0.0
        own = losses["single" if cell.method == "single" else run.weights[0]]
        return own[split][["segmentation_2d", "depth"].index(task)]

    synthetic.write_runs(plan, formula)
    rows = by_task(analysis.summarize(plan, "figure_2"))
    assert rows["weight"].tolist() == [0.5, 0.5]
    assert rows["metric"].tolist() == ["l1", "l1"]
    assert rows.loc["segmentation_2d", "mean"] == pytest.approx(0.2)  # 0.3 instead of 0.5: joint training helps
    assert rows.loc["depth", "mean"] == pytest.approx(-0.2)
    assert rows.loc["segmentation_2d", "joint_mean"] == pytest.approx(0.3)


def test_three_domains_have_a_vector_of_best_weights(make_plan):
    domains = ["mnist", "optdigits", "mfeat"]
    points = [[0.2, 0.2, 0.6], [0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]
    methods = {"single": {}, "grid": {"points": points}}
    plan = make_plan(synthetic.preset("figure_2", **ONE, task_sets={"all": domains}, methods=methods))

    def formula(cell, run, split, task, metric):
        if cell.method == "single" or metric == "loss":
            return 60.0
        return 60.0 + 10 * (run.weight_setting == 1) + domains.index(task)

    synthetic.write_runs(plan, formula)
    rows = by_task(analysis.summarize(plan, "figure_2"))
    assert rows["weight"].to_dict() == dict(zip(domains, points[1], strict=True))
    assert rows["mean"].to_dict() == {"mnist": 10, "optdigits": 11, "mfeat": 12}


def test_task_sets_and_variants_keep_to_their_own_baselines(make_plan):
    task_sets = {"first": ["mnist", "optdigits"], "second": ["mnist", "mfeat"]}
    variants = {"base": {}, "slow": {"recipe": {"lr": 1e-4}}}
    plan = make_plan(synthetic.preset("figure_2", **ONE, task_sets=task_sets, variants=variants, methods=GRID))

    def formula(cell, run, split, task, metric):
        slow = 20.0 * (cell.variant == "slow")
        if cell.method == "single":
            return 60.0 - slow
        return 60.0 - slow / 2 + (cell.task_set == "second")

    synthetic.write_runs(plan, formula)
    rows = analysis.summarize(plan, "figure_2").set_index(["task_set", "variant", "task"])["mean"]
    assert rows.to_dict() == {
        ("first", "base", "mnist"): 0,
        ("first", "base", "optdigits"): 0,
        ("second", "base", "mnist"): 1,
        ("second", "base", "mfeat"): 1,
        ("first", "slow", "mnist"): 10,
        ("first", "slow", "optdigits"): 10,
        ("second", "slow", "mnist"): 11,
        ("second", "slow", "mfeat"): 11,
    }


@pytest.mark.parametrize("kind", ["figure_2", "figure_b", "figure_d", "consistency", "affinity"])
def test_capacities_that_are_not_selected_are_rows_marked_absent(make_plan, kind):
    plan = make_plan(synthetic.preset(kind), only={"capacities": ["vit_d1_w48", "vit_d3_w24"]})
    synthetic.write_runs(plan, synthetic.plausible)
    summary = analysis.summarize(plan, kind)
    absent = summary[~summary["present"]]
    assert set(absent["architecture"]) == {"vit_d1_w24", "vit_d3_w48"}
    assert set(summary["architecture"]) == {"vit_d1_w24", "vit_d1_w48", "vit_d3_w24", "vit_d3_w48"}
    assert absent[["mean", "std"]].isna().all(axis=None)
    assert (absent["seeds"] == 0).all()


def test_seeds_that_are_not_selected_do_not_count(make_plan):
    plan = make_plan(synthetic.preset("figure_2", **ONE, methods=GRID, seeds=3), only={"seeds": [0, 2]})

    def formula(cell, run, split, task, metric):
        return 50.0 + (run.seed if cell.method == "grid" else 0)

    synthetic.write_runs(plan, formula)
    assert by_task(analysis.summarize(plan, "figure_2")).loc["mnist", "by_seed"] == [0, 2]
    metadata = analysis.metadata(plan, "figure_2")
    assert (metadata["seeds"], metadata["seeds_planned"]) == ([0, 2], [0, 1, 2])


def test_runs_that_another_experiment_adds_to_a_cell_are_left_out(make_plan):
    # The other experiment comes first, so its weights and seeds come first in the shared run file.
    other = synthetic.preset("figure_2", **ONE, methods={"single": {}, "grid": {"p1": [0.3, 0.5]}}, seeds=3)
    plan = make_plan(
        synthetic.preset("figure_2", **ONE, methods=GRID, other_experiments={"more": other["experiments"]["pair"]})
    )

    def formula(cell, run, split, task, metric):
        if run.weights[0] == 0.3 or run.seed == 2:
            return 99.0
        return {0.1: 50.0, 0.5: 60.0, 0.9: 70.0, 1.0: 65.0}[run.weights[0]]

    synthetic.write_runs(plan, formula)
    rows = by_task(analysis.summarize(plan, "figure_2")).loc["mnist"]
    assert rows["weight"] == 0.9
    assert rows["by_seed"] == [5, 5]
    grid = next(cell for cell in plan.experiments["pair"] if cell.method == "grid")
    file = storage.read_run_file(plan.paths.run_file(grid)).to_pandas()
    assert file[file["weight_setting"] == rows["weight_setting"]]["weights"].iloc[0].tolist() == [0.9, 0.1]


def test_selecting_nothing_of_an_artifact_is_an_error(make_plan):
    # Seed 2 is selected, and the shared cells have it, but only because another experiment asks for it.
    other = synthetic.preset("figure_2", **ONE, methods=GRID, seeds=3)["experiments"]["pair"]
    content = synthetic.preset("figure_2", **ONE, methods=GRID, other_experiments={"more": other})
    plan = make_plan(content, only={"seeds": [2]})
    assert artifacts.selected(plan) == ["figure_2"]
    with pytest.raises(ConfigError, match=r"only = \{'seeds': \[2\]\} selects nothing of artifact 'figure_2'"):
        analysis.summarize(plan, "figure_2")


def test_missing_run_file_is_named(make_plan):
    plan = make_plan(synthetic.preset("figure_2", **ONE))
    with pytest.raises(DataError, match="no such run file"):
        analysis.summarize(plan, "figure_2")


@pytest.mark.parametrize(
    "dropped", [{"seed": 1}, {"task": "mnist", "split": "test"}, {"weight_setting": 2}, {"epoch": 4}]
)
def test_incomplete_run_file_is_refused(make_plan, dropped):
    plan = make_plan(synthetic.preset("figure_2", **ONE, methods=GRID))
    synthetic.write_runs(plan, synthetic.plausible)
    path = next(plan.paths.run_file(cell) for cell in plan.cells.values() if cell.method == "grid")
    rows = storage.read_run_file(path).to_pylist()
    rows = [row for row in rows if any(row[key] != value for key, value in dropped.items())]
    storage.write_run_file(path, rows, {})
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*delete it"):
        analysis.summarize(plan, "figure_2")


@pytest.mark.parametrize("kind", ["figure_2", "figure_b", "figure_d", "consistency", "affinity"])
def test_summary_survives_parquet(make_plan, tmp_path, kind):
    plan = make_plan(synthetic.preset(kind), only={"capacities": ["vit_d1_w48", "vit_d3_w24"]})
    synthetic.write_runs(plan, synthetic.plausible)
    summary = analysis.summarize(plan, kind)
    back, metadata = synthetic.read_back(plan, kind, tmp_path)
    assert list(back.columns) == list(summary.columns)
    for name in summary.columns:
        for before, after in zip(summary[name], back[name], strict=True):
            if isinstance(before, list):
                assert before == list(after), name
            else:
                assert pd.isna(after) if pd.isna(before) else before == after, name
    assert metadata == json.loads(json.dumps(analysis.metadata(plan, kind)))


def test_metadata(make_plan):
    plan = make_plan(
        synthetic.preset(
            "figure_2",
            task_sets={"three": ["mnist", "optdigits", "mfeat"]},
            methods=GRID | {"grid": {"simplex_step": 0.25}},
        )
    )
    assert analysis.metadata(plan, "figure_2") == {
        "artifact": "figure_2",
        "kind": "figure_2",
        "preset": "mine",
        "experiment": "pair",
        "benchmark": "digits",
        "reference": "optdigits",
        "setting": "mdl",
        "reported": False,
        "seeds": [0, 1],
        "seeds_planned": [0, 1],
        "task_sets": {"three": ["mnist", "optdigits", "mfeat"]},
        "variants": ["base"],
    }
