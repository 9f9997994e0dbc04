"""Accuracy of a constant answer, from the counts of labels of a prepared store."""

import pytest

from scalarization.data.majority import majority_accuracies
from scalarization.data.prepare import prepare
from scalarization.data.store import Store


def test_a_domain_has_its_own_most_frequent_class_of_training(make_plan, tiny):
    cell = next(cell for cell in make_plan(tiny).cells.values() if len(cell.tasks) == 2)
    samples = {
        "mnist": {"train": [5, 9, 9], "validation": [0, 0, 9], "test": [3, 2, 15]},
        "optdigits": {"train": [5, 1, 1], "validation": [0, 0, 9], "test": [6, 2, 2]},
    }
    store = {"domains": {name: {"samples_per_class": counts} for name, counts in samples.items()}}
    assert majority_accuracies(store, cell) == {"mnist": pytest.approx(10), "optdigits": pytest.approx(60)}


def test_attributes_of_the_bundled_people(shipped_plan, tmp_path):
    """Against the labels themselves."""
    prepare(tmp_path, "emoji_people", ["people"], tmp_path)
    store = Store(tmp_path / "dataset.json")
    cell = next(cell for cell in shipped_plan("smoke").cells.values() if cell.benchmark == "emoji_people")
    train, test = (store.labels("people", split).astype(float) for split in ("train", "test"))
    constant = train.mean(axis=0) > 0.5
    right = 100 * (test == constant).mean(axis=0)
    outputs = cell.specification.outputs
    expected = {
        task: pytest.approx(right[[outputs.labels.index(a) for a in outputs.attributes[task]]].mean())
        for task in cell.tasks
    }
    assert majority_accuracies(store.metadata, cell) == expected


def test_dense_tasks_have_none(shipped_plan):
    cell = next(cell for cell in shipped_plan("smoke").cells.values() if cell.benchmark == "motorcycle")
    assert majority_accuracies({"domains": {}}, cell) == {}
