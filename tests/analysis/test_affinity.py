"""Affinity and diversity, on numbers that are known."""

import numpy as np
import pytest
import synthetic

from scalarization import analysis

#: Trained on -> evaluated on -> accuracy of each seed.
ACCURACY = {
    "mnist": {"mnist": (80, 90), "optdigits": (40, 60), "mfeat": (20, 30)},
    "optdigits": {"mnist": (10, 20), "optdigits": (50, 50), "mfeat": (40, 30)},
    "mfeat": {"mnist": (60, 60), "optdigits": (30, 30), "mfeat": (60, 60)},
}
LOSS = {"mnist": (0.5, 0.7), "optdigits": (0.2, 0.4), "mfeat": (1.0, 2.0)}


def formula(cell, run, split, task, metric):
    if metric == "loss":
        is_own = (split, task, cell.method) == ("train", cell.tasks[0], "single")
        return LOSS[cell.tasks[0]][run.seed] if is_own else 77.0
    if cell.method == "single":
        return ACCURACY[cell.tasks[0]][task][run.seed] if split == "test" else 0.0
    return ACCURACY[task][task][run.seed] + {"mnist": 2.0, "optdigits": -3.0, "mfeat": 1.0}[task]


def summarize(make_plan, **options):
    plan = make_plan(synthetic.preset("affinity", depth=(1,), width=(24,), **options))
    synthetic.write_runs(plan, formula)
    return analysis.summarize(plan, "affinity")


def test_models_of_one_domain_are_evaluated_on_all(make_plan):
    rows = summarize(make_plan).query("part == 'evaluation'").set_index(["task", "evaluated"])
    assert len(rows) == 2 * 3
    assert rows.loc[("mnist", "optdigits"), "mean"] == 50
    assert rows.loc[("mnist", "optdigits"), "affinity_mean"] == pytest.approx((40 / 80 + 60 / 90) / 2)
    assert rows.loc[("optdigits", "mfeat"), "affinity_mean"] == pytest.approx((40 / 50 + 30 / 50) / 2)
    assert rows.loc[("mnist", "mnist"), "affinity_mean"] == 1


def test_diversity_is_the_loss_of_the_single_model_on_its_training_split_at_the_last_epoch(make_plan):
    rows = summarize(make_plan).query("part == 'training'").set_index("task")
    # The mean over the batches since the last evaluation, which is of several epochs, is 77.
    assert rows["mean"].to_dict() == pytest.approx({"mnist": 0.6, "optdigits": 0.3})


def test_gain_of_a_domain_is_listed_with_the_domains_added_to_it(make_plan):
    rows = summarize(make_plan).query("part == 'benefit'").set_index("task")
    assert rows["added"].to_dict() == {"mnist": "optdigits", "optdigits": "mnist"}
    # Adding mnist to optdigits: the model of optdigits on mnist, over its accuracy on optdigits; mnist's training loss.
    assert rows.loc["optdigits", "affinity_mean"] == pytest.approx((10 / 50 + 20 / 50) / 2)
    assert rows.loc["optdigits", "diversity_mean"] == pytest.approx(0.6)
    assert rows.loc["optdigits", "mean"] == -3
    assert rows.loc["mnist", "mean"] == 2
    assert rows.loc["mnist", "diversity_std"] == pytest.approx(np.std([0.2, 0.4], ddof=1))


def test_several_added_domains_are_averaged(make_plan):
    task_sets = {"all": ["mnist", "optdigits", "mfeat"]}
    methods = {"single": {}, "uniform": {}}
    rows = summarize(make_plan, task_sets=task_sets, methods=methods).query("part == 'benefit'").set_index("task")
    assert rows.loc["mnist", "added"] == "optdigits+mfeat"
    assert rows.loc["mnist", "affinity_mean"] == pytest.approx(((40 + 20) / 2 / 80 + (60 + 30) / 2 / 90) / 2)
    assert rows.loc["mnist", "diversity_mean"] == pytest.approx((0.3 + 1.5) / 2)
