"""The sweep: chosen on validation, compared with the recipe; and the numbers of samples behind figure A."""

import json

import pytest
import synthetic

from scalarization import analysis
from scalarization.benchmarks import SPLITS
from scalarization.errors import ConfigError, DataError

RATES = (0.03, 0.003, 0.0003)
EPOCHS = (synthetic.EPOCHS, 6)


def sweep_preset(**changes):
    variants = {"base": {}}  # learning rate 0.003 and 4 epochs, as the recipe of `synthetic`
    for rate in RATES:
        for epochs in EPOCHS:
            if (rate, epochs) != (0.003, synthetic.EPOCHS):
                variants[f"lr{rate}_epochs{epochs}"] = {"recipe": {"lr": rate, "epochs": epochs}}
    options = {"task_sets": {"alone": ["optdigits"]}, "depth": (1,), "width": (24,), "methods": {"single": {}}}
    return synthetic.preset("sweep", **{**options, "variants": variants, **changes})


def write(plan, best, misleading):
    """Validation is highest at `best`, test at `misleading`."""

    def formula(cell, member, split, task, metric):
        place = cell.specification["recipe"]["lr"], cell.specification["epochs"]
        value = 50 + 10 * (split == "validation" and place == best) + 20 * (split == "test" and place == misleading)
        return value + member.seed + (30 if task != "optdigits" else 0)

    epochs = synthetic.EPOCHS
    for cell in plan.cells.values():
        synthetic.EPOCHS = cell.specification["epochs"]
        part = type("Part", (), {"cells": {cell.name: cell}, "run_file": plan.run_file})()
        synthetic.write_runs(part, formula)
    synthetic.EPOCHS = epochs


@pytest.mark.parametrize(("best", "agrees"), [((0.003, 4), True), ((0.0003, 6), False), ((0.03, 4), False)])
def test_best_on_validation_is_chosen_whatever_test_says(make_plan, best, agrees):
    plan = make_plan(sweep_preset())
    write(plan, best, misleading=(0.003, 6))
    found = analysis.summarize(plan, "sweep")
    assert set(zip(found["lr"], found["epochs"], strict=True)) == {(r, e) for r in RATES for e in EPOCHS}
    (chosen,) = found[found["chosen"]].to_dict("records")
    assert (chosen["lr"], chosen["epochs"]) == best and chosen["recipe"] == agrees
    assert chosen["by_seed"] == [60, 61] and chosen["mean"] == 60.5 and chosen["test_mean"] == 50.5
    (recipe,) = found[found["recipe"]].to_dict("records")
    assert (recipe["lr"], recipe["epochs"]) == (0.003, 4)
    assert found["test_mean"].max() == 70.5


def test_variants_that_were_left_out_are_null(make_plan):
    plan = make_plan(sweep_preset(seeds=1))
    write(plan, (0.003, 4), (0.003, 4))
    gone = next(n for n, c in plan.cells.items() if c.variant == "lr0.03_epochs6")
    del plan.cells[gone]
    found = analysis.summarize(plan, "sweep").set_index("variant")
    assert not found.loc["lr0.03_epochs6", "present"] and found["present"].sum() == 5
    assert found["mean"].isna().tolist() == (~found["present"]).tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_sets": {"other": ["mnist"]}}, "has no method single on the reference domain optdigits"),
        ({"depth": (1, 3)}, "has several architectures"),
    ],
)
def test_experiments_that_are_no_sweep_are_named(make_plan, changes, words):
    with pytest.raises(ConfigError, match=rf"artifacts\.sweep.*{words}"):
        analysis.summarize(make_plan(sweep_preset(**changes)), "sweep")


# --- Figure A ---


def counts(domain, split):
    """Ten classes."""
    return [(domain + 1) * (label + 1) * (3 - split) for label in range(10)]


def write_store(plan, **changes):
    content = {
        "classes": [str(n) for n in range(10)],
        "domains": {
            name: {"samples_per_class": {s: counts(d, i) for i, s in enumerate(SPLITS)}}
            for d, name in enumerate(("mnist", "optdigits", "mfeat"))
        },
    }
    file = plan.store_file("digits")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | changes))


def test_official_training_sets_are_counted_whole(make_plan):
    plan = make_plan(synthetic.preset("figure_a"))
    write_store(plan)
    found = analysis.summarize(plan, "figure_a")
    assert list(found["domain"].unique()) == ["mnist", "optdigits", "mfeat"]
    for domain, name in enumerate(found["domain"].unique()):
        rows = found[found["domain"] == name].sort_values("label")
        # Train and validation together are the official training set; test does not count.
        expected = [3 * (domain + 1) * (label + 1) + 2 * (domain + 1) * (label + 1) for label in range(10)]
        assert rows["samples"].tolist() == expected
    assert found["uniform"].unique().tolist() == [pytest.approx(found["samples"].sum() / 30)]


def test_only_the_store_is_needed_for_figure_a(make_plan):
    plan = make_plan(synthetic.preset("figure_a"))
    assert plan.artifact_inputs("figure_a") == [plan.store_file("digits")]
    with pytest.raises(DataError, match="no prepared data"):
        analysis.summarize(plan, "figure_a")
    write_store(plan, domains={"mnist": {}})
    with pytest.raises(DataError, match="damaged"):
        analysis.summarize(plan, "figure_a")
