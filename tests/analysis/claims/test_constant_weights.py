"""C1 to C4, against what NumPy makes of the run files: every statistic again without each seed."""

import math
import zlib

import numpy as np
import pytest
import synthetic

from scalarization import storage
from scalarization.analysis.claims import (
    capacity_of_best_weights,
    constant_weights,
    gain_with_capacity,
    test_and_training,
    tuned_weights,
)
from scalarization.analysis.claims.evidence import Evidence

TASKS = ["mnist", "optdigits"]
SEEDS = 5
MARGIN = 0.5
CLAIMS = {
    claim.number: claim
    for claim in (
        gain_with_capacity.CLAIM,
        tuned_weights.CLAIM,
        capacity_of_best_weights.CLAIM,
        test_and_training.CLAIM,
    )
}


def noise(scale, cell, run, split, task):
    """A model's deviation: most of it is the same on all splits."""

    def draw(*names):
        return np.random.default_rng(zlib.crc32(repr(names).encode())).normal()

    model = (cell.name, run.weight_setting, run.seed, task)
    return scale * (0.9 * draw(*model) + 0.4 * draw(*model, split))


def accuracy(cell, run, split, task, metric):
    """Accuracies around 80; the best weight moves with capacity, and large models gain more from joint training."""
    if metric == "loss":
        return 1.0
    architecture, value = cell.architecture, noise(0.4, cell, run, split, task)
    if cell.method != "single":
        value -= 1.5 * (run.weights[0] - 0.5 + 0.1 * math.log2(architecture.width / 24)) ** 2
        value += (0.5 * architecture.depth + 0.3 * math.log2(architecture.width)) * (split != "train")
    return 80.0 + value


def l1(cell, run, split, task, metric):
    """Losses around 0.5."""
    return 0.5 + noise(0.02, cell, run, split, task)


def averages(plan, method, split, architecture):
    """Averages over tasks at the last epoch, from the run file alone: [weight settings, seeds]."""
    parts = TASKS if method == "single" else ["mnist+optdigits"]
    if architecture.startswith("dense"):
        parts = ["segmentation_2d", "depth"] if method == "single" else ["pair"]
    benchmark = "motorcycle" if architecture.startswith("dense") else "digits"
    values = []
    for part in parts:
        cell = plan.cells[f"{benchmark}/{part}/{architecture}/{method}/base"]
        rows = storage.read_run_file(plan.paths.run_file(cell)).to_pandas()
        rows = rows[(rows["epoch"] == rows["epoch"].max()) & (rows["split"] == split)]
        rows = rows[rows["metric"].isin(["accuracy", "l1"]) & rows["task"].isin(cell.tasks)]
        values.append(rows.groupby(["weight_setting", "seed"])["value"].mean().unstack("seed").to_numpy())
    return np.mean(values, axis=0)


def tables(plan, sign=1):
    """Architecture -> averages over tasks by split, [candidates, seeds] and SD's [seeds]; ``sign`` -1 of losses."""
    result = {}
    for architecture in dict.fromkeys(cell.architecture.name for cell in plan.cells.values()):
        methods = [m for m in ("grid", "proportional") if any(c.method == m for c in plan.cells.values())]
        joint = {
            split: np.concatenate([averages(plan, method, split, architecture) for method in methods])
            for split in ("train", "validation", "test")
        }
        single = {split: averages(plan, "single", split, architecture)[0] for split in joint}
        result[architecture] = {"choose": sign * joint["validation"], "joint": joint, "single": single}
    return result


def best_of_others(scores, seed):
    return int(np.argmax(np.delete(scores, seed, axis=1).mean(axis=1)))


def cross_fitted(scores, values):
    """Mean over seeds of values, each seed at the choice of the others."""
    return np.mean([values[best_of_others(scores, seed), seed] for seed in range(scores.shape[1])])


def without(of_all, seed):
    """All arrays of a table without one seed."""
    if isinstance(of_all, dict):
        return {name: without(part, seed) for name, part in of_all.items()}
    return np.delete(of_all, seed, axis=-1)


def check(comparison, statistic, of_all, seeds=SEEDS):
    """An estimate and its error, against the statistic of all seeds and without each of them."""
    assert comparison.estimate.value == pytest.approx(statistic(of_all), rel=1e-9, abs=1e-9)
    left_out = np.array([statistic(without(of_all, seed)) for seed in range(seeds)])
    variance = (seeds - 1) / seeds * np.sum((left_out - left_out.mean()) ** 2)
    assert comparison.estimate.error == pytest.approx(math.sqrt(variance), rel=1e-9, abs=1e-9)
    assert (comparison.estimate.units, comparison.estimate.dof) == (seeds, seeds - 1)


def gains(of_all, split):
    """Cross-fitted gain over SD at each capacity."""
    return [cross_fitted(t["choose"], t["joint"][split] - t["single"][split]) for t in of_all.values()]


@pytest.fixture
def plan(make_plan):
    plan = make_plan(synthetic.preset("figure_2", seeds=SEEDS))
    synthetic.write_runs(plan, accuracy)
    return plan


def compare(plan, number):
    return {c.comparison: c for c in CLAIMS[number].compare(Evidence(plan, MARGIN))}


# --- C1 ---


def test_gain_with_capacity_is_a_regression_in_each_seed(plan):
    comparisons, of_all = compare(plan, 1), tables(plan)
    assert list(comparisons) == ["gain of joint training over SD, by width", "gain of joint training over SD, by depth"]
    design = [[1, math.log2(width), depth] for depth in (1, 3) for width in (24, 48)]

    def slope(place):
        return lambda of_all: np.linalg.lstsq(np.array(design), np.array(gains(of_all, "test")), rcond=None)[0][place]

    by_width, by_depth = comparisons.values()
    check(by_width, slope(1), of_all)
    check(by_depth, slope(2), of_all)
    assert by_width.statistic == "slope of the test average, points per doubling of width"
    assert by_depth.statistic == "slope of the test average, points per layer of depth"
    assert (by_depth.benchmark, by_depth.task_set, by_depth.capacity) == ("digits", "mnist+optdigits", "all")
    assert by_depth.estimate.value == pytest.approx(0.5, abs=0.2)  # as made up


def test_gain_with_capacity_is_known_of_what_varies_only(make_plan):
    plan = make_plan(synthetic.preset("figure_2", seeds=3, depth=(2,)))
    synthetic.write_runs(plan, accuracy)
    assert [name.split()[-1] for name in compare(plan, 1)] == ["width"]


def test_depth_and_width_that_change_together_are_not_told_apart(make_plan):
    plan = make_plan(synthetic.preset("figure_2"), only={"capacities": ["vit_d1_w24", "vit_d3_w48"]})
    synthetic.write_runs(plan, accuracy)
    comparisons = compare(plan, 1)
    assert [name.split()[-1] for name in comparisons] == ["width", "depth"]
    for comparison in comparisons.values():
        assert comparison.estimate is None and comparison.reason == "not comparable"
        assert comparison.note == "width and depth change together"


def test_one_capacity_has_no_slope(make_plan):
    plan = make_plan(synthetic.preset("figure_2", depth=(1,), width=(24,)))
    synthetic.write_runs(plan, accuracy)
    assert compare(plan, 1) == {}
    assert [c.capacity for c in compare(plan, 2).values()] == ["vit_d1_w24"] * 2


def test_shared_layers_are_a_regressor(make_plan):
    content = synthetic.dense_preset("figure_2", methods={"single": {}, "grid": {"p1": [0.3, 0.5, 0.7]}}, seeds=3)
    content["experiments"]["pair"]["architectures"]["shared_layers"] = [0, 2]
    plan = make_plan(content)
    # Sharing costs; width does nothing.
    synthetic.write_runs(plan, lambda c, r, *_: 0.5 * (0.8 + 0.05 * (c.architecture.shared_layers or 0)))
    (by_width,) = compare(plan, 1).values()
    assert by_width.estimate.value == pytest.approx(0, abs=1e-9)


# --- C2 ---


def test_tuned_weights_less_each_heuristic(plan):
    comparisons, of_all = compare(plan, 2), tables(plan)
    assert list(comparisons) == ["p* - uniform", "p* - proportional"]
    for comparison, place in zip(
        comparisons.values(), (2, 5), strict=True
    ):  # grid 0.1, 0.3, 0.5, 0.7, 0.9; proportional
        check(
            comparison,
            lambda of_all, place=place: np.mean(
                [cross_fitted(t["choose"], t["joint"]["test"] - t["joint"]["test"][place]) for t in of_all.values()]
            ),
            of_all,
        )
        assert comparison.statistic == "test average, points"


def test_without_a_grid_nothing_is_tuned(make_plan):
    plan = make_plan(synthetic.preset("figure_2", methods={"single": {}, "uniform": {}, "proportional": {}}))
    synthetic.write_runs(plan, accuracy)
    assert compare(plan, 1) == compare(plan, 2) == compare(plan, 3) == compare(plan, 4) == {}


def test_a_heuristic_that_diverged_leaves_no_estimate(plan):
    cell = next(cell for cell in plan.cells.values() if cell.method == "proportional")
    synthetic.diverge(plan, cell, cell.runs[1])
    comparisons = compare(plan, 2)
    assert comparisons["p* - proportional"].estimate is None
    assert comparisons["p* - proportional"].note == "diverged in 1 of 5 seeds"
    assert comparisons["p* - uniform"].estimate is not None


# --- C3 ---


def test_the_smallest_models_weights_on_larger_ones(plan):
    (comparison,), of_all = compare(plan, 3).values(), tables(plan)
    assert comparison.comparison == "p* of vit_d1_w24 - own p*"
    assert comparison.margin == MARGIN

    def lost(of_all):
        small, *larger = of_all.values()
        seeds = range(small["choose"].shape[1])
        by_capacity = []
        for large in larger:
            test = large["joint"]["test"]
            taken = [
                test[best_of_others(small["choose"], s), s] - test[best_of_others(large["choose"], s), s] for s in seeds
            ]
            by_capacity.append(np.mean(taken))
        return np.mean(by_capacity)

    check(comparison, lost, of_all)


def test_how_far_the_best_weights_move_is_noted(make_plan):
    plan = make_plan(synthetic.preset("figure_2", depth=(1,), seeds=3))
    best = {24: 0.3, 48: 0.7}
    synthetic.write_runs(
        plan, lambda c, r, *_: 80 - (c.method != "single") * abs(r.weights[0] - best[c.architecture.width])
    )
    (comparison,) = compare(plan, 3).values()
    assert comparison.note.endswith("; p* of mnist is 0.3 to 0.7")
    assert comparison.estimate.value == pytest.approx(-0.4)


def test_the_smallest_model_is_that_of_fewest_operations(make_plan):
    plan = make_plan(synthetic.preset("figure_2", width=(48, 24), depth=(3, 1)))
    synthetic.write_runs(plan, accuracy)
    assert list(compare(plan, 3)) == ["p* of vit_d1_w24 - own p*"]


def test_capacities_without_weight_settings_in_common_are_not_compared(make_plan):
    other = synthetic.preset("figure_2", depth=(5,), methods={"single": {}, "grid": {"p1": [0.2, 0.8]}})
    content = synthetic.preset("figure_2", depth=(1,), width=(24,))
    content["experiments"]["other"] = other["experiments"]["pair"]
    plan = make_plan(content)
    synthetic.write_runs(plan, accuracy)
    (comparison,) = compare(plan, 3).values()
    assert comparison.estimate is None and comparison.reason == "not comparable"
    assert (
        comparison.note == "vit_d5_w24, vit_d5_w48 left out: fewer than two weight settings in common with vit_d1_w24"
    )
    assert len(compare(plan, 1)) == 2  # the gain of each is at its own p*


def test_capacities_are_compared_by_the_weight_settings_that_both_have(make_plan):
    """The large model's own best point, 0.9, is not of the small one's grid."""
    grids = {24: [0.1, 0.3, 0.5], 48: [0.3, 0.5, 0.9]}
    experiments = {
        f"w{width}": synthetic.preset("figure_2", depth=(1,), width=(width,), seeds=3, methods={"grid": {"p1": p1}})
        for width, p1 in grids.items()
    }
    content = {**experiments["w24"], "artifacts": {"claims": {}}}
    content["experiments"] = {name: preset["experiments"]["pair"] for name, preset in experiments.items()}
    plan = make_plan(content)
    best = {24: 0.3, 48: 0.8}
    synthetic.write_runs(plan, lambda c, r, *_: 80 - abs(r.weights[0] - best[c.architecture.width]))
    (comparison,) = compare(plan, 3).values()
    assert comparison.estimate.value == pytest.approx(-0.2)  # 0.3 instead of 0.5
    assert "p* of mnist is 0.3 to 0.5" in comparison.note
    assert comparison.note.endswith("; only weight settings that both models have")


# --- C4 ---


def test_test_gain_and_test_less_train_gain(plan):
    comparisons, of_all = compare(plan, 4), tables(plan)
    test, less = comparisons.values()
    check(test, lambda of_all: np.mean(gains(of_all, "test")), of_all)
    check(less, lambda of_all: np.mean(gains(of_all, "test")) - np.mean(gains(of_all, "train")), of_all)


# --- Losses, seeds ---


def test_differences_of_losses_are_percent_of_what_they_are_compared_with(make_plan):
    content = synthetic.dense_preset("figure_2", methods={"single": {}, "grid": {"p1": [0.3, 0.5, 0.7]}}, seeds=4)
    plan = make_plan(content)
    synthetic.write_runs(plan, l1)
    of_all = tables(plan, sign=-1)

    def percent(t, reference):
        return -100 * (t["joint"]["test"] - reference) / reference

    def gain(of_all):
        return np.mean([cross_fitted(t["choose"], percent(t, t["single"]["test"])) for t in of_all.values()])

    def to_uniform(of_all):
        return np.mean([cross_fitted(t["choose"], percent(t, t["joint"]["test"][1])) for t in of_all.values()])

    comparison = compare(plan, 4)["joint training - SD, test"]
    assert comparison.statistic == "test average, % of l1"
    check(comparison, gain, of_all, seeds=4)
    check(compare(plan, 2)["p* - uniform"], to_uniform, of_all, seeds=4)


def test_one_seed_is_never_tested(make_plan):
    plan = make_plan(synthetic.preset("figure_2", seeds=1))
    synthetic.write_runs(plan, accuracy)
    for number in (1, 2, 3, 4):
        for comparison in compare(plan, number).values():
            assert not comparison.estimate.is_testable
            assert comparison.note.startswith(constant_weights.ONE_SEED)


def test_capacities_are_compared_on_the_seeds_that_all_have(make_plan):
    more = synthetic.preset("figure_2", depth=(3,), width=(24,), seeds=5)
    content = synthetic.preset("figure_2", depth=(1,), width=(24,), seeds=3)
    content["experiments"]["more"] = more["experiments"]["pair"]
    plan = make_plan(content)
    synthetic.write_runs(plan, accuracy)
    of_all = tables(plan)
    of_all["vit_d3_w24"] = without(without(of_all["vit_d3_w24"], 4), 3)
    comparison = compare(plan, 4)["joint training - SD, test"]
    check(comparison, lambda of_all: np.mean(gains(of_all, "test")), of_all, seeds=3)
    assert comparison.note == "seeds 3, 4 left out: not run of everything that is compared"


def test_a_capacity_that_is_not_compared_costs_no_seeds(make_plan):
    methods = {"single": {}, "uniform": {}}  # without a grid
    rare = synthetic.preset("figure_2", depth=(3,), width=(24,), seeds=1, methods=methods)
    content = synthetic.preset("figure_2", depth=(1,), width=(24,), seeds=4)
    content["experiments"]["rare"] = rare["experiments"]["pair"]
    plan = make_plan(content)
    synthetic.write_runs(plan, accuracy)
    for number in (2, 4):
        for comparison in compare(plan, number).values():
            assert comparison.estimate.units == 4 and comparison.capacity == "vit_d1_w24" and comparison.note == ""


def test_a_diverged_run_of_one_seed_is_noted(make_plan):
    plan = make_plan(synthetic.preset("figure_2", seeds=1, depth=(1,), width=(24,)))
    synthetic.write_runs(plan, accuracy)
    cell = next(cell for cell in plan.cells.values() if cell.method == "single")
    synthetic.diverge(plan, cell, cell.runs[0])
    for comparison in compare(plan, 4).values():
        assert (comparison.estimate, comparison.note) == (None, "diverged in 1 of 1 seeds")


# --- Several experiments ---


def united(make_plan, *experiments):
    """A plan of experiments, each a dictionary of what differs from the others, in this order."""
    content = synthetic.preset("figure_2")
    pair = content["experiments"]["pair"]
    made = [{**pair, "variants": {"base": {}}, **changes} for changes in experiments]
    plan = make_plan({**content, "experiments": {f"e{n}": e for n, e in enumerate(made)}, "artifacts": {"claims": {}}})
    synthetic.write_runs(plan, accuracy)
    return plan


def described(plan):
    """Number of seeds, estimate and error of all comparisons; the last two to eight digits, which sums agree in."""
    found = [comparison for number in CLAIMS for comparison in CLAIMS[number].compare(Evidence(plan, MARGIN))]
    return {
        (c.comparison, c.capacity, c.note): (c.estimate.units, round(c.estimate.value, 8), round(c.estimate.error, 8))
        for c in found
    }


GRID = {"p1": [0.1, 0.5, 0.9]}
FEW = {"methods": {"single": {}, "uniform": {}}, "seeds": 1}
MANY = {"methods": {"single": {}, "grid": GRID, "uniform": {}}, "seeds": 5}


def test_the_order_of_experiments_does_not_matter(make_plan):
    expected = described(united(make_plan, MANY))
    assert {units for units, *_ in expected.values()} == {5} and len(expected) == 6
    for experiments in ((FEW, MANY), (MANY, FEW)):
        assert described(united(make_plan, *experiments)) == expected


def test_weight_settings_of_several_experiments_are_one_grid(make_plan):
    """Of the seeds that all settings have; the second experiment has three of four."""
    first = {"methods": {"grid": {"p1": [0.1, 0.5]}}, "seeds": 4}
    second = {"methods": {"grid": {"p1": [0.3, 0.5]}}, "seeds": 3}
    third = {"methods": {"single": {}}, "seeds": 4}
    for experiments in ((first, second, third), (third, second, first)):
        plan = united(make_plan, *experiments)
        comparison = compare(plan, 4)["joint training - SD, test"]
        assert comparison.estimate.units == 3
        assert comparison.note == "seed 3 left out: not run of everything that is compared"
        by_capacity = []
        for name in dict.fromkeys(cell.architecture.name for cell in plan.cells.values()):
            cell = plan.cells[f"digits/mnist+optdigits/{name}/grid/base"]
            rows = storage.read_run_file(plan.paths.run_file(cell)).to_pandas()
            rows = rows[(rows["epoch"] == rows["epoch"].max()) & (rows["metric"] == "accuracy") & (rows["seed"] < 3)]
            validation, test = (
                rows[rows["split"] == split]
                .groupby(["weight_setting", "seed"])["value"]
                .mean()
                .unstack("seed")
                .to_numpy()
                for split in ("validation", "test")
            )
            assert validation.shape == (3, 3)
            by_capacity.append(cross_fitted(validation, test - averages(plan, "single", "test", name)[0][:3]))
        assert comparison.estimate.value == pytest.approx(np.mean(by_capacity), rel=1e-9)


def test_a_heuristic_with_fewer_seeds_limits_only_what_is_compared_with_it(make_plan):
    grid = {"methods": {"single": {}, "grid": GRID}, "seeds": 4}
    plan = united(make_plan, {"methods": {"proportional": {}}, "seeds": 2}, grid)
    assert {name: c.estimate.units for name, c in compare(plan, 2).items()} == {
        "p* - uniform": 4,
        "p* - proportional": 2,
    }
    assert compare(plan, 2)["p* - proportional"].note.endswith(
        "; seeds 2, 3 left out: not run of everything that is compared"
    )
    assert [c.estimate.units for c in compare(plan, 4).values()] == [4, 4]


def test_baselines_are_needed_for_gains_alone(make_plan):
    joint = {"methods": {"grid": GRID, "uniform": {}}, "seeds": 3}
    plan = united(make_plan, joint)
    assert compare(plan, 1) == compare(plan, 4) == {}
    assert [c.estimate.units for number in (2, 3) for c in compare(plan, number).values()] == [3, 3]
    elsewhere = united(make_plan, {"methods": {"single": {}}, "seeds": 3}, joint)
    assert described(elsewhere) == described(
        united(make_plan, {**joint, "methods": {"single": {}, **joint["methods"]}})
    )
    assert len(compare(elsewhere, 4)) == 2


def test_baselines_that_are_trained_otherwise_are_none(make_plan):
    slow = {"methods": {"single": {}}, "variants": {"base": {"recipe": {"lr": 1e-4}}}}
    plan = united(make_plan, slow, {"methods": {"grid": GRID}})
    assert compare(plan, 4) == {} and len(compare(plan, 2)) == 1


def test_variants_are_comparisons_of_their_own(make_plan):
    variants = {"base": {}, "slow": {"recipe": {"lr": 1e-4}}}
    plan = make_plan(synthetic.preset("figure_2", variants=variants, depth=(1,)))
    synthetic.write_runs(plan, accuracy)
    comparisons = list(CLAIMS[4].compare(Evidence(plan, MARGIN)))
    assert [c.task_set for c in comparisons] == ["mnist+optdigits"] * 2 + ["mnist+optdigits, slow"] * 2


def test_families_of_architectures_are_comparisons_of_their_own(make_plan):
    content = synthetic.preset("figure_2", depth=(1,), width=(24,))
    architectures = {"family": "resnet", "depth": [26], "width": [16, 32]}
    content["experiments"]["resnets"] = content["experiments"]["pair"] | {"architectures": architectures}
    plan = make_plan(content)
    synthetic.write_runs(plan, accuracy)
    (by_width,) = CLAIMS[1].compare(Evidence(plan, MARGIN))
    assert by_width.capacity == "all resnet"


@pytest.mark.parametrize("number", CLAIMS)
def test_every_verdict_has_an_answer(number):
    claim = CLAIMS[number]
    assert set(claim.answers) == {"supported", "contradicted", "undecided"}
    assert claim.source.startswith("appendix")
