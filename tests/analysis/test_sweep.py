"""The sweep: chosen on validation, compared with the recipe; and the numbers of samples in figure A."""

import dataclasses

import pytest
import synthetic

from scalarization import analysis, storage
from scalarization.benchmarks import SPLITS
from scalarization.errors import DataError
from scalarization.plan import artifacts

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

    def formula(cell, run, split, task, metric):
        chosen = cell.specification.recipe.lr, cell.specification.epochs
        value = 50 + 10 * (split == "validation" and chosen == best) + 20 * (split == "test" and chosen == misleading)
        return value + run.seed + (20 if task != "optdigits" else 0)

    synthetic.write_runs(plan, formula)


@pytest.mark.parametrize(("best", "agrees"), [((0.003, 4), True), ((0.0003, 6), False), ((0.03, 4), False)])
def test_best_on_validation_is_chosen_whatever_test_says(make_plan, best, agrees):
    plan = make_plan(sweep_preset())
    write(plan, best, misleading=(0.003, 6))
    rows = analysis.summarize(plan, "sweep")
    assert set(zip(rows["lr"], rows["epochs"], strict=True)) == {(r, e) for r in RATES for e in EPOCHS}
    (chosen,) = rows[rows["chosen"]].to_dict("records")
    assert (chosen["lr"], chosen["epochs"]) == best and chosen["recipe"] == agrees
    assert chosen["by_seed"] == [60, 61] and chosen["mean"] == 60.5 and chosen["test_mean"] == 50.5
    (recipe,) = rows[rows["recipe"]].to_dict("records")
    assert (recipe["lr"], recipe["epochs"]) == (0.003, 4)
    assert rows["test_mean"].max() == 70.5


def test_variants_that_are_not_selected_are_null(make_plan):
    plan = make_plan(sweep_preset(seeds=1))
    write(plan, (0.003, 4), (0.003, 4))
    cells = {name: cell for name, cell in plan.cells.items() if cell.variant != "lr0.03_epochs6"}
    plan = dataclasses.replace(plan, cells=cells)
    rows = analysis.summarize(plan, "sweep").set_index("variant")
    assert not rows.loc["lr0.03_epochs6", "present"] and rows["present"].sum() == 5
    assert rows["mean"].isna().tolist() == (~rows["present"]).tolist()


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
    storage.write_json(plan.paths.store_file("digits"), content | changes)


def test_official_training_sets_are_counted_whole(make_plan):
    plan = make_plan(synthetic.preset("figure_a"))
    write_store(plan)
    rows = analysis.summarize(plan, "figure_a")
    assert list(rows["domain"].unique()) == ["mnist", "optdigits", "mfeat"]
    for domain, name in enumerate(rows["domain"].unique()):
        of_domain = rows[rows["domain"] == name].sort_values("label")
        # Train and validation together are the official training set; test does not count.
        expected = [3 * (domain + 1) * (label + 1) + 2 * (domain + 1) * (label + 1) for label in range(10)]
        assert of_domain["samples"].tolist() == expected
    assert rows["uniform"].unique().tolist() == [pytest.approx(rows["samples"].sum() / 30)]


def test_only_the_store_is_needed_for_figure_a(make_plan):
    plan = make_plan(synthetic.preset("figure_a"))
    assert artifacts.inputs_of(plan, "figure_a") == [plan.paths.store_file("digits")]
    with pytest.raises(DataError, match="no such file; build it with: snakemake"):
        analysis.summarize(plan, "figure_a")
    write_store(plan, domains={"mnist": {}})
    with pytest.raises(DataError, match="not the description of a store with classes"):
        analysis.summarize(plan, "figure_a")
