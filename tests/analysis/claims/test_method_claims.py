"""C6, C7, C8, C11 and C13, against what NumPy and SciPy make of the run files."""

import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import synthetic
import synthetic_methods
import synthetic_searches
from hypothesis import given
from hypothesis import strategies as st

from scalarization import storage
from scalarization.analysis import claims
from scalarization.analysis.claims import (
    equal_compute,
    method_pairs,
    search_against_grid,
    searched_against_optimisers,
    uniform_against_optimisers,
    whole_policy,
)
from scalarization.analysis.claims.evidence import Evidence
from scalarization.specification import SearchReference

TASKS = synthetic_searches.TASKS
DEPTHS = (1, 2)
CAPACITIES = {"family": "vit", "depth": list(DEPTHS), "width": [48]}
#: Key of a search -> method, N, how many searches. All have r = 1/2.
SEARCHES = {
    "pbt": ("pbt", 6, 1),
    "pb2": ("pb2", 4, 2),
    "lr": ("search_lr", 6, 4),
    "lr_small": ("search_lr", 4, 4),
}
POINTS = [[0.2, 0.2, 0.6], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.4, 0.4, 0.2]]
SEEDS = 5
#: Of one capacity and fewer seeds.
RARE, RARE_SEEDS = "pcgrad", 3
MARGIN = 0.4
SHIFT = {"uniform": 0.1, "cagrad": 0.0, "uncertainty": -3.0, "pcgrad": 0.2, "pbt": 0.3, "pb2": -0.2, "search_lr": -0.4}


def noise(cell, run, split, task, metric):
    """Accuracies around 80 that depend on everything that sets two numbers apart."""
    identity = f"{cell.name} {run.weight_setting} {run.seed} {split} {task}"
    draw = np.random.default_rng(zlib.crc32(identity.encode()))
    return 80 + SHIFT.get(cell.method, 0.0) + 0.3 * draw.standard_normal() if metric == "accuracy" else None


def searches():
    """The searches of the preset."""
    return {
        key: synthetic_searches.search(
            architectures=CAPACITIES, method=method, population=population, fraction=0.5, seeds=repetitions
        )
        for key, (method, population, repetitions) in SEARCHES.items()
    }


def trained(methods, depths=DEPTHS, seeds=SEEDS, **changes):
    """An experiment on three attributes."""
    architectures = {**CAPACITIES, "depth": list(depths)}
    return synthetic_methods.experiment(
        task_sets={"three": TASKS}, architectures=architectures, methods=methods, seeds=seeds, **changes
    )


EXPERIMENTS = {
    "all": trained({"uniform": {}, "rlw": {}, "cagrad": {}, "uncertainty": {}, "grid": {"points": POINTS}}),
    "rare": trained({RARE: {}}, depths=[2], seeds=RARE_SEEDS),
    "pbt": trained({"pbt": {"search": "pbt"}}, variants={"base": {}, "last": {"policy": "last"}}),
    "pb2": trained({"pb2": {"search": "pb2"}, "search_lr": {"search": "lr"}}),
    "lr_small": trained({"search_lr": {"search": "lr_small"}}, variants={"small": {"search": "lr_small"}}),
}


@pytest.fixture
def make(make_plan):
    """(value, experiments, **knobs) -> plan with its run files."""

    def make(value=noise, experiments=EXPERIMENTS, **knobs):
        content = synthetic_searches.preset({"table_b": {"kind": "table_methods", "experiment": "all"}}, searches())
        plan = make_plan({**content, "experiments": experiments}, **knobs)
        synthetic_methods.write_runs(plan, value)
        return plan

    return make


def rows_of(claim, plan):
    """Comparison -> its row, of one claim."""
    evidence = Evidence(plan, MARGIN)
    table = claims.table(lambda other: other.compare(evidence) if other is claim else ())
    rows = table[(table["claim"] == claim.name) & table["comparison"].notna()].to_dict("records")
    return {row["comparison"]: row for row in rows}


def averages(plan, method, depth, split="test", variant="base"):
    """Averages over tasks at the last epoch, from the run file alone [weight settings, seeds]."""
    cell = plan.cells[f"emoji_people/three/vit_d{depth}_w48/{method}/{variant}"]
    rows = storage.read_run_file(plan.paths.run_file(cell)).to_pandas()
    rows = rows[(rows["epoch"] == rows["epoch"].max()) & (rows["split"] == split) & (rows["metric"] == "accuracy")]
    return rows.groupby(["weight_setting", "seed"])["value"].mean().unstack("seed").to_numpy()


def over_capacities(plan, first, second, depths=DEPTHS, seeds=SEEDS):
    """First minus second, mean over capacities [seeds]."""
    return np.mean([averages(plan, first, d)[0][:seeds] - averages(plan, second, d)[0][:seeds] for d in depths], axis=0)


def holm(p_values):
    """Holm's adjusted p-values as he defines them."""
    order = np.argsort(p_values)
    steps = np.minimum(1, (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values)[order])
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def p_value(values, hypothesis):
    """p-value of support."""
    if hypothesis == "positive":
        return scipy.stats.ttest_1samp(values, 0).pvalue
    above = scipy.stats.ttest_1samp(values, -MARGIN, alternative="greater").pvalue
    if hypothesis == "not_worse":
        return above
    return max(above, scipy.stats.ttest_1samp(values, MARGIN, alternative="less").pvalue)


def check(rows, expected, hypothesis):
    """All rows have the numbers of these values, one per independent unit."""
    assert list(rows) == list(expected)
    p_values = [p_value(values, hypothesis) for values in expected.values()]
    for row, values, p, adjusted in zip(rows.values(), expected.values(), p_values, holm(p_values), strict=True):
        interval = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        numbers = [row[name] for name in ("estimate", "low", "high", "p", "p_adjusted")]
        assert numbers == pytest.approx([np.mean(values), *interval, p, adjusted], rel=1e-9, abs=1e-12)
        assert row["seeds"] == len(values) and row["hypothesis"] == hypothesis
        assert row["statistic"] == "test average, points"
        assert (row["benchmark"], row["task_set"]) == ("emoji_people", "three")


# --- C6 and C7 ---


def test_uniform_weights_against_every_optimiser(make):
    plan = make()
    rows = rows_of(uniform_against_optimisers.CLAIM, plan)
    expected = {
        "Uniform - Uncertainty": over_capacities(plan, "uniform", "uncertainty"),
        "Uniform - CAGrad": over_capacities(plan, "uniform", "cagrad"),
        # Only of the capacity and the seeds that both have.
        "Uniform - PCGrad": over_capacities(plan, "uniform", RARE, [2], RARE_SEEDS),
    }
    check(rows, expected, "equivalent")
    assert [row["capacity"] for row in rows.values()] == ["all", "all", "vit_d2_w48"]
    assert [row["note"] for row in rows.values()] == [
        "",
        "",
        "seeds 3, 4 left out: not run of everything that is compared",
    ]
    assert [row["margin"] for row in rows.values()] == [MARGIN] * 3
    assert rows["Uniform - Uncertainty"]["verdict"] == "contradicted"
    assert rows["Uniform - CAGrad"]["verdict"] == "supported"


def test_optimisers_act_at_every_step():
    optimisers = method_pairs.optimisers()
    assert {"uncertainty", "imtl_l", "dwa", "famo", "cagrad", "graddrop", "pcgrad", "rotograd"} <= set(optimisers)
    assert not {"uniform", "rlw", "proportional", "grid", "single", "pbt", "pb2", "search_lr"} & set(optimisers)


def test_searched_weights_against_every_optimiser(make):
    plan = make()
    rows = rows_of(searched_against_optimisers.CLAIM, plan)

    def by_search(values):
        """Seeds 0, 2, 4 take the first of two searches of PB2, the others the second one."""
        return np.array([values[::2].mean(), values[1::2].mean()])

    pb2 = {m: over_capacities(plan, "pb2", m) for m in ("uncertainty", "cagrad")}
    pb2[RARE] = over_capacities(plan, "pb2", RARE, [2], RARE_SEEDS)
    expected = {
        "PBT - Uncertainty": over_capacities(plan, "pbt", "uncertainty"),
        "PBT - CAGrad": over_capacities(plan, "pbt", "cagrad"),
        "PBT - PCGrad": over_capacities(plan, "pbt", RARE, [2], RARE_SEEDS),
        "PB2 - Uncertainty": by_search(pb2["uncertainty"]),
        "PB2 - CAGrad": by_search(pb2["cagrad"]),
        "PB2 - PCGrad": by_search(pb2[RARE]),
    }
    check(rows, expected, "not_worse")
    assert rows["PBT - Uncertainty"]["verdict"] == "supported"
    # One search of PBT and two of PB2 at each of two capacities; PCGrad has one.
    assert rows["PBT - CAGrad"]["note"] == method_pairs.SHARED.format(2)
    assert rows["PBT - PCGrad"]["note"].startswith(method_pairs.ONE_SEARCH)
    assert rows["PB2 - CAGrad"]["note"].endswith("4 searches: seeds that share one are averaged")
    assert [row["unit"] for row in rows.values()] == ["seeds"] * 3 + ["searches"] * 3


def test_a_diverged_run_leaves_no_number(make):
    plan = make()
    cell = plan.cells["emoji_people/three/vit_d1_w48/cagrad/base"]
    synthetic.diverge(plan, cell, cell.runs[1])
    row = rows_of(uniform_against_optimisers.CLAIM, plan)["Uniform - CAGrad"]
    assert np.isnan(row["estimate"]) and row["verdict"] == "no estimate" and row["note"] == "diverged in 1 of 5 seeds"


def test_what_was_not_run_is_not_compared(make):
    plan = make(experiments={"all": trained({"rlw": {}, "cagrad": {}, "grid": {"points": POINTS}})})
    for module in (uniform_against_optimisers, searched_against_optimisers, search_against_grid, equal_compute):
        assert rows_of(module.CLAIM, plan) == {}


def test_only_what_is_selected_is_compared(make):
    plan = make(only={"capacities": ["vit_d1_w48"], "seeds": [0, 1, 2, 3]})
    rows = rows_of(uniform_against_optimisers.CLAIM, plan)
    methods = {"Uniform - Uncertainty": "uncertainty", "Uniform - CAGrad": "cagrad"}
    check(rows, {name: over_capacities(plan, "uniform", m, [1], 4) for name, m in methods.items()}, "equivalent")


def test_the_order_of_experiments_does_not_matter(make):
    """The first one has fewer seeds of PCGrad and another search of PBT; `base` is what has the method's name."""
    more = {
        "some": trained({RARE: {}, "uniform": {}}, seeds=2),
        "more": trained({RARE: {}}, seeds=4),
        "other": trained({"pbt": {"search": "pbt"}}, variants={"again": {"policy": "last"}, "another": {}}),
    }
    experiments = {**more, "all": EXPERIMENTS["all"], "pbt": EXPERIMENTS["pbt"]}
    found = []
    for names in (list(experiments), list(experiments)[::-1]):
        plan = make(experiments={name: experiments[name] for name in names})
        rows = [rows_of(claim.CLAIM, plan) for claim in (uniform_against_optimisers, searched_against_optimisers)]
        assert rows[0]["Uniform - PCGrad"]["seeds"] == 4
        expected = over_capacities(plan, "uniform", RARE, seeds=4).mean()
        assert rows[0]["Uniform - PCGrad"]["estimate"] == pytest.approx(expected, rel=1e-9)
        found.append(rows)
    assert found[0] == found[1]


def test_families_of_architectures_are_comparisons_of_their_own(make):
    resnets = {"family": "resnet", "depth": [14], "width": [16, 32]}
    both = {
        "all": trained({"uniform": {}, "cagrad": {}}),
        "resnets": {**trained({"uniform": {}, "cagrad": {}}), "architectures": resnets},
    }
    comparisons = list(uniform_against_optimisers.CLAIM.compare(Evidence(make(experiments=both), MARGIN)))
    assert [c.capacity for c in comparisons] == ["all vit", "all resnet"]


# --- C8 ---


def test_whole_policy_against_last_weights(make):
    plan = make()
    values = [averages(plan, "pbt", d)[0] - averages(plan, "pbt", d, variant="last")[0] for d in DEPTHS]
    rows = rows_of(whole_policy.CLAIM, plan)
    check(rows, {"PBT: whole policy - last weights": np.mean(values, axis=0)}, "positive")


# --- C11 ---


def left_out(plan, seeds):
    """PBT minus the grid's point that all seeds but one choose, mean over capacities [seeds]."""
    by_capacity = []
    for depth in DEPTHS:
        validation, test = (averages(plan, "grid", depth, split)[:, seeds] for split in ("validation", "test"))
        pbt = averages(plan, "pbt", depth)[0][seeds]
        chosen = [np.delete(validation, s, axis=1).mean(axis=1).argmax() for s in range(len(seeds))]
        by_capacity.append([pbt[s] - test[chosen[s], s] for s in range(len(seeds))])
    return np.mean(by_capacity, axis=0)


def test_search_against_the_grid_point_that_other_seeds_choose(make):
    plan = make()
    (row,) = rows_of(search_against_grid.CLAIM, plan).values()
    seeds = np.arange(SEEDS)
    mean = left_out(plan, seeds).mean()
    # The jackknife over seeds: what the cross-fitted mean would be without each of them.
    without = np.array([left_out(plan, np.delete(seeds, s)).mean() for s in seeds])
    error = np.sqrt((SEEDS - 1) / SEEDS * ((without - without.mean()) ** 2).sum())
    low, high = scipy.stats.t.interval(0.95, SEEDS - 1, mean, error)
    p = scipy.stats.t.sf((mean + MARGIN) / error, SEEDS - 1)
    numbers = [row[name] for name in ("estimate", "low", "high", "p", "p_adjusted")]
    assert numbers == pytest.approx([mean, low, high, p, p], rel=1e-9)
    assert row["comparison"] == "PBT - Grid, p*" and row["seeds"] == SEEDS
    # Two capacities: 2 (6 / 2 + 1) trainings against 2 x 4 points.
    assert row["note"].endswith("trainings: 8 of PBT (N r + 1), 8 of the grid (points), ratio 1.00")


def test_grid_points_are_not_chosen_by_test(make):
    """Validation prefers one point and test another: the estimate is that of validation's."""

    def value(cell, run, split, task, metric):
        number = noise(cell, run, split, task, metric)
        better = {"validation": 1, "test": 2}.get(split)
        return number if number is None or cell.method != "grid" else number + 10 * (run.weight_setting == better)

    plan = make(value)
    (row,) = rows_of(search_against_grid.CLAIM, plan).values()
    expected = np.mean([averages(plan, "pbt", d)[0] - averages(plan, "grid", d)[1] for d in DEPTHS], axis=0)
    check({row["comparison"]: row}, {"PBT - Grid, p*": expected}, "not_worse")


# --- C13 ---


def test_searched_weights_against_a_searched_learning_rate_at_the_same_budget(make):
    plan = make()
    rows = rows_of(equal_compute.CLAIM, plan)
    small = [averages(plan, "pb2", d)[0] - averages(plan, "search_lr", d, variant="small")[0] for d in DEPTHS]
    small = np.mean(small, axis=0)
    expected = {
        # One search of PBT, four of the learning rate.
        "PBT - Uniform, searched lr": over_capacities(plan, "pbt", "search_lr"),
        # Two searches of PB2 and four of the learning rate: even seeds and odd seeds share none.
        "PB2 - Uniform, searched lr": np.array([small[::2].mean(), small[1::2].mean()]),
    }
    check(rows, expected, "positive")
    notes = [row["note"] for row in rows.values()]
    assert "4 trainings each" in notes[0] and "3 trainings each" in notes[1]


def test_unequal_budgets_give_no_estimate(make):
    experiments = {name: EXPERIMENTS[name] for name in ("all", "pb2")}
    (row,) = rows_of(equal_compute.CLAIM, make(experiments=experiments)).values()
    assert np.isnan(row["estimate"]) and row["verdict"] == "no estimate"
    assert row["note"] == "not at equal compute: 3 trainings against 4"


# --- Seeds that share a search ---


def cell_of(repetitions, name="s"):
    """A cell whose search is repeated; 0 for one without a search."""
    first, *others = [SearchReference(f"{name}{n}", "whole", {}) for n in range(repetitions)] or [None]
    search = replace(first, others=tuple(others)) if first else None
    return SimpleNamespace(specification=SimpleNamespace(search=search))


SQUARES = [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize(
    ("repetitions", "seeds", "expected", "note"),
    [
        ([0], range(6), SQUARES, ""),
        ([1], range(6), SQUARES, method_pairs.ONE_SEARCH),
        ([1, 0], range(6), SQUARES, method_pairs.ONE_SEARCH),
        ([0, 2], range(6), [20 / 3, 35 / 3], "2 searches: seeds that share one are averaged"),
        ([3], range(6), [4.5, 8.5, 14.5], "3 searches: seeds that share one are averaged"),
        ([4], range(6), [8, 13, 4, 9], "4 searches: seeds that share one are averaged"),
        ([2, 4], range(6), [20 / 3, 35 / 3], "6 searches: seeds that share one are averaged"),
        ([2, 3], range(6), SQUARES, method_pairs.SHARED.format(5)),
        ([1, 6], range(6), SQUARES, method_pairs.SHARED.format(7)),
        ([6], range(6), SQUARES, ""),
        ([2], [0, 2, 4], [0, 4, 16], method_pairs.ONE_SEARCH),
        ([2], [0, 1], [0, 1], ""),
        # Seeds 0 and 2 share a search; 3 shares none that was used.
        ([2, 4], [0, 2, 3], [2, 9], "5 searches: seeds that share one are averaged"),
    ],
)
def test_seeds_that_share_a_search_are_one_unit(repetitions, seeds, expected, note):
    cells = [cell_of(count, f"s{place}/") for place, count in enumerate(repetitions)]
    values, unit, noted = method_pairs.independent({seed: seed**2 for seed in seeds}, cells)
    assert values == pytest.approx(expected) and noted == note
    assert unit == ("searches" if len(values) < len(seeds) else "seeds")


def test_capacities_that_take_the_same_searches_are_connected_by_seed_alone():
    """Both models take their weights from the same two searches."""
    values, _, note = method_pairs.independent({seed: seed**2 for seed in range(4)}, [cell_of(2), cell_of(2)])
    assert values == [2, 5] and note == "2 searches: seeds that share one are averaged"


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=3),
    st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True),
)
def test_units_share_no_search(repetitions, seeds):
    """Seeds of two units use different searches; there are no finer units: each is connected."""
    cells = [cell_of(count, f"s{place}/") for place, count in enumerate(repetitions)]
    values, unit, note = method_pairs.independent({seed: float(2**seed) for seed in seeds}, cells)
    used = {seed: {(place, seed % k) for place, k in enumerate(repetitions) if k} for seed in seeds}
    left, components = set(seeds), []
    while left:
        reached, added = set(), {left.pop()}
        while added:
            reached |= added
            added = {other for other in left for seed in added if used[other] & used[seed]}
            left -= added
        components.append(reached)
    if len(components) == 1 or unit == "seeds":
        assert sorted(values) == sorted(2.0**seed for seed in seeds)
        assert (len(components) in (1, len(seeds))) and bool(note) == (len(components) == 1 and any(repetitions))
    else:
        assert sorted(values) == pytest.approx(sorted(np.mean([2.0**s for s in part]) for part in components))


def test_intervals_cover_the_mean_over_searches():
    """Searches deviate by 1, retrainings by 0.2: single seeds as units would cover far too seldom."""
    draw = np.random.default_rng(5)
    rounds, repetitions, seeds = 2000, 4, 12
    covered = {"searches": 0, "seeds": 0}
    for _ in range(rounds):
        of_search = draw.standard_normal(repetitions)
        by_seed = {s: of_search[s % repetitions] + 0.2 * draw.standard_normal() for s in range(seeds)}
        units, *_ = method_pairs.independent(by_seed, [cell_of(repetitions)])
        for name, values in (("searches", units), ("seeds", list(by_seed.values()))):
            low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
            covered[name] += low < 0 < high
    assert 0.93 < covered["searches"] / rounds < 0.97 and covered["seeds"] / rounds < 0.85


# --- Losses ---


def test_losses_are_compared_in_percent_of_the_second_and_less_is_better(make_plan):
    content = synthetic.dense_preset(
        "table_methods",
        methods={"uniform": {}, "mgda": {}, "grid": {"p1": [0.2, 0.6]}, "pbt": {"search": "s"}},
        seeds=4,
    )
    content["searches"] = {
        "s": {
            "benchmark": "motorcycle",
            "task_set": {"pair": ["segmentation_2d", "depth"]},
            "architectures": {"family": "dense", "depth": [26], "width": [8, 16], "shared_layers": [0]},
            "method": "pbt",
            "population": 4,
            "epochs_ready": 2,
        }
    }

    def loss(cell, run, split, task, metric):
        # The second point of the grid is the better one on validation.
        identity = f"{cell.name} {run.weight_setting} {run.seed} {split} {task}"
        noise = np.random.default_rng(zlib.crc32(identity.encode())).uniform(0.0, 0.1)
        return 0.5 + noise - 0.2 * (split == "validation" and run.weight_setting == 1)

    plan = make_plan(content)
    synthetic.write_runs(plan, loss)

    def averages(method, width, setting=0):
        cell = plan.cells[f"motorcycle/pair/dense26_w{width}_shr0/{method}/base"]
        rows = storage.read_run_file(plan.paths.run_file(cell)).to_pandas()
        rows = rows[(rows["epoch"] == rows["epoch"].max()) & (rows["split"] == "test") & (rows["metric"] == "l1")]
        return rows[rows["weight_setting"] == setting].groupby("seed")["value"].mean().to_numpy()

    def gains(first, second, setting=0):
        pairs = [(averages(first, width), averages(second, width, setting)) for width in (8, 16)]
        return np.mean([100 * (theirs - ours) / theirs for ours, theirs in pairs], axis=0)

    evidence = Evidence(plan, MARGIN)
    (uniform,) = uniform_against_optimisers.compare(evidence)
    (grid,) = search_against_grid.compare(evidence)
    for comparison, values in ((uniform, gains("uniform", "mgda")), (grid, gains("pbt", "grid", 1))):
        expected = [np.mean(values), scipy.stats.sem(values), 3]
        estimate = comparison.estimate
        assert [estimate.value, estimate.error, estimate.dof] == pytest.approx(expected, rel=1e-9)
        assert comparison.statistic == "test average, % of l1"
