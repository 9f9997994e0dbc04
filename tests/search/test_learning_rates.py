"""Searches of the learning rate under uniform weights: draws, training of members, divergence, retraining."""

import copy
import math
from dataclasses import replace

import numpy as np
import populations
import pytest
import torch
from populations import SEARCH

from scalarization import analysis
from scalarization.errors import ConfigError, DataError
from scalarization.plan.cells import Run
from scalarization.provenance import Provenance
from scalarization.search import retraining
from scalarization.search.intervals import Intervals
from scalarization.search.policies import backtrack, read_search
from scalarization.search.schedulers import Population
from scalarization.search.settings import initial_settings, training
from scalarization.storage import read_metadata, read_run_file
from scalarization.training.loop import Trainer
from scalarization.weights import WeightSchedule

CPU = torch.device("cpu")
LR, UNIFORM = 3e-3, (0.5, 0.5)
RATES = SEARCH | {"method": "search_lr"}


@pytest.fixture
def rates(make_plan, tiny):
    """(recipe=None, **changes) -> the search of a preset."""

    def rates(recipe=None, **changes):
        preset = copy.deepcopy(tiny)
        preset["benchmarks"]["digits"]["recipe"] |= {"epochs": 5, **(recipe or {})}
        preset["searches"] = {"rates": RATES | changes}
        return make_plan(preset).search("rates/vit_d2_w8")

    return rates


# --- Plan ---


def test_numbers_of_the_search(rates):
    search = rates(population=7, lr_factor=20)
    assert (search.num_exploiting, search.num_configurations) == (0, 7)
    assert search.lr_range == pytest.approx((LR / 20, LR * 20))
    assert search.describe()["lr_factor"] == 20 and "quantile" not in search.describe()
    weights = replace(search, method="search_random")
    assert weights.lr_range == (LR, LR) and "lr_factor" not in weights.describe()


@pytest.mark.parametrize("factor", [1, 0.5, 1001, "ten"])
def test_a_factor_that_is_none(rates, factor):
    with pytest.raises(ConfigError, match=r"searches.rates.lr_factor = "):
        rates(lr_factor=factor)


# --- Draws ---


def test_learning_rates_are_uniform_on_a_logarithmic_scale(rates):
    drawn = np.array(initial_settings(rates(population=4000)))
    assert drawn.shape == (4000, 1) and len(np.unique(drawn)) == 4000
    exponents = np.sort(np.log10(drawn[:, 0] / LR))
    # The largest distance between the empirical and the uniform distribution (Kolmogorov): 1.63 / sqrt(n) at 1 percent.
    assert np.abs((exponents + 1) / 2 - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / math.sqrt(4000)
    wide = np.array(initial_settings(rates(population=4000, lr_factor=1000)))
    np.testing.assert_allclose(np.log10(wide / LR), 3 * np.log10(drawn / LR), rtol=1e-9)


def test_draws_depend_on_the_seed_and_not_on_the_number_of_members(rates):
    few, many = initial_settings(rates(population=3)), initial_settings(rates(population=40))
    assert many[:3] == few
    assert not set(initial_settings(rates(population=40, seed=1))) & set(many)


# --- Members ---


@pytest.fixture
def opened(rates, digits_store, digits_data, one_thread, tmp_path):
    """(search) -> its intervals, all in one directory."""
    return lambda search: Intervals(tmp_path / "checkpoints", search, digits_store.digest, (CPU, digits_data))


def play(search, own):
    """Rows of the history of a search that is trained here, one interval after the other, by one object."""
    population, rows = Population(search), []
    while not population.finished:
        member, lineage = population.start()
        result = own.train(lineage)
        assert population.report(member, lineage, result.score) is None
        weights, lr = training(search, lineage[-1])
        rows.append(
            {
                "member": member,
                "interval": len(lineage),
                "epoch": search.interval_ends[len(lineage) - 1],
                "weights": weights,
                "lr": lr,
                "score": result.score,
                "by_task": result.by_task,
                "parent": None if len(lineage) == 1 else member,
            }
        )
    return rows


def test_a_member_is_a_training_with_its_learning_rate_and_uniform_weights(rates, opened, digits_data):
    """Its intervals take turns with those of the others; the reference is one training of the recipe with this rate."""
    search = rates(population=3)
    rows = play(search, opened(search))
    assert [len({row["lr"] for row in rows if row["member"] == m}) for m in range(3)] == [1, 1, 1]
    for member, (lr,) in enumerate(initial_settings(search)):
        cell = rates(recipe={"lr": lr}).cell
        trainer = Trainer(cell, Run(0, search.seed, UNIFORM), digits_data, CPU, WeightSchedule.constant(UNIFORM))
        while trainer.epoch < 5:
            trainer.train_epoch(lambda: None)
        metrics = trainer.validate()
        last = next(row for row in rows if (row["interval"], row["member"]) == (3, member))
        assert last["by_task"] == [metrics[task]["accuracy"] for task in ("mnist", "optdigits")]
    assert len({row["score"] for row in rows if row["interval"] == 3}) > 1


def test_a_member_that_is_resumed_elsewhere_ends_alike(rates, opened):
    search = rates(population=2)
    ((first,), (second,)) = initial_settings(search)
    one = opened(search)
    lineages = [((lr,),) * interval for interval in (1, 2, 3) for lr in (first, second)]
    results = {lineage: replace(one.train(lineage), seconds=0.0) for lineage in lineages}
    for file in one.directory.glob("*.json"):
        if not file.name.startswith("0001"):
            file.unlink()
    assert {lineage: replace(opened(search).train(lineage), seconds=0.0) for lineage in lineages} == results


def test_members_that_diverge_never_win(rates, opened):
    """For real: of learning rates from 0.01 to 10,000, the highest diverge within a few steps, the lowest do not."""
    search = rates(recipe={"lr": 10}, lr_factor=1000, population=8)
    own = opened(search)
    rows = play(search, own)
    diverged = {row["member"] for row in rows if row["score"] == -math.inf}
    assert 0 < len(diverged) < 8
    policy = backtrack(rows)
    assert policy.member not in diverged and math.isfinite(policy.score)
    assert policy.lr < min(lr for member, (lr,) in enumerate(initial_settings(search)) if member in diverged)
    # The message has the rate of the member, not that of the recipe.
    worst = max(diverged, key=lambda member: initial_settings(search)[member])
    (lr,) = initial_settings(search)[worst]
    assert f"(lr: {lr:g})" in own.known_result(((lr,),)).cause


# --- Histories ---


def write_history(plan, best, name="rates/vit_d2_w8", change=None):
    """Write a history in which one member is best; returns its learning rate."""
    search = plan.all_searches[name]
    rows = populations.history(search, lambda interval, member: (UNIFORM, 50.0 + (member == best)))
    drawn = initial_settings(search)
    for row in rows:
        (row["lr"],) = drawn[row["member"]]
    if change:
        change(rows)
    file = plan.paths.search_file(search)
    populations.write_history(file, search, rows, **Provenance(plan).origin(file))
    return drawn[best][0]


@pytest.fixture
def plan(make_plan, tiny, digits_directory):
    """(variants of uniform weights=None, **changes of the search) -> plan, with the prepared store in its place."""

    def plan(variants=None, **search):
        preset = copy.deepcopy(tiny)
        preset["benchmarks"]["digits"]["recipe"] |= {"epochs": 5}
        preset["searches"] = {"rates": RATES | search}
        preset["experiments"]["searched"] = {
            "benchmark": "digits",
            "task_sets": SEARCH["task_set"],
            "architectures": SEARCH["architectures"],
            "methods": {"uniform": {}, preset["searches"]["rates"]["method"]: {"search": "rates"}},
            "seeds": 2,
        }
        if variants:
            preset["experiments"]["other"] = {
                **preset["experiments"]["searched"],
                "methods": {"uniform": {}},
                "variants": variants,
            }
        preset["artifacts"] |= {
            "table_search_cost": {"searches": ["rates"]},
            "table_methods": {"experiment": "searched"},
        }
        plan = make_plan(preset)
        store = plan.paths.store_file("digits").parent
        if not store.exists():
            store.parent.mkdir(parents=True)
            store.symlink_to(digits_directory)
        return plan

    return plan


def test_the_policy_has_the_learning_rate_of_the_best_member(plan):
    plan = plan()
    lr = write_history(plan, best=2)
    search = plan.search("rates/vit_d2_w8")
    _, policy = read_search(plan.paths.search_file(search), search)
    assert (policy.member, policy.lr, set(policy.weights)) == (2, lr, {UNIFORM})


WRONG = {
    "too high": (lambda rows: rows[5].update(lr=LR * 10.001), "has the learning rate 0.030003"),
    "too low": (lambda rows: rows[5].update(lr=LR / 11), "has the learning rate 0.00027"),
    "NaN": (lambda rows: rows[5].update(lr=math.nan), "has the learning rate nan"),
    "absent": (lambda rows: rows[5].update(lr=None), "column lr lacks values"),
    "other weights": (lambda rows: rows[5].update(weights=[0.4, 0.6]), "has the weights .* instead of uniform ones"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_rows_that_no_search_writes(plan, wrong):
    change, message = WRONG[wrong]
    plan = plan()
    write_history(plan, 0, change=change)
    search = plan.search("rates/vit_d2_w8")
    with pytest.raises(DataError, match=message):
        read_search(plan.paths.search_file(search), search)


def test_a_search_of_weights_has_the_rate_of_its_recipe(plan):
    plan = plan(method="search_random")
    search = plan.all_searches["rates/vit_d2_w8"]
    rows = populations.history(search, lambda interval, member: (UNIFORM, 50.0))
    for row in rows:
        row["lr"] = 2 * LR
    populations.write_history(plan.paths.search_file(search), search, rows)
    with pytest.raises(DataError, match=r"has the learning rate 0\.006"):
        read_search(plan.paths.search_file(search), search)


# --- Retraining ---


def values(plan, cell, seed):
    rows = read_run_file(plan.paths.run_file(plan.cell(cell))).to_pylist()
    keys = ("epoch", "split", "task", "metric", "value")
    return [tuple(row[key] for key in keys) for row in rows if row["seed"] == seed]


def test_retraining_is_uniform_training_with_the_learning_rate(plan):
    """Bit for bit the values of uniform weights under a variant of this learning rate, on all training data."""
    found = initial_settings(plan().search("rates/vit_d2_w8"))[1][0]
    plan = plan(variants={"found": {"recipe": {"lr": found}}})
    assert write_history(plan, best=1) == found
    cells = [f"digits/mnist+optdigits/vit_d2_w8/{name}" for name in ("search_lr/base", "uniform/found", "uniform/base")]
    retraining.train(plan, [plan.shard(cell) for cell in cells], None)
    for seed in (0, 1):
        searched, found_values, own = (values(plan, cell, seed) for cell in cells)
        assert searched == found_values != own
    described = read_metadata(plan.paths.run_file(plan.cell(cells[0])))["specification"]
    assert described["recipe"]["lr"] == found and described["search"]["lr_factor"] == 10
    assert described["policy"] == [[0.5, 0.5]] * 5
    summary = analysis.summarize(plan, "table_methods")
    average = summary[(summary["task"] == "average") & (summary["metric"] == "accuracy")]
    assert {"Uniform", "Uniform, searched lr"} <= set(average["label"])


def test_the_table_of_costs_counts_it_and_says_by_how_much_it_won(plan):
    plan = plan(population=6)
    search = plan.search("rates/vit_d2_w8")
    rows = populations.history(search, lambda interval, member: (UNIFORM, [50.0, 53.5, 52.25, 53.0, 10.0, 0.0][member]))
    for row in rows:
        (row["lr"],) = initial_settings(search)[row["member"]]
        if row["member"] == 1:
            row |= {"score": -math.inf, "by_task": [math.nan, math.nan]}
    session = {"workers": 2, "seconds": 9.0, "startup_seconds": 1.0, "trained_seconds": 9.0, "searches": ["a"]}
    file = plan.paths.search_file(search)
    populations.write_history(file, search, rows, session=session, validation_images=345)
    (row,) = analysis.summarize(plan, "table_search_cost").to_dict("records")
    assert (row["label"], row["trainings"]) == ("Uniform, searched lr", 6 * 0.5 + 1)
    assert (row["configurations"], row["configurations_measured"], row["diverged"]) == (6, 6, 1)
    # The best of those that finished has 53, the second best 52.25.
    assert (row["won_by"], row["validation_images"]) == (0.75, 345)


def test_a_figure_of_weights_refuses_it(tiny, make_plan):
    tiny["searches"] = {"rates": RATES | {"epochs_ready": 1}}
    tiny["artifacts"] = {"figure_e": {"searches": ["rates"]}}
    with pytest.raises(
        ConfigError, match=r"artifacts.figure_e: search 'rates' is one of the learning rate.*leave it out"
    ):
        make_plan(tiny)
