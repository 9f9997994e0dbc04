"""Summaries of counted conflicts: sums over pairs, the fit and its bootstrap, selection, mistakes."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic_conflicts as synthetic
from scipy import stats

from scalarization import analysis, storage
from scalarization.errors import ConfigError, DataError


@pytest.fixture
def summarized(make_plan):
    """(kind, formula, only=..., **preset's options) -> summary."""

    def summarized(kind, formula=synthetic.plausible, only=None, **options):
        plan = make_plan(synthetic.preset(kind, **options), only=only or {})
        synthetic.write_counts(plan, formula)
        return analysis.summarize(plan, kind)

    return summarized


def test_every_epoch_of_every_run_is_one_row(summarized):
    summary = summarized("rebuttal_figure_1a")
    keys = ["architecture", "variant", "seed", "epoch"]
    assert len(summary) == 4 * 3 * 2 * 4 and not summary.duplicated(keys).any()
    row = summary.set_index(keys).loc["vit_d3_w48", "lr0.005", 1, 2]
    share, validation = 0.2 + 0.12 - 0.01 + 0.02 * ((7 + 15 + 2) % 3), 50 + 10 + 6 - 0.5 + 1
    # Pairs (0, 1): 50 steps; (0, 2) and (1, 2): 25 steps, the third domain is absent at every other.
    conflicts = round(50 * share) + 2 * round(25 * share)
    assert (row["pairs"], row["steps"], row["zero"], row["conflicts"]) == (3, 100, 50, conflicts)
    assert row["percent"] == conflicts
    assert row["mean_cosine"] == pytest.approx((50 * -0.1 + 25 * -0.2 + 25 * -0.1) / 100)
    assert row["norm"] == pytest.approx(2.0)  # of 1, 2, 3
    assert (row["train_loss"], row["validation"], row["metric"]) == (1.0, pytest.approx(validation), "accuracy")
    assert (row["lr"], row["tasks"], row["depth"], row["width"]) == (0.005, 3, 3, 48)


def test_fit_is_least_squares_through_all_points(summarized):
    summary = summarized("figure_3")
    expected = stats.linregress(summary["validation"].astype(float), summary["percent"].astype(float))
    fit = summary[["slope", "intercept", "r", "runs"]].drop_duplicates()
    assert fit.to_numpy().tolist() == [pytest.approx([expected.slope, expected.intercept, expected.rvalue, 24])]
    low, high = summary.iloc[0][["r_low", "r_high"]]
    assert -1 < low < expected.rvalue < high < 1


def points_of(formula):
    """The same line for every run, moved along itself."""
    return lambda cell, run, epoch: formula(cell.architecture.depth + 2 * run.seed, epoch)


def test_interval_is_over_runs_not_epochs(summarized):
    """Copies of one run add no information, however many epochs they have."""
    copies = summarized("figure_3", points_of(lambda run, epoch: (0.1 * epoch * epoch % 0.7, 60 + epoch)))
    first = copies.iloc[0]
    assert first["runs"] == 24 and abs(first["r"]) < 0.99
    assert first["r_low"] == pytest.approx(first["r"]) == first["r_high"]


def test_correlation_of_runs_on_a_line(summarized):
    line = summarized("figure_3", points_of(lambda run, epoch: (0.88 - 0.04 * (run + epoch), 5 + 10 * (run + epoch))))
    first = line.iloc[0]
    assert [first[c] for c in ("r", "r_low", "r_high")] == pytest.approx([-1, -1, -1])
    assert (first["slope"], first["intercept"]) == pytest.approx((-0.4, 90))


@pytest.mark.parametrize(
    "formula", [lambda run, epoch: (0.4, 50 + run + epoch), lambda run, epoch: (0.02 * (run + epoch), 88.0015)]
)
def test_constant_values_have_no_correlation(summarized, formula):
    first = summarized("figure_3", points_of(formula)).iloc[0]
    assert np.isnan([first["r"], first["r_low"], first["r_high"]]).all()


def test_two_runs_have_no_interval(summarized):
    summary = summarized("figure_3", depth=(1,), width=(24,), rates=(5e-3,))
    assert np.isfinite(summary.iloc[0]["r"]) and summary[["r_low", "r_high"]].isna().all(axis=None)


def test_each_task_set_has_its_fit(summarized):
    sets = {"pair": ["mnist", "optdigits"], "three": ["mnist", "optdigits", "mfeat"]}
    summary = summarized("figure_3", task_sets=sets)
    assert summary.groupby("task_set")["runs"].agg(["nunique", "max"]).to_numpy().tolist() == [[1, 24]] * 2
    assert summary.groupby("task_set")["tasks"].max().tolist() == [2, 3]


def test_capacities_and_seeds_that_are_not_selected(summarized):
    summary = summarized("figure_3", only={"capacities": ["vit_d1_w24"], "seeds": [1]})
    here = summary[summary["present"]]
    assert set(here["architecture"]) == {"vit_d1_w24"} and set(here["seed"]) == {1}
    absent = summary[~summary["present"]]
    assert len(absent) == 3 * 3 and absent["percent"].isna().all() and (summary["runs"] == 3).all()


def test_metadata(make_plan):
    plan = make_plan(synthetic.preset("figure_3"), only={"seeds": [1]})
    metadata = analysis.metadata(plan, "figure_3")
    assert (metadata["seeds"], metadata["seeds_planned"], metadata["benchmarks"]) == ([1], [0, 1], ["digits"])


def test_selecting_nothing_is_an_error(make_plan):
    preset = synthetic.preset("figure_3")
    preset["experiments"]["other"]["seeds"] = 3
    plan = make_plan(preset, only={"seeds": [2]})
    with pytest.raises(ConfigError, match=r"only = \{'seeds': \[2\]\} selects nothing of artifact 'figure_3'"):
        analysis.summarize(plan, "figure_3")


def test_mistakes_name_file_and_way_out(make_plan):
    plan = make_plan(synthetic.preset("figure_3"))
    with pytest.raises(DataError, match=r"conflicts/digits.*no such conflict file"):
        analysis.summarize(plan, "figure_3")
    synthetic.write_counts(plan, synthetic.plausible)
    file = plan.paths.run_file(next(iter(plan.counted.values())))
    table = pq.read_table(file)
    storage.write_conflict_file(file, table.slice(0, 5).to_pylist(), {})
    with pytest.raises(DataError, match=r"lacks 1 of 2 runs, such as weight setting 0, seed 1; delete it"):
        analysis.summarize(plan, "figure_3")
    storage.write_table(file, table.drop_columns(["zero"]), {"schema_version": storage.SCHEMA_VERSION})
    with pytest.raises(DataError, match="its columns are not those of a conflict file"):
        analysis.summarize(plan, "figure_3")
