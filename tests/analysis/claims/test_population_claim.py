"""C10: larger populations against the smallest one, against what NumPy makes of the run files."""

import zlib

import numpy as np
import pytest
import scipy.stats
import synthetic
import synthetic_methods
import synthetic_searches

from scalarization import storage
from scalarization.analysis import claims
from scalarization.analysis.claims import method_pairs, population_size
from scalarization.analysis.claims.evidence import Evidence

TASKS = synthetic_searches.TASKS
MARGIN = 0.25
#: Key of a search -> N, E. N = 6 was searched with another E too, which N = 3 was not.
STUDY = {"n3_e1": (3, 1), "n3_e2": (3, 2), "n4_e1": (4, 1), "n4_e2": (4, 2), "n6_e1": (6, 1), "n6_e4": (6, 4)}


def value(cell, run, split, task, metric):
    """Accuracies by cell, seed and task; N helps a little."""
    draw = np.random.default_rng(zlib.crc32(f"{cell.name} {run.seed} {split} {task}".encode()))
    return 75 + 0.2 * draw.standard_normal() if metric == "accuracy" else None


@pytest.fixture
def make(make_plan):
    """(seeds of every search, changes of single searches, further experiments) -> plan."""

    def make(repetitions=1, changes=None, value=value, **experiments):
        searches = {
            key: synthetic_searches.search(
                **{
                    "population": population,
                    "epochs_ready": epochs,
                    "seeds": repetitions,
                    "changes": {"recipe": {"epochs": 6}},
                    **(changes or {}).get(key, {}),
                }
            )
            for key, (population, epochs) in STUDY.items()
        }
        study = synthetic_methods.experiment(
            task_sets={"three": TASKS},
            methods={"pbt": {"search": "n3_e1"}},
            variants={"base": {}, **{key: {"search": key} for key in STUDY if key != "n3_e1"}},
            seeds=4,
        )
        reference = synthetic_methods.experiment(
            task_sets={"three": TASKS}, methods={"uniform": {}, "rlw": {}}, seeds=4
        )
        experiments = {"reference": reference, "study": study, **experiments}
        plan = make_plan(
            synthetic_searches.preset(
                {"rebuttal_table_1a": {"experiments": list(experiments)}}, searches, **experiments
            )
        )
        synthetic_methods.write_runs(plan, value)
        return plan

    return make


def compared(plan):
    """Comparison -> what it says."""
    found = {c.comparison: c for c in population_size.compare(Evidence(plan, MARGIN))}
    assert all((c.benchmark, c.task_set, c.margin) == ("emoji_people", "three", MARGIN) for c in found.values())
    return found


def averages(plan, key):
    """Test averages over tasks at the last epoch [seeds]."""
    variant = "base" if key == "n3_e1" else key
    cell = plan.cells[f"emoji_people/three/vit_d1_w48/pbt/{variant}"]
    rows = storage.read_run_file(plan.paths.run_file(cell)).to_pandas()
    rows = rows[(rows["epoch"] == 4) & (rows["split"] == "test") & (rows["metric"] == "accuracy")]
    return rows.groupby("seed")["value"].mean().to_numpy()


def check(estimate, values):
    error = scipy.stats.sem(values)
    numbers = [estimate.value, estimate.error, estimate.dof, estimate.units]
    assert numbers == pytest.approx([np.mean(values), error, len(values) - 1, len(values)], rel=1e-9, abs=1e-12)


def test_larger_populations_minus_the_smallest_at_equal_intervals(make):
    plan = make()
    found = compared(plan)
    assert list(found) == ["PBT: N = 3 - N = 4", "PBT: N = 3 - N = 6"]
    of = {key: averages(plan, key) for key in STUDY}
    four = (of["n3_e1"] - of["n4_e1"] + of["n3_e2"] - of["n4_e2"]) / 2
    check(found["PBT: N = 3 - N = 4"].estimate, four)
    # N = 6 has E = 1 in common with N = 3; E = 4 is of N = 6 alone.
    check(found["PBT: N = 3 - N = 6"].estimate, of["n3_e1"] - of["n6_e1"])
    assert found["PBT: N = 3 - N = 4"].note == method_pairs.SHARED.format(4)


def test_each_setting_has_its_own_smallest_population(make):
    """E = 4 was searched with N = 4 and 6 alone; so what is smallest there is not so with E = 1."""
    plan = make(changes={"n4_e2": {"epochs_ready": 4}})
    found, of = compared(plan), {key: averages(plan, key) for key in STUDY}
    assert list(found) == [f"PBT: N = {pair}" for pair in ("3 - N = 4", "3 - N = 6", "4 - N = 6")]
    check(found["PBT: N = 4 - N = 6"].estimate, of["n4_e2"] - of["n6_e4"])
    check(found["PBT: N = 3 - N = 6"].estimate, of["n3_e1"] - of["n6_e1"])


@pytest.mark.parametrize(("gain", "verdict"), [(-2.0, "supported"), (0.0, "supported"), (2.0, "contradicted")])
def test_only_a_larger_population_that_is_better_contradicts(make, gain, verdict):
    def value(cell, run, split, task, metric):
        search = cell.specification.search
        is_larger = search is not None and search.details["population"] > 3
        return 75 + gain * is_larger + 0.02 * run.seed * (1 + is_larger) if metric == "accuracy" else None

    plan = make(value=value)
    table = claims.table(lambda c: c.compare(Evidence(plan, MARGIN)) if c is population_size.CLAIM else ())
    assert set(table.loc[table["claim"] == "C10", "verdict"]) == {verdict}


def test_repeated_searches_are_the_units(make):
    plan = make(repetitions=2)
    of = {key: averages(plan, key) for key in STUDY}
    six = of["n3_e1"] - of["n6_e1"]
    check(compared(plan)["PBT: N = 3 - N = 6"].estimate, [six[[0, 2]].mean(), six[[1, 3]].mean()])


def test_searches_that_differ_in_more_than_size_and_seed_are_not_compared(make):
    """Another Q for N = 4 throughout, another r for N = 6; another seed of the search is no reason."""
    changes = {"n4_e1": {"quantile": 0.5}, "n4_e2": {"quantile": 0.5}, "n6_e1": {"fraction": 0.5}, "n3_e1": {"seed": 7}}
    assert compared(make(changes=changes)) == {}
    changes = {"n4_e1": {"seed": 3}, "n4_e2": {"quantile": 0.5}}
    plan = make(changes=changes)
    check(compared(plan)["PBT: N = 3 - N = 4"].estimate, averages(plan, "n3_e1") - averages(plan, "n4_e1"))


def test_last_weights_are_left_out(make):
    last = synthetic_methods.experiment(
        task_sets={"three": TASKS},
        methods={"pbt": {"search": "n6_e1", "policy": "last"}},
        variants={"last": {}},
        seeds=4,
    )
    plan = make(last=last)
    check(compared(plan)["PBT: N = 3 - N = 6"].estimate, averages(plan, "n3_e1") - averages(plan, "n6_e1"))


def test_a_diverged_run_leaves_no_number(make):
    plan = make()
    cell = plan.cells["emoji_people/three/vit_d1_w48/pbt/n6_e1"]
    synthetic.diverge(plan, cell, cell.runs[3])
    found = compared(plan)
    assert found["PBT: N = 3 - N = 6"].estimate is None and found["PBT: N = 3 - N = 4"].estimate is not None
    assert found["PBT: N = 3 - N = 6"].note.startswith("diverged in 1 of 4 seeds")
