"""What the tests of planning share: a small dense preset, counting of conflicts, plans with other knobs of a preset."""

from dataclasses import replace

import pytest

#: A cell of the small preset `tiny`.
GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"


@pytest.fixture
def grid_cell():
    """Name of the grid's cell of `tiny`."""
    return GRID


@pytest.fixture
def dense(tiny):
    """A small preset on the motorcycle, free to be changed."""
    recipe = {"optimizer": "sgd", "lr": 0.1, "batch_size": 8, "epochs": 1}
    tiny["benchmarks"] = {"motorcycle": {"domains": ["motorcycle"], "reference": "motorcycle", "model": {}}}
    tiny["benchmarks"]["motorcycle"]["recipe"] = recipe
    tiny["experiments"]["pair"] |= {
        "benchmark": "motorcycle",
        "task_sets": {"set": ["normals", "depth"]},
        "architectures": {"family": "dense", "depth": [26], "width": [8, 16], "shared_layers": [0, 5]},
    }
    tiny["artifacts"] = {"figure_c": {"experiment": "pair"}}
    return tiny


@pytest.fixture
def with_conflicts():
    """(preset, **changes) -> the preset, with conflicts counted on the grid of its experiment `pair`."""

    def with_conflicts(preset, **changes):
        pair = preset["experiments"]["pair"]
        count = {key: pair[key] for key in ("benchmark", "task_sets", "architectures", "seeds")}
        preset["conflicts"] = {"counted": {**count, **changes}}
        preset["artifacts"]["figure_3"] = {"conflicts": ["counted"]}
        return preset

    return with_conflicts


@pytest.fixture
def with_changed():
    """(plan, section of the preset, **changes) -> the plan under a preset in which these keys of a section differ."""

    def with_changed(plan, section, **changes):
        preset = plan.preset
        changed = getattr(preset, section).model_copy(update=changes)
        return replace(plan, config=replace(plan.config, preset=preset.model_copy(update={section: changed})))

    return with_changed
