"""Descriptions of cells and searches: the identity of finished runs, which must not change by accident."""

import hashlib
import json

import pytest

#: Preset -> SHA-256 of the descriptions of all its cells, counted cells and searches as JSON with sorted keys. A change
#: of a preset changes its digest: put the new one here. A change of the code must not: all runs would train again.
DIGESTS = {
    "smoke": "3f58b67b7d60ef40058ecf3adf9220f14bed28f9e3b70687c70fde930389f615",
    "paper": "08f1772f867292d17d97c09ec88aeed6793fcf1f0d3693a75407826e4deff090",
}
DIGITS = {
    "benchmark": "digits",
    "task_set": "mnist",
    "tasks": ["mnist"],
    "architecture": "vit_d1_w8",
    "method": "single",
    "variant": "base",
    "model": {"patch": 8, "heads": 2, "mlp_ratio": 2, "drop_path": 0.1},
    "recipe": {
        "optimizer": "adamw",
        "lr": 0.003,
        "weight_decay": 0.05,
        "decay_bias_and_norm": False,
        "momentum": 0.9,
        "batch_size": 100,
        "warmup_epochs": 1,
        "schedule": "cosine",
        "eval_every": 1,
        "augmentation": {"crop_padding": 1, "flip": False, "randaugment": {"num_ops": 1, "magnitude": 5}},
        "precision": "auto",
        "compile": "auto",
        "accumulate": 1,
        "resolve": "after",
        "gradients_at_once": None,
        "on_divergence": "stop",
    },
    "epochs": 3,
    "steps_per_epoch": 8,
    "root_seed": 0,
    "threads": 1,
    "method_options": {},
    "setting": "mdl",
    "classes": 10,
    "evaluated": ["mnist", "optdigits"],
}
MOTORCYCLE = {
    "benchmark": "motorcycle",
    "task_set": "segmentation_2d+depth",
    "tasks": ["segmentation_2d", "depth"],
    "architecture": "dense26_w4_shr1",
    "method": "grid",
    "variant": "base",
    "model": {"channels": 16, "upsampling": "transposed", "skips": False},
    "recipe": {
        **DIGITS["recipe"],
        "optimizer": "sgd",
        "lr": 0.05,
        "weight_decay": 0.0001,
        "batch_size": 61,
        "warmup_epochs": 0,
        "augmentation": {"crop_padding": 4, "flip": True, "randaugment": None},
    },
    "epochs": 1,
    "steps_per_epoch": 2,
    "root_seed": 0,
    "threads": 1,
    "method_options": {},
    "setting": "mtl",
    "maps": {"segmentation_2d": 1, "depth": 1},
    "evaluated": ["motorcycle"],
}


def as_json(described):
    return json.dumps(described, sort_keys=True)


@pytest.mark.parametrize("preset", DIGESTS)
def test_descriptions_are_those_of_finished_runs(preset, shipped_plan):
    plan = shipped_plan(preset)
    parts = {"cells": plan.cells, "counted": plan.counted, "searches": plan.searches}
    described = {part: {name: item.describe() for name, item in items.items()} for part, items in parts.items()}
    digest = hashlib.sha256(as_json(described).encode()).hexdigest()
    assert digest == DIGESTS[preset], "see DIGESTS"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits/mnist/vit_d1_w8/single/base", DIGITS),
        ("motorcycle/segmentation_2d+depth/dense26_w4_shr1/grid/base", MOTORCYCLE),
    ],
)
def test_a_description_has_everything_that_a_run_depends_on(name, expected, shipped_plan):
    assert as_json(shipped_plan("smoke").cell(name).describe()) == as_json(expected)


def test_a_description_of_searched_weights_holds_the_search(shipped_plan):
    plan = shipped_plan("smoke")
    cell = plan.cell("emoji_people/three/vit_d1_w8/pbt/last_weights")
    search = plan.search_of(cell)
    assert cell.describe()["search"] == {"name": search.name, "policy": "last", **search.describe()}
    assert {"method": "pbt", "population": 2, "quantile": 0.5, "seed": 0}.items() <= search.describe().items()
    assert search.describe()["trains"]["fraction"] == 0.7 and "fraction" not in cell.describe()
    assert [run.weights for run in cell.runs] == [()]


def test_options_of_methods_are_written_out(shipped_plan):
    cell = shipped_plan("smoke").cell("emoji_people/gender+role/vit_d1_w8/cagrad/base")
    assert cell.describe()["method_options"] == {"c": 0.5, "rescale": True, "include_heads": False}
    assert cell.describe()["attributes"] == {"gender": ["male", "female"], "role": ["job", "fantasy"]}
