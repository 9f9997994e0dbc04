"""C12: exponents of time and memory against a regression by SciPy, on profiles whose costs are known."""

import math

import numpy as np
import pyarrow as pa
import pytest
import synthetic_methods as synthetic
from scipy import stats

from scalarization import storage
from scalarization.analysis import claims
from scalarization.analysis.claims import costs_of_methods
from scalarization.analysis.claims.evidence import Evidence
from scalarization.analysis.inference import interval

TASKS = [2, 5, 10, 20, 40]
METHODS = ("rlw", "uncertainty", "famo", "cagrad", "pcgrad", "rotograd")
#: Method -> exponent of time, of memory.
EXPONENTS = {"cagrad": (0.97, 0.4), "pcgrad": (1.1, 0.4), "rotograd": (0.3, 0.2)}


def ratios(method, tasks):
    """Time and memory relative to uniform: a power law, with noise of two percent that depends on both."""
    time, memory = EXPONENTS.get(method, (0.0, 0.0))
    noise = 1 + 0.02 * math.sin(7 * tasks + len(method))
    return 1.5 * noise * tasks**time, 1.2 * tasks**memory


@pytest.fixture
def rows_of(make_plan):
    """(ratios, tasks) -> comparison -> its row of the table of claims."""

    def rows_of(ratios=ratios, tasks=TASKS):
        preset = synthetic.preset({"table_costs": {"profile": "steps"}})
        preset["profiles"]["steps"].update(tasks=tasks, methods={method: {} for method in METHODS})
        plan = make_plan(preset)
        synthetic.write_profile(plan)
        file = plan.paths.profile_file("steps")
        rows = storage.read_table(file).to_pylist()
        for row in rows:
            if row["method"] != "uniform":
                row["time_ratio"], row["memory_ratio"] = ratios(row["method"], row["tasks"])
                row["seconds_per_step"] = 0.01 * row["time_ratio"]
        diverged = [row for row in rows if math.isnan(row["time_ratio"])]
        notes = [{name: row[name] for name in ("method", "tasks")} for row in diverged]
        storage.write_table(file, pa.Table.from_pylist(rows), {"environment": {}, "diverged": notes})
        evidence = Evidence(plan, 0.5)
        table = claims.table(lambda claim: claim.compare(evidence) if claim is costs_of_methods.CLAIM else ())
        table = table[table["claim"] == "C12"]
        return {row["comparison"]: row for row in table.to_dict("records")}

    return rows_of


def test_exponents_are_slopes_of_a_regression(rows_of):
    rows = rows_of()
    assert set(rows) == {f"{quantity} of {label}" for quantity in ("time", "peak memory") for label in LABELS.values()}
    for method, label in LABELS.items():
        row = rows[f"time of {label}"]
        fit = stats.linregress(np.log(TASKS), np.log([ratios(method, tasks)[0] for tasks in TASKS]))
        half = stats.t.ppf(0.975, 3) * fit.stderr
        expected = (fit.slope, fit.slope - half, fit.slope + half)
        assert (row["estimate"], row["low"], row["high"]) == pytest.approx(expected)
        assert (row["seeds"], row["unit"], row["reason"]) == (5, "numbers of tasks", "")
        p = 2 * stats.t.sf(abs(fit.slope) / fit.stderr, 3)
        if method not in EXPONENTS:
            p = max(stats.t.cdf((sign * fit.slope - 0.1) / fit.stderr, 3) for sign in (1, -1))
        assert row["p"] == pytest.approx(p)


LABELS = {
    **{"rlw": "RLW", "uncertainty": "Uncertainty", "famo": "FAMO"},
    **{"cagrad": "CAGrad", "pcgrad": "PCGrad", "rotograd": "RotoGrad"},
}


def test_gradient_based_methods_are_claimed_to_grow_and_others_not(rows_of):
    rows = rows_of()
    for method, label in LABELS.items():
        row = rows[f"time of {label}"]
        expected = ("positive", True) if method in EXPONENTS else ("equivalent", False)
        assert (row["hypothesis"], np.isnan(row["margin"])) == expected
    assert {row["verdict"] for row in rows.values()} == {"supported"}
    assert {row["claim_verdict"] for row in rows.values()} == {"supported"}
    row = rows["time of PCGrad"]
    assert (row["benchmark"], row["task_set"], row["capacity"]) == ("emoji_people", "2 to 40 attributes", "vit_d1_w48")


@pytest.mark.parametrize(
    ("method", "exponent"), [("rlw", 0.5), ("rlw", -0.5), ("pcgrad", -0.5)], ids=["grows", "shrinks", "does not grow"]
)
def test_other_growth_contradicts(rows_of, method, exponent):
    def other(name, tasks):
        time, memory = ratios(name, tasks)
        return (time * tasks ** (exponent - EXPONENTS.get(name, (0,))[0]) if name == method else time), memory

    rows = rows_of(other)
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    assert [name for name, verdict in verdicts.items() if verdict == "contradicted"] == [f"time of {LABELS[method]}"]
    assert {row["claim_verdict"] for row in rows.values()} == {"contradicted"}


def test_a_ratio_that_never_changes_is_known_to_a_thousandth(rows_of):
    """Peaks of memory can be the same to the byte; that is not the same as knowing nothing."""
    row = rows_of()["peak memory of RLW"]
    half = stats.t.ppf(0.975, 3) * 1e-3 / np.sqrt(np.sum((np.log(TASKS) - np.mean(np.log(TASKS))) ** 2))
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((0.0, -half, half), abs=1e-12)
    assert row["verdict"] == "supported"


def test_two_numbers_of_tasks_have_an_exponent_and_no_test(rows_of):
    row = rows_of(tasks=[2, 4])["time of PCGrad"]
    expected = math.log(ratios("pcgrad", 4)[0] / ratios("pcgrad", 2)[0]) / math.log(2)
    assert row["estimate"] == pytest.approx(expected)
    assert np.isnan(row["low"]) and row["verdict"] == "undecided"
    assert row["note"] == "2 numbers of tasks: nothing can be tested" and row["reason"] == "too few"


def test_one_number_of_tasks_has_no_exponent(rows_of):
    row = rows_of(tasks=[4])["time of PCGrad"]
    assert (row["verdict"], row["note"], row["reason"]) == ("no estimate", "one number of tasks", "too few")


def test_a_method_that_diverged_has_no_time(rows_of):
    def diverged(name, tasks):
        time, memory = ratios(name, tasks)
        return (math.nan if name == "cagrad" and tasks == 10 else time), memory

    rows = rows_of(diverged)
    row = rows["time of CAGrad"]
    assert (row["verdict"], row["note"]) == ("no estimate", "diverged while it was measured")
    assert row["reason"] == "diverged"
    assert np.isnan(row["estimate"]) and rows["peak memory of CAGrad"]["verdict"] == "supported"


def test_nothing_is_compared_without_a_profile(make_plan):
    preset = synthetic.preset({"table_b": {"kind": "table_methods", "experiment": "people"}})
    del preset["profiles"]
    assert list(costs_of_methods.compare(Evidence(make_plan(preset), 0.5))) == []


def test_intervals_cover_the_exponent():
    """Of 2,000 simulated profiles with five percent of noise. Of T backward passes next to a forward pass b = 0.93."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        noisy = 3.0 * np.array(TASKS) ** 0.7 * np.exp(0.05 * rng.standard_normal(5))
        low, high = interval(costs_of_methods.exponent(TASKS, noisy))
        covered += low < 0.7 < high
    assert 0.93 <= covered / 2000 <= 0.97
    passes = [(1 + 2 * tasks) / 3 for tasks in TASKS]
    assert costs_of_methods.exponent(TASKS, passes).value == pytest.approx(0.93, abs=0.005)
