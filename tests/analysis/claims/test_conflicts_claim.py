"""C5: both correlations against NumPy's, on conflict files; wrong verdicts and power on simulated runs."""

import math
import zlib

import numpy as np
import pandas as pd
import pytest
import synthetic_conflicts as synthetic
from scipy import stats

from scalarization import storage
from scalarization.analysis import claims, conflicts, inference
from scalarization.analysis.claims import conflicts_and_quality
from scalarization.analysis.claims.evidence import Evidence

OVER_EPOCHS, AT_THE_END = "over epochs, mean of each epoch removed", "across runs at the last epoch"
SETS = {"pair": ["mnist", "optdigits"], "three": ["mnist", "optdigits", "mfeat"]}


def noise(cell, run, epoch):
    """Conflicts and quality that grow with epochs and depend on the run, not on each other."""
    draw = np.random.default_rng(zlib.crc32(f"{cell.name} {run.seed} {epoch}".encode()))
    return 0.2 + 0.1 * epoch + 0.1 * draw.random(), 60 + 5 * epoch + draw.standard_normal()


@pytest.fixture
def make(make_plan):
    """(formula, only=..., **preset's options) -> plan with its conflict files."""

    def make(formula=noise, only=None, **options):
        plan = make_plan(synthetic.preset("figure_3", **options), only=only or {})
        synthetic.write_counts(plan, formula)
        return plan

    return make


def rows_of(plan):
    evidence = Evidence(plan, 0.5)
    table = claims.table(lambda claim: claim.compare(evidence) if claim is conflicts_and_quality.CLAIM else ())
    return table[(table["claim"] == "C5") & table["comparison"].notna()]


def counted(plan, task_set):
    """Percent and validation of every run and epoch, from the conflict files alone [2, conditions, seeds, epochs]."""
    conditions = []
    for cell in plan.counted.values():
        if cell.task_set == task_set:
            table = storage.read_conflict_file(plan.paths.run_file(cell)).to_pandas()
            runs = []
            for _, rows in table.groupby("seed"):
                sums = rows.groupby("epoch")[["conflicts", "steps"]].sum()
                percent = 100 * sums["conflicts"] / sums["steps"]
                runs.append([percent.to_numpy(), rows.groupby("epoch")["validation"].first().to_numpy()])
            conditions.append(np.stack(runs, axis=1))
    return np.stack(conditions, axis=1)


def expected(values, statistic):
    """r, low, high of a statistic on Fisher's scale: the jackknife over conditions. NaN of runs that diverged."""

    def z(values):
        both = statistic(values).reshape(2, -1)
        return math.atanh(np.corrcoef(both[:, ~np.isnan(both).any(axis=0)])[0, 1])

    count = values.shape[1]
    pseudo = [count * z(values) - (count - 1) * z(np.delete(values, n, axis=1)) for n in range(count)]
    half = stats.t.ppf(0.975, count - 1) * stats.sem(pseudo)
    return np.tanh([z(values), z(values) - half, z(values) + half])


STATISTICS = {
    OVER_EPOCHS: lambda values: values - np.nanmean(values, axis=(1, 2), keepdims=True),
    AT_THE_END: lambda values: values[..., -1],
}


def test_both_correlations_of_each_task_set(make):
    plan = make(task_sets=SETS)
    table = rows_of(plan)
    assert len(table) == 4
    for row in table.to_dict("records"):
        ours = row["estimate"], row["low"], row["high"]
        assert ours == pytest.approx(expected(counted(plan, row["task_set"]), STATISTICS[row["comparison"]]), abs=1e-9)
        assert (row["seeds"], row["unit"], row["margin"], row["hypothesis"]) == (12, "conditions", 0.3, "equivalent")
        assert row["statistic"] == "r of conflicts and validation accuracy" and row["note"] == ""


def test_a_common_trend_is_no_evidence(make):
    """All runs have more conflicts and are better in later epochs: r of all points is high, that of the claim not."""
    plan = make()
    points = conflicts.epochs_of(plan, plan.counted.values())
    assert conflicts.correlation(points).reported_value > 0.9
    assert rows_of(plan).set_index("comparison").loc[OVER_EPOCHS, "estimate"] < 0.3


@pytest.mark.parametrize("sign", [1, -1])
def test_conflicts_that_tell_quality_contradict(make, sign):
    def tells(cell, run, epoch):
        fraction, _ = noise(cell, run, epoch)
        return fraction, 60 + sign * 20 * fraction + 0.3 * noise(cell, run, epoch + 100)[0]

    table = rows_of(make(tells))
    assert (np.sign(table["estimate"]) == sign).all()
    assert set(table["verdict"]) == set(table["claim_verdict"]) == {"contradicted"}


def test_losses_are_turned_around(make):
    plan = make()
    before = rows_of(plan)
    for cell in plan.counted.values():
        file = plan.paths.run_file(cell)
        rows = storage.read_conflict_file(file).to_pylist()
        storage.write_conflict_file(file, [{**row, "metric": "l1"} for row in rows], {})
    with pytest.MonkeyPatch.context() as patch:
        # The bundled digits have no dense tasks, and files of another metric would be refused.
        patch.setattr("scalarization.analysis.result_files.read_conflicts", _rows)
        after = rows_of(plan)
    assert after["estimate"].to_numpy() == pytest.approx(-before["estimate"].to_numpy())
    assert set(after["statistic"]) == {"r of conflicts and validation l1"}


def _rows(plan, cell):
    return storage.read_conflict_file(plan.paths.run_file(cell)).to_pylist()


def test_runs_that_diverged_are_left_out_with_all_their_epochs(make):
    def diverging(cell, run, epoch):
        fraction, validation = noise(cell, run, epoch)
        return fraction, np.nan if epoch >= 3 and run.seed == 1 and cell.variant == "lr0.05" else validation

    plan = make(diverging)
    values = counted(plan, "three")
    values[:, np.isnan(values).any(axis=(0, 3))] = np.nan
    assert np.isnan(values[0, :, :, 0]).sum() == 4
    for row in rows_of(plan).to_dict("records"):
        ours = row["estimate"], row["low"], row["high"]
        assert ours == pytest.approx(expected(values, STATISTICS[row["comparison"]]), abs=1e-9)
        assert (row["seeds"], row["note"], row["reason"]) == (12, "4 of 24 runs diverged", "")


def test_if_all_runs_diverged_that_is_the_reason(make):
    rows = rows_of(make(lambda cell, run, epoch: (0.3, np.nan if epoch >= 3 else 60.0)))
    assert set(rows["reason"]) == {"diverged"} and set(rows["note"]) == {"24 of 24 runs diverged"}
    assert set(rows["claim_verdict"]) == set(rows["verdict"]) == {"no estimate"}


def test_too_few_conditions_have_a_correlation_and_no_test(make):
    """However many seeds they have."""
    rows = rows_of(make(depth=(1,), width=(24,), rates=(5e-3, 5e-2), seeds=3)).set_index("comparison")
    assert set(rows["verdict"]) == {"undecided"} and set(rows["reason"]) == {"too few"}
    assert set(rows["note"]) == {"2 conditions: too few to test a correlation"}
    rows = rows_of(make(depth=(1,), width=(24,), rates=(5e-3, 5e-2, 5e-4), seeds=1)).set_index("comparison")
    assert rows["note"].to_dict() == {OVER_EPOCHS: "", AT_THE_END: "3 conditions: too few to test a correlation"}
    assert rows["reason"].to_dict() == {OVER_EPOCHS: "", AT_THE_END: "too few"}


def test_conflicts_that_do_not_vary_have_no_correlation(make):
    rows = rows_of(make(lambda cell, run, epoch: (0.4, noise(cell, run, epoch)[1])))
    assert set(rows["reason"]) == {"no spread"} and set(rows["verdict"]) == {"no estimate"}


def test_one_run_has_no_correlation(make):
    table = rows_of(make(depth=(1,), width=(24,), rates=(5e-3,), seeds=1))
    assert set(table["verdict"]) == {"no estimate"}
    assert set(table["note"]) == {"1 condition: too few to test a correlation"}


def test_runs_that_are_not_selected_do_not_count(make):
    table = rows_of(make(only={"capacities": ["vit_d1_w24"]}))
    assert set(table["seeds"]) == {3}


def test_nothing_is_compared_where_nothing_was_counted(make_plan):
    preset = synthetic.preset("table_b")
    del preset["conflicts"]
    preset["artifacts"] = {"table_b": {"kind": "table_methods", "experiment": "other"}}
    assert list(conflicts_and_quality.compare(Evidence(make_plan(preset), 0.5))) == []


def simulated(rng, runs, r, epochs=5):
    """Runs whose conflicts and quality have a correlation r at each epoch, of their levels and of their noise alike."""
    levels, steps = rng.standard_normal((2, runs, 1)), rng.standard_normal((2, runs, epochs)).cumsum(axis=2)
    both = levels + 0.5 * steps
    both[1] = r * both[0] + math.sqrt(1 - r * r) * both[1]
    run, epoch = np.divmod(np.arange(runs * epochs), epochs)
    trend = np.array([[3.0], [8.0]]) * np.log1p(epoch)
    return conflicts.correlation_over_conditions(both.reshape(2, -1) + trend, run, epoch)


@pytest.mark.parametrize("runs", [4, 8, 12])
@pytest.mark.parametrize(("r", "wrong"), [(0.3, "supported"), (-0.3, "supported"), (0.299, "contradicted")])
def test_at_most_five_percent_of_verdicts_are_wrong(monkeypatch, runs, r, wrong):
    monkeypatch.setattr(inference, "units_needed", lambda *_: None)
    rng = np.random.default_rng(runs)
    estimates = [simulated(rng, runs, r) for _ in range(1000)]
    verdicts = pd.Series([inference.decide([(estimate, 0.3, "equivalent")])[0].verdict for estimate in estimates])
    assert (verdicts == wrong).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_many_runs_without_correlation_support_the_claim():
    rng = np.random.default_rng(0)
    decisions = [inference.decide([(simulated(rng, 150, 0.0), 0.3, "equivalent")])[0] for _ in range(50)]
    assert sum(decision.verdict == "supported" for decision in decisions) >= 35
