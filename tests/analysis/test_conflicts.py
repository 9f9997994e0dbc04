"""Summaries of counted conflicts: sums over pairs, the fit and its correlations, selection, mistakes."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic_conflicts as synthetic
from scipy import stats

from scalarization import analysis, storage
from scalarization.analysis import conflicts, inference
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
    assert_jackknife(summary, "", summary)
    assert_jackknife(summary, "last_", summary[summary["epoch"] == 4])


def assert_jackknife(summary, prefix, points):
    """The interval is that of the pseudo-values' deviation around z = artanh(r), Student's t with conditions - 1."""

    def z(points):
        return np.arctanh(np.corrcoef(points["validation"].astype(float), points["percent"].astype(float))[0, 1])

    condition = points["architecture"] + points["variant"]
    pseudo = [12 * z(points) - 11 * z(points[condition != left_out]) for left_out in condition.unique()]
    half = stats.t.ppf(0.975, 11) * np.std(pseudo, ddof=1) / np.sqrt(12)
    fit = summary.iloc[0]
    assert (fit[f"{prefix}runs"], fit[f"{prefix}conditions"]) == (24, len(pseudo)) == (24, 12)
    expected = np.tanh([z(points), z(points) - half, z(points) + half])
    assert [fit[f"{prefix}{name}"] for name in ("r", "r_low", "r_high")] == pytest.approx(expected, abs=1e-12)


def points_of(formula):
    """The same line for every run, moved along itself."""
    return lambda cell, run, epoch: formula(cell.architecture.depth + 2 * run.seed, epoch)


def test_interval_is_over_conditions_not_epochs_or_seeds(summarized):
    """Copies of one condition do not show how conditions vary, however many epochs and seeds they have."""
    copies = summarized("figure_3", points_of(lambda run, epoch: (0.1 * epoch * epoch % 0.7, 60 + epoch)))
    first = copies.iloc[0]
    assert first["runs"] == 24 and abs(first["r"]) < 0.99
    assert np.isnan([first["r_low"], first["r_high"], first["last_r"], first["last_r_low"]]).all()


def test_correlation_of_runs_on_a_line(summarized):
    """On a line nothing varies around the correlation, so it has no interval."""
    line = summarized("figure_3", points_of(lambda run, epoch: (0.88 - 0.04 * (run + epoch), 5 + 10 * (run + epoch))))
    first = line.iloc[0]
    assert [first["r"], first["last_r"]] == pytest.approx([-1, -1])
    assert (first["slope"], first["intercept"]) == pytest.approx((-0.4, 90))


@pytest.mark.parametrize(
    "formula", [lambda run, epoch: (0.4, 50 + run + epoch), lambda run, epoch: (0.02 * (run + epoch), 88.0015)]
)
def test_constant_values_have_no_correlation(summarized, formula):
    first = summarized("figure_3", points_of(formula)).iloc[0]
    assert np.isnan([first[name] for name in ("r", "r_low", "r_high", "last_r", "last_r_low", "last_r_high")]).all()


@pytest.mark.parametrize("rates", [(5e-3,), (5e-3, 5e-2)])
def test_two_conditions_have_no_interval(summarized, rates):
    summary = summarized("figure_3", depth=(1,), width=(24,), rates=rates)
    assert np.isfinite(summary.iloc[0]["r"]) and summary[["r_low", "r_high"]].isna().all(axis=None)


@pytest.mark.parametrize(("rates", "has_interval"), [((5e-4, 5e-3, 5e-2), False), ((5e-4, 5e-3, 1e-2, 5e-2), True)])
def test_three_runs_have_no_interval_at_the_last_epoch(summarized, rates, has_interval):
    """Without one of them, two points are always on a line."""
    first = summarized("figure_3", depth=(1,), width=(24,), rates=rates, seeds=1).iloc[0]
    assert np.isfinite([first["r_low"], first["r_high"], first["last_r"]]).all()
    assert np.isfinite(first["last_r_low"]) == has_interval


def test_a_run_that_diverged_counts_until_then(summarized):
    def formula(cell, run, epoch):
        fraction, validation = synthetic.plausible(cell, run, epoch)
        return fraction, np.nan if epoch == 4 and run.seed == 1 and cell.variant == "lr0.05" else validation

    summary = summarized("figure_3", formula)
    first = summary.iloc[0]
    assert (first["runs"], first["last_runs"], summary["diverged"].sum()) == (24, 20, 4)
    kept = summary[(summary["epoch"] == 4) & ~summary["diverged"]]
    expected = np.corrcoef(kept["validation"].astype(float), kept["percent"].astype(float))[0, 1]
    assert first["last_r"] == pytest.approx(expected)


def simulated(rng, runs, epochs=6, trend=1.0, between=0.5, within=0.3):
    """Percent and validation [runs, epochs]: correlated levels of runs, noise that lasts for epochs, a common trend."""
    levels, noise = rng.standard_normal((2, runs, 1)), rng.standard_normal((2, runs, epochs))
    levels[1] = between * levels[0] + np.sqrt(1 - between**2) * levels[1]
    noise[1] = within * noise[0] + np.sqrt(1 - within**2) * noise[1]
    for epoch in range(1, epochs):
        noise[..., epoch] = 0.7 * noise[..., epoch - 1] + np.sqrt(1 - 0.7**2) * noise[..., epoch]
    return levels + noise + trend * np.linspace(-1, 1, epochs)


def correlated(values, within_epochs=False):
    """Of values [2, conditions, ..., epochs]."""
    conditions, epochs = values.shape[1], values.shape[-1]
    condition = np.repeat(np.arange(conditions), values[0, 0].size)
    epoch = np.arange(len(condition)) % epochs
    return conflicts.correlation_over_conditions(
        values.reshape(2, -1), condition, epoch if within_epochs else 0 * epoch
    )


@pytest.mark.parametrize("runs", [4, 8, 12])
def test_intervals_cover_the_true_correlation(runs):
    """Of 1,000 simulated experiments with one seed; a bootstrap over runs covers 890 to 920."""
    spread = 2 + np.var(np.linspace(-1, 1, 6))  # of levels, noise and trend
    truth = {"all": (0.5 + 0.3 + spread - 2) / spread, "within epochs": 0.8 / 2, "last": 0.8 / 2}
    rng, covered = np.random.default_rng(0), dict.fromkeys(truth, 0)
    for _ in range(1000):
        values = simulated(rng, runs)
        estimates = correlated(values), correlated(values, within_epochs=True), correlated(values[..., -1:])
        for name, estimate in zip(truth, estimates, strict=True):
            low, high = inference.interval(estimate)
            covered[name] += low < truth[name] < high
    assert 925 <= covered["all"] <= 970
    assert 930 <= covered["within epochs"] <= 975
    assert 930 <= covered["last"] <= 985


def near_copies(rng, conditions, seeds, epochs=5):
    """Uncorrelated levels of conditions, ten times the spread of their seeds, [2, conditions, seeds, epochs]."""
    levels, own = 10 * rng.standard_normal((2, conditions, 1, 1)), rng.standard_normal((2, conditions, seeds, 1))
    return levels + own + 0.5 * rng.standard_normal((2, conditions, seeds, epochs)).cumsum(axis=3)


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("conditions", [4, 12])
def test_intervals_cover_where_seeds_are_near_copies(conditions, seeds):
    """With runs as the unit they cover far too little."""
    rng, covered = np.random.default_rng(0), np.zeros(3)
    for _ in range(1000):
        values = near_copies(rng, conditions, seeds)
        last = values[..., -1:]
        of_runs = last.reshape(2, conditions * seeds, 1)
        for place, (estimate, units) in enumerate(
            [
                (correlated(values, within_epochs=True), conditions),
                (correlated(last), conditions),
                (correlated(of_runs), conditions * seeds),
            ]
        ):
            low, high = inference.interval(estimate)
            covered[place] += low < 0 < high
            assert estimate.units == units
    assert covered[:2].min() >= 930 and covered[:2].max() <= 980
    assert covered[2] < 850


def test_mean_at_each_epoch_is_removed(summarized):
    """A trend that all runs share changes nothing; what is left is the correlation of deviations from it."""
    summary = summarized("figure_3").convert_dtypes()
    plain = conflicts.correlation(summary, within_epochs=True)
    both = summary[["validation", "percent"]].astype(float)
    deviations = both - both.groupby(summary["epoch"]).transform("mean")
    assert plain.reported_value == pytest.approx(np.corrcoef(deviations.T)[0, 1])
    trend = summary["epoch"].map({1: 5.0, 2: 1.0, 3: 30.0, 4: -4.0}).astype(float)
    shifted = summary.assign(validation=both["validation"] + trend, percent=both["percent"] - 2 * trend)
    with_trend = conflicts.correlation(shifted, within_epochs=True)
    assert (with_trend.value, with_trend.error) == pytest.approx((plain.value, plain.error))
    assert conflicts.correlation(shifted).reported_value < 0 < conflicts.correlation(summary).reported_value


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
