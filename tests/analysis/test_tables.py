"""Summaries of the tables and of figure 1, against values computed by hand."""

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest
import synthetic_methods as synthetic
from scipy import stats

from scalarization import analysis, methods, storage
from scalarization.analysis import reported_numbers, table_costs
from scalarization.errors import DataError

#: Test accuracy of (gender, activity) by seed.
VALUES = {
    "uniform": [(90.0, 80.0), (92.0, 84.0)],  # averages 85, 88
    "rlw": [(90.0, 84.0), (90.0, 80.0)],  # averages 87, 85
}


def by_table(cell, run, split, task, metric):
    if metric == "loss":
        return 0.5
    value = VALUES.get(cell.method, [(50.0, 50.0)] * 3)[run.seed][synthetic.PAIR.index(task)]
    return value - (10 if metric == "balanced_accuracy" else 0) + {"train": 3, "validation": 2, "test": 0}[split]


@pytest.fixture
def summarize(make_plan):
    def make(kind="table_methods", value=by_table, artifact=None, only=None, **experiments):
        artifact = artifact or {"experiment": next(iter(experiments), "people")}
        content = synthetic.preset({kind: artifact}, **experiments)
        plan = make_plan(content, **({"only": only} if only else {}))
        synthetic.write_runs(plan, value)
        return analysis.summarize(plan, kind)

    return make


def row(summary, method, task, metric="accuracy"):
    rows = summary.query("method == @method and task == @task and metric == @metric")
    assert len(rows) == 1
    return rows.iloc[0]


def test_means_and_both_deviations(summarize):
    summary = summarize()
    gender = row(summary, "uniform", "gender")
    assert (gender["mean"], gender["seeds"]) == (91, 2)
    assert gender["std"] == gender["paper_std"] == pytest.approx(math.sqrt(2))
    average = row(summary, "uniform", "average")
    assert average["by_seed"] == [85, 88]
    assert average["std"] == pytest.approx(3 / math.sqrt(2))  # the tasks move together
    assert average["paper_std"] == pytest.approx(math.sqrt(2 + 8) / 2)
    other = row(summary, "rlw", "average")
    assert other["std"] == pytest.approx(math.sqrt(2)) and other["paper_std"] == pytest.approx(math.sqrt(8) / 2)


def test_intervals_and_differences_to_uniform_come_from_all_lines(summarize):
    """Averages of uniform are 85, 88, of RLW 87, 85, of all others 50, 50: these count as one line."""
    summary = summarize()
    values = np.array([[85.0, 88.0], [87.0, 85.0], [50.0, 50.0]])
    of_lines, of_seeds = values.mean(axis=1, keepdims=True), values.mean(axis=0)
    between = 3 * float(((of_seeds - values.mean()) ** 2).sum())
    residual = float(((values - of_lines - of_seeds + values.mean()) ** 2).sum()) / 2
    parts = between / 3, 2 * residual / 3
    dof = sum(parts) ** 2 / (parts[0] ** 2 + parts[1] ** 2 / 2)
    half = stats.t.ppf(0.975, dof) * math.sqrt(sum(parts) / 2)
    average = row(summary, "uniform", "average")
    assert (average["low"], average["high"]) == pytest.approx((86.5 - half, 86.5 + half), rel=1e-9)
    assert average["pooled_lines"] == 3 and average["interval_dof"] == pytest.approx(dof)
    assert pd.isna(average["gain_over_uniform"])
    other, half = row(summary, "rlw", "average"), stats.t.ppf(0.975, 2) * math.sqrt(residual)
    assert other["gain_over_uniform"] == pytest.approx(-0.5)
    assert (other["gain_low"], other["gain_high"]) == pytest.approx((-0.5 - half, -0.5 + half), rel=1e-9)


def test_no_interval_leaves_the_range_of_the_metric(summarize):
    summary = summarize(value=lambda c, m, s, t, metric: 99.0 + m.seed * (0.9 if c.method == "uniform" else 0.1))
    uniform = row(summary, "uniform", "average")
    assert uniform["high"] == 100 and uniform["low"] < 99
    assert summary["high"].max() <= 100


def of_five(offsets, noise=0.1):
    """Values of five seeds: 80 and the offset of a method."""

    def value(cell, run, split, task, metric):
        number = list(synthetic.METHODS).index(cell.method)
        return 80 + offsets.get(cell.method, 0) + noise * math.sin(7 * number + 3 * run.seed + len(task))

    return value


def test_best_is_what_a_paired_test_leaves(summarize):
    people = synthetic.experiment(seeds=5)
    summary = summarize(value=of_five({"uniform": 5, "cagrad": 5}), people=people)
    for _, column in summary[summary["metric"] == "accuracy"].set_index("method").groupby("task"):
        assert set(column.index[column["best"]]) == {"uniform", "cagrad"}
        assert (column.loc[~column["best"], "best_p"] < 0.05).all()
    # Nothing differs: no line is best, and so with one seed, however much lines differ.
    assert not summarize(value=of_five({}), people=people)["best"].any()
    one = summarize(value=of_five({"uniform": 5}), people=synthetic.experiment(seeds=1))
    assert not one["best"].any() and one["best_p"].dropna().isin([1.0]).all()


def test_the_baselines_are_never_best(summarize):
    people = synthetic.experiment(seeds=5, methods={"uniform": {}, "rlw": {}, "single": {}})

    def value(cell, run, split, task, metric):
        return {"single": 95.0, "uniform": 90.0, "rlw": 80.0}[cell.method] + math.sin(run.seed + len(cell.method))

    summary = summarize(value=value, people=people)
    assert set(summary["method"][summary["best"]]) == {"uniform"}
    assert row(summary, "single", "average")["gain_low"] > 0


def test_a_diverged_line_is_not_best_and_a_diverged_uniform_leaves_no_gain(summarize):
    def value(cell, run, split, task, metric):
        diverged = cell.method == "uniform" and run.seed == 1
        return math.nan if diverged else of_five({"uniform": 5, "cagrad": 4})(cell, run, split, task, metric)

    summary = summarize(value=value, people=synthetic.experiment(seeds=5)).query("metric == 'accuracy'")
    assert set(summary["method"][summary["best"]]) == {"cagrad"}
    others = summary[summary["method"] != "uniform"]
    assert (others["gain_diverged"] == 1).all() and others["gain_over_uniform"].isna().all()


def test_optimum_is_measured_at_the_weights_that_other_seeds_choose(summarize):
    """Each seed finds another weight setting best, on validation and test alike: luck."""

    def value(cell, run, split, task, metric):
        lucky = {0: 0.3, 1: 0.7}[run.seed] if cell.method == "grid" else None
        return 90.0 if lucky is not None and run.weights[0] == pytest.approx(lucky) else 80.0

    methods_ = {"grid": {"p1": [0.3, 0.7]}, "uniform": {}}
    summary = summarize(value=value, people=synthetic.experiment(methods=methods_))
    assert row(summary, "grid", "average")["by_seed"] == [80, 80]
    one = summarize(value=value, people=synthetic.experiment(methods=methods_, seeds=1))
    assert row(one, "grid", "average")["by_seed"] == [90]


# --- majority class ---


@pytest.mark.parametrize("kind", ["table_methods", "table_main"])
def test_the_majority_class_is_a_line(make_plan, kind):
    plan = make_plan(synthetic.preset({kind: {"experiment": "people"}}))
    synthetic.write_runs(plan, by_table)
    assert "majority" not in set(analysis.summarize(plan, kind)["method"])
    synthetic.record_majority(plan, dict(zip(synthetic.PAIR, (70.0, 60.0), strict=True)))
    summary = analysis.summarize(plan, kind)
    assert summary["method"].iloc[0] == "majority" and summary["label"].iloc[0] == "Majority class"
    average = row(summary, "majority", "average")
    assert average["mean"] == 65 and pd.isna(average["best"])
    assert pd.isna(average["low"]) and pd.isna(average["gain_over_uniform"])
    if kind == "table_methods":
        assert row(summary, "majority", "gender")["mean"] == dict(zip(synthetic.PAIR, (70, 60), strict=True))["gender"]
        assert row(summary, "majority", "gender", "balanced_accuracy")["mean"] == 50


def test_balanced_accuracy_is_listed_where_it_is_defined(summarize):
    summary = summarize()
    assert row(summary, "uniform", "average", "balanced_accuracy")["mean"] == 76.5
    # An attribute without positives in a split has none; that is no sign of a run that diverged.
    without = summarize(value=lambda c, m, s, t, metric: math.nan if metric == "balanced_accuracy" else 50.0)
    assert without["metric"].unique().tolist() == ["accuracy"]
    assert (without["diverged"] == 0).all() and (without["mean"] == 50).all()


def test_methods_and_tasks_are_in_the_papers_order(summarize):
    summary = summarize()
    assert summary["method"].unique().tolist() == synthetic.METHODS
    assert summary["group"].unique().tolist() == ["Scalarization", "MTO, loss-based", "MTO, gradient-based"]
    assert summary["task"].unique().tolist() == ["average", "activity", "gender"]
    assert summary["label"].unique().tolist() == ["Uniform", "RLW", "Uncertainty", "IMTL-L", "CAGrad", "PCGrad"]


def test_one_seed_has_no_deviation(summarize):
    summary = summarize(people=synthetic.experiment(seeds=1))
    assert summary[["std", "paper_std", "low", "high", "gain_low", "differs"]].isna().all(axis=None)
    assert row(summary, "uniform", "average")["mean"] == 85


def test_optimum_is_chosen_on_validation_among_all_constant_weights(summarize):
    def value(cell, run, split, task, metric):
        first = run.weights[0]
        if cell.method not in ("grid", "uniform"):
            return 99
        best_on = {"validation": 0.3, "test": 0.7, "train": 0.7}[split]
        return 80 - 10 * abs(first - best_on) + run.seed

    grid = {"grid": {"p1": [0.3, 0.7]}, "uniform": {}, "rlw": {}}
    grid_row = row(summarize(value=value, people=synthetic.experiment(methods=grid)), "grid", "average")
    assert list(grid_row["weights"]) == pytest.approx([0.3, 0.7]) and grid_row["weight_setting"] == 0
    assert grid_row["mean"] == pytest.approx(76.5)

    def uniform_wins(cell, run, split, task, metric):
        return value(cell, run, split, task, metric) + (15 if cell.method == "uniform" else 0)

    again = summarize(value=uniform_wins, people=synthetic.experiment(methods=grid))
    assert list(row(again, "grid", "average")["weights"]) == [0.5, 0.5]
    assert row(again, "grid", "average")["mean"] == row(again, "uniform", "average")["mean"]


def test_baselines_are_each_tasks_own_model(summarize):
    def value(cell, run, split, task, metric):
        return {"gender": 70.0, "activity": 60.0}[task] + run.seed if cell.method == "single" else 50.0

    summary = summarize(value=value, people=synthetic.experiment(methods={"uniform": {}, "single": {}}))
    assert summary["method"].iloc[0] == "single"
    assert row(summary, "single", "gender")["mean"] == 70.5
    assert row(summary, "single", "average")["mean"] == 65.5
    assert row(summary, "single", "average")["paper_std"] == pytest.approx(0.5)


def test_absent_capacity_is_one_row_of_nulls(summarize):
    people = synthetic.experiment(architectures={"family": "vit", "depth": [1, 2], "width": [48]})
    summary = summarize(people=people, only={"capacities": ["vit_d2_w48"]})
    absent = summary[summary["architecture"] == "vit_d1_w48"]
    assert len(absent) == 1 and not absent["present"].iloc[0] and pd.isna(absent["mean"].iloc[0])
    assert summary[summary["architecture"] == "vit_d2_w48"]["present"].all()


def test_missing_run_file_is_an_error(make_plan):
    plan = make_plan(synthetic.preset({"table_methods": {"experiment": "people"}}))
    with pytest.raises(DataError, match="no such run file"):
        analysis.summarize(plan, "table_methods")


# --- reported ---


def test_names_of_the_paper_are_told_apart_exactly():
    assert reported_numbers.architecture("vit-s4-depth6", 0.25) == "vit_d6_w48"
    assert reported_numbers.architecture("vit-s4-depth9", 1.0) == "vit_d9_w192"
    assert reported_numbers.architecture("resnet50", 0.25) == "resnet50_w16"
    everything = reported_numbers.accuracies()
    assert sum(map(len, everything.values())) == 530
    # Table C, 6 layers, 0.25 width.
    assert everything["celeba", "vit_d6_w48"]["imtl_l", "clothes"] == (92.22, 0.073)
    assert everything["celeba", "vit_d6_w48"]["pb2", "age"] == (87.10, 0.12)
    assert everything["domainnet", "resnet50_w64"]["pcgrad", "real"] == (48.88, 0.48)
    assert {m for table in everything.values() for m, _ in table} <= set(methods.names())
    assert reported_numbers.tasks("celeba", "vit_d9_w96") == {
        *("age", "clothes", "face_structure", "facial_hair", "gender", "hair_color", "hair_style", "mouth")
    }
    assert reported_numbers.tasks("celeba", "vit_d3_w96") == frozenset()
    assert reported_numbers.costs()["rotograd"]["backward_passes"] == "T"
    assert reported_numbers.poster()["domainnet"]["imtl_l"] == (46.04, 0.21)


def test_reported_averages_have_the_papers_deviation():
    for table in reported_numbers.accuracies().values():
        for method in {m for m, _ in table}:
            of = {task: a for (m, task), a in table.items() if m == method}
            average = of.pop("average")
            # Table B is rounded to 0.01, C and D to two digits.
            assert math.sqrt(sum(a.std**2 for a in of.values())) / len(of) == pytest.approx(average.std, abs=0.0151)


@pytest.fixture
def as_celeba(monkeypatch, people_are_reported):
    """The paper has a table of the people with two groups."""
    table = {
        ("uniform", "average"): reported_numbers.Accuracy(86.0, 1.6),
        ("uniform", "gender"): reported_numbers.Accuracy(50.0, 0.5),
        ("uniform", "activity"): reported_numbers.Accuracy(81.0, 2.0),
    }
    monkeypatch.setattr(reported_numbers, "accuracies", lambda: {("emoji_people", "vit_d1_w48"): table})


def test_reported_numbers_are_listed_with_the_same_cell_only(summarize, as_celeba):
    summary = summarize()
    average = row(summary, "uniform", "average")
    assert (average["reported_mean"], average["reported_std"]) == (86.0, 1.6)
    assert average["difference"] == pytest.approx(0.5) and not average["differs"]
    gender = row(summary, "uniform", "gender")
    expected = stats.ttest_ind_from_stats(91, math.sqrt(2), 2, 50, 0.5, 3, equal_var=False)
    assert gender["difference_p"] == pytest.approx(expected.pvalue, rel=1e-9)
    # Tasks that move together: 3 / sqrt(2) over seeds, sqrt(10) / 2 by the paper's formula; so is theirs taken to be.
    excess = 3 / math.sqrt(2) / (math.sqrt(10) / 2)
    t = 0.5 / math.sqrt((3 / math.sqrt(2)) ** 2 / 2 + (1.6 * excess) ** 2 / 3)
    assert average["difference_p"] == pytest.approx(2 * stats.t.sf(t, 2), rel=1e-9)  # Welch: 2.6 degrees of freedom
    tested = summary[summary["difference_p"].notna()]
    adjusted = stats.false_discovery_control(tested["difference_p"].astype(float))
    assert tested["difference_p_adjusted"].tolist() == pytest.approx(adjusted.tolist())
    assert tested["differs"].tolist() == (adjusted < 0.05).tolist()
    assert pd.isna(row(summary, "rlw", "average")["reported_mean"])
    assert pd.isna(row(summary, "uniform", "average", "balanced_accuracy")["reported_mean"])
    other = {"family": "vit", "depth": [2], "width": [48]}
    three = {"three": [*synthetic.PAIR, "age"]}
    for changes in (
        {"architectures": other},
        {"task_sets": three},
        {"variants": {"slow": {"recipe": {"lr": 1e-4}}}},
    ):
        summary = summarize(value=lambda *_: 50.0, people=synthetic.experiment(**changes))
        assert summary["reported_mean"].isna().all()
    one = row(summarize(people=synthetic.experiment(seeds=1)), "uniform", "average")
    assert one["difference"] == pytest.approx(-1) and pd.isna(one["differs"])


def test_a_stand_in_has_nothing_reported(summarize):
    assert summarize()["reported_mean"].isna().all()


# --- several experiments ---


def test_main_table_joins_experiments_by_benchmark_and_capacity(summarize, as_celeba):
    deep = synthetic.experiment(architectures={"family": "vit", "depth": [2], "width": [48]})
    more = synthetic.experiment(methods={"uniform": {}, "famo": {}})
    summary = summarize(
        "table_main",
        artifact={"experiments": ["shallow", "deep", "more"]},
        shallow=synthetic.experiment(),
        deep=deep,
        more=more,
    )
    ours = summary[summary["architecture"].notna() & (summary["metric"] == "accuracy")]
    assert set(ours["task"]) == {"average"}
    listed = {a: rows["method"].tolist() for a, rows in ours.groupby("architecture", sort=False)}
    expected = ["uniform", "rlw", "uncertainty", "imtl_l", "famo", "cagrad", "pcgrad"]
    assert listed == {"vit_d1_w48": expected, "vit_d2_w48": synthetic.METHODS}
    assert row(ours[ours["architecture"] == "vit_d1_w48"], "uniform", "average")["reported_mean"] == 86.0
    assert row(ours[ours["architecture"] == "vit_d2_w48"], "uniform", "average")["mean"] == 86.5


def test_poster_is_a_reference_without_capacity(summarize, as_celeba, monkeypatch):
    monkeypatch.setattr(
        reported_numbers, "poster", lambda: {"emoji_people": {"pcgrad": reported_numbers.Accuracy(44.96, 0.14)}}
    )
    summary = summarize("table_main")
    poster = summary[summary["architecture"].isna()]
    assert poster["method"].tolist() == ["pcgrad"] and poster["reported_mean"].tolist() == [44.96]
    assert poster["mean"].isna().all() and poster["difference"].isna().all()


def test_metadata_of_several_experiments_and_of_a_profile(make_plan):
    artifacts = {"table_main": {"experiments": ["first", "second"]}, "table_costs": {"profile": "steps"}}
    first, second = synthetic.experiment(), synthetic.experiment(methods={"famo": {}}, seeds=3)
    plan = make_plan(synthetic.preset(artifacts, first=first, second=second))
    main = analysis.metadata(plan, "table_main")
    assert (main["benchmarks"], main["seeds"], main["seeds_planned"]) == (["emoji_people"], [0, 1, 2], [0, 1, 2])
    assert analysis.metadata(plan, "table_costs")["environment"] is None
    synthetic.write_profile(plan)
    assert analysis.metadata(plan, "table_costs")["environment"] == {"device": "an abacus"}


# --- profiles ---


@pytest.fixture
def profile_plan(make_plan):
    plan = make_plan(synthetic.preset({"table_costs": {"profile": "steps"}, "figure_1": {"profile": "steps"}}))
    synthetic.write_profile(plan)
    return plan


def test_table_of_costs_has_formulas_and_measurements(profile_plan):
    summary = analysis.summarize(profile_plan, "table_costs")
    order = ["uniform", "pbt", "uncertainty", "graddrop", "pcgrad", "rotograd", "mgda"]
    assert summary["method"].unique().tolist() == order
    pcgrad = summary[summary["method"] == "pcgrad"]
    assert pcgrad["tasks"].tolist() == [2, 8, 40]
    assert pcgrad["time_ratio"].tolist() == pytest.approx([5 / 3, 17 / 3, 27])
    assert pcgrad["memory_ratio"].tolist() == pytest.approx([1.8, 4.2, 17])
    first = pcgrad.iloc[0]
    names = table_costs.FORMULAS
    assert [first[n] for n in names] == [first[f"reported_{n}"] for n in names] == ["1", "T", "T^2", "T"]
    roto = summary[summary["method"] == "rotograd"].iloc[0]
    assert (roto["backward_passes"], roto["reported_backward_passes"]) == ("1", "T")
    pbt = summary[summary["method"] == "pbt"]
    assert len(pbt) == 1 and pd.isna(pbt["tasks"].iloc[0]) and pbt["forward_passes"].iloc[0] == "N+1"
    assert summary[summary["method"] == "mgda"]["reported_forward_passes"].isna().all()


def test_formulas_of_the_paper_are_ours_but_for_rotograd():
    theirs = reported_numbers.costs()
    ours = {method: dataclasses.asdict(methods.load(method).formulas) for method in theirs}
    assert {method for method in theirs if ours[method] != theirs[method]} == {"rotograd"}


def test_figure_1_is_in_mebibytes(profile_plan):
    summary = analysis.summarize(profile_plan, "figure_1")
    assert summary["method"].unique().tolist() == ["uniform", "pcgrad", "rotograd", "mgda"]
    assert summary[summary["method"] == "pcgrad"]["peak_mib"].tolist() == [180, 420, 1700]


def test_missing_and_damaged_profiles_are_errors(profile_plan):
    file = profile_plan.paths.profile_file("steps")
    file.write_bytes(b"no parquet")
    with pytest.raises(DataError, match="damaged or foreign"):
        analysis.summarize(profile_plan, "figure_1")
    file.unlink()
    with pytest.raises(DataError, match="no such profile; build it with: snakemake"):
        analysis.summarize(profile_plan, "figure_1")


# --- table A ---


def test_table_a_counts_positives(make_plan):
    plan = make_plan(synthetic.preset({"table_a": {"experiment": "people"}}))
    with pytest.raises(DataError, match="no such file; build it with: snakemake"):
        analysis.summarize(plan, "table_a")
    synthetic.write_store(plan, "emoji_people")
    summary = analysis.summarize(plan, "table_a")
    attributes = plan.benchmarks["emoji_people"].labels.attributes
    assert summary["attribute"].tolist() == [a for a in attributes for _ in range(3)]
    third = summary[summary["attribute"] == attributes[2]].set_index("split")
    assert third["positives"].to_dict() == {"train": 4, "validation": 2, "test": 2}
    assert third["images"].to_dict() == {"train": 200, "validation": 50, "test": 50}
    assert third["percent"].to_dict() == {"train": 2.0, "validation": 4.0, "test": 4.0}
    assert summary["group"].unique().tolist() == list(plan.benchmarks["emoji_people"].labels.groups)


def test_table_a_without_counts_or_groups(make_plan, tmp_path):
    plan = make_plan(synthetic.preset({"table_a": {"experiment": "people"}}))
    synthetic.write_store(plan, "emoji_people", positives=False)
    assert analysis.summarize(plan, "table_a")["positives"].isna().all()
    storage.write_json(plan.paths.store_file("emoji_people"), {})
    with pytest.raises(DataError, match=re.escape("KeyError('domains')")):
        analysis.summarize(plan, "table_a")
