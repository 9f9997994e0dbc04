"""C9: policies of small models on large ones, against what NumPy makes of the run files."""

import zlib

import numpy as np
import pytest
import synthetic_methods
import synthetic_searches

from scalarization import storage
from scalarization.analysis.claims import method_pairs
from scalarization.analysis.claims.evidence import Evidence
from scalarization.analysis.claims.small_model_policy import CLAIM

TASKS = synthetic_searches.TASKS
SEEDS = 4
MARGIN = 0.5


def value(cell, run, split, task, metric):
    identity = f"{cell.name} {run.seed} {split} {task}"
    return 80 + np.random.default_rng(zlib.crc32(identity.encode())).normal() if metric == "accuracy" else None


def searched(depths, key="found", **variants):
    return synthetic_methods.experiment(
        task_sets={"three": TASKS},
        architectures={"family": "vit", "depth": list(depths), "width": [48]},
        methods={"pbt": {"search": key}},
        variants=variants or {"base": {}},
        seeds=SEEDS,
    )


@pytest.fixture
def compare(make_plan):
    """(changes of further searches, experiments) -> plan and comparisons by their names."""

    def compare(others=None, **experiments):
        capacities = {"family": "vit", "depth": [1, 2, 3], "width": [48]}
        changes = {"found": {}, **(others or {})}
        searches = {key: synthetic_searches.search(architectures=capacities, **c) for key, c in changes.items()}
        artifacts = {"table_methods": {"experiments": list(experiments)}}
        plan = make_plan(synthetic_searches.preset(artifacts, searches, **experiments))
        synthetic_searches.write(plan, value)
        return plan, {c.comparison: c for c in CLAIM.compare(Evidence(plan, MARGIN))}

    return compare


def averages(plan, depth, variant):
    """Test averages over tasks at the last epoch [seeds]."""
    cell = plan.cells[f"emoji_people/three/vit_d{depth}_w48/pbt/{variant}"]
    rows = storage.read_run_file(plan.paths.run_file(cell)).to_pandas()
    rows = rows[(rows["epoch"] == rows["epoch"].max()) & (rows["split"] == "test") & (rows["metric"] == "accuracy")]
    return rows.groupby("seed")["value"].mean().to_numpy()


def test_policy_of_a_small_model_less_that_of_the_model_itself(compare):
    plan, comparisons = compare(own=searched([2, 3]), small=searched([2, 3], from_small={"search_on": "vit_d1_w48"}))
    (comparison,) = comparisons.values()
    assert comparison.comparison == "PBT: searched on vit_d1_w48 - on the model itself"
    assert (comparison.benchmark, comparison.task_set, comparison.capacity) == ("emoji_people", "three", "all")
    assert (comparison.margin, comparison.statistic) == (MARGIN, "test average, points")
    by_seed = np.mean([averages(plan, d, "from_small") - averages(plan, d, "base") for d in (2, 3)], axis=0)
    assert comparison.estimate.value == pytest.approx(by_seed.mean(), rel=1e-9)
    assert comparison.estimate.error == pytest.approx(by_seed.std(ddof=1) / np.sqrt(SEEDS), rel=1e-9)
    # That of the small model, and one on each of both.
    assert comparison.note == method_pairs.SHARED.format(3)


def test_only_policies_of_smaller_models_bear_on_it(compare):
    # The policy of depth 2 is taken by depth 1, which is smaller, and by depth 3.
    plan, comparisons = compare(own=searched([1, 2, 3]), other=searched([1, 3], from_other={"search_on": "vit_d2_w48"}))
    (comparison,) = comparisons.values()
    difference = averages(plan, 3, "from_other") - averages(plan, 3, "base")
    assert comparison.estimate.value == pytest.approx(difference.mean(), rel=1e-9)


def test_last_weights_of_a_small_model_are_something_else(compare):
    last = {"last_of_small": {"search_on": "vit_d1_w48", "policy": "last"}, "last": {"policy": "last"}}
    _, comparisons = compare(own=searched([2]), last=searched([2], **last))
    assert comparisons == {}


def test_unequal_searches_give_no_estimate(compare):
    """N = 3 on the small model against N = 4 on the large one: the difference is one of budgets."""
    small = searched([2, 3], from_small={"search_on": "vit_d1_w48"})
    other = {"large": {"population": 4, "quantile": 0.5}}
    _, comparisons = compare(other, own=searched([2, 3], key="large"), small=small)
    (comparison,) = comparisons.values()
    assert (comparison.estimate, comparison.reason, comparison.margin) == (None, "not comparable", MARGIN)
    budgets = "N = 3, E = 2, Q = 0.25, r = 0.7, 5 epochs against N = 4, E = 2, Q = 0.5, r = 0.7, 5 epochs"
    assert comparison.note == f"unequal searches: {budgets} on vit_d2_w48, vit_d3_w48"


def test_capacities_with_unequal_searches_are_left_out(compare):
    """Another seed of the search is no other budget."""
    small = searched([2, 3], from_small={"search_on": "vit_d1_w48"})
    other = {"large": {"population": 4}, "again": {"seed": 5}}
    experiments = {"own": searched([2], key="large"), "again": searched([3], key="again"), "small": small}
    plan, comparisons = compare(other, **experiments)
    (comparison,) = comparisons.values()
    difference = averages(plan, 3, "from_small") - averages(plan, 3, "base")
    assert comparison.estimate.value == pytest.approx(difference.mean(), rel=1e-9)
    assert comparison.capacity == "vit_d3_w48"
    assert comparison.note.endswith("; vit_d2_w48 left out: unequal searches")


def test_without_a_search_on_the_model_itself_there_is_nothing_to_compare_with(compare):
    _, comparisons = compare(small=searched([2], from_small={"search_on": "vit_d1_w48"}))
    assert comparisons == {}


def test_a_small_model_must_not_lose_more_than_the_margin():
    assert CLAIM.hypothesis == "not_worse"
    assert set(CLAIM.answers) == {"supported", "contradicted", "undecided"}
