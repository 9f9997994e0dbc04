"""From a preset to cells: cells of several experiments, dense prediction, conflicts, what a specification holds."""

import math
from collections import Counter
from dataclasses import FrozenInstanceError

import pytest

from scalarization.errors import ConfigError
from scalarization.plan import artifacts
from scalarization.specification import AttributeOutputs, DenseOutputs, DomainOutputs


@pytest.fixture
def two_experiments(tiny):
    """(methods of the second, **other changes of it) -> the small preset with two experiments."""

    def two_experiments(methods, **changes):
        tiny["experiments"]["second"] = {**tiny["experiments"]["pair"], "methods": methods, **changes}
        return tiny

    return two_experiments


# --- Cells of several experiments ---


def test_experiments_share_a_cell(tiny, two_experiments, make_plan, grid_cell):
    tiny["experiments"]["pair"]["methods"] = {"grid": {"p1": [0.3, 0.7]}}
    tiny["artifacts"] = {"table_main": {"experiment": "pair"}}
    plan = make_plan(two_experiments({"grid": {"p1": [0.7, 0.5]}}, seeds=2))
    assert list(plan.cells) == [grid_cell]
    runs = [(run.weight_setting, run.weights[0], run.seed) for run in plan.cells[grid_cell].runs]
    # 0.3 with one seed from the first; 0.7 from both; 0.5 from the second, which has two seeds
    assert runs == [(0, 0.3, 0), (1, 0.7, 0), (1, 0.7, 1), (2, 0.5, 0), (2, 0.5, 1)]
    assert [cell.name for cell in plan.experiments["second"]] == [grid_cell]


def test_same_weights_written_differently_are_one_run(tiny, two_experiments, make_plan, grid_cell):
    tiny["experiments"]["pair"]["methods"] = {"grid": {"p1": [i / 10 for i in range(1, 10)]}}
    tiny["artifacts"] = {"table_main": {"experiment": "pair"}}
    plan = make_plan(two_experiments({"grid": {"simplex_step": 0.1}}))
    assert len(plan.cells[grid_cell].runs) == 9
    tiny["experiments"]["second"]["methods"] = {"grid": {"points": [[0.3, 0.7], [0.9, 0.1]]}}
    assert len(make_plan(tiny).cells[grid_cell].runs) == 9


def test_baselines_are_trained_once_for_all_task_sets(tiny, make_plan):
    tiny["benchmarks"]["digits"]["domains"].append("mfeat")
    tiny["experiments"]["pair"]["task_sets"] = {
        "mnist+optdigits": ["mnist", "optdigits"],
        "mnist+mfeat": ["mnist", "mfeat"],
    }
    plan = make_plan(tiny)
    assert Counter(cell.method for cell in plan.cells.values()) == {"single": 3, "grid": 2}


def test_experiments_that_disagree_on_a_cell_are_named(two_experiments, make_plan, grid_cell):
    preset = two_experiments({"grid": {"p1": [0.3]}}, variants={"base": {"recipe": {"lr": 0.5}}})
    with pytest.raises(ConfigError) as caught:
        make_plan(preset)
    for word in ("experiments.second", "experiments.pair", grid_cell, "recipe", "0.5", "0.003", "name a variant"):
        assert word in str(caught.value)


def test_cells_that_are_written_differently_and_are_the_same_are_one_cell(two_experiments, make_plan, grid_cell):
    """A number of steps that is that of a whole pass; a change to the value that the recipe has anyway."""
    written = {"recipe": {"steps_per_epoch": 4, "lr": 3e-3, "weight_decay": 0.05}}
    plan = make_plan(two_experiments({"grid": {"p1": [0.5]}}, variants={"base": written}))
    assert len(plan.cells[grid_cell].runs) == 3


def test_task_sets_of_one_name_with_tasks_in_another_order_disagree(two_experiments, make_plan):
    preset = two_experiments({"grid": {"p1": [0.3]}}, task_sets={"mnist+optdigits": ["optdigits", "mnist"]})
    with pytest.raises(ConfigError, match=r"experiments\.second.*tasks"):
        make_plan(preset)


# --- What a specification holds ---


def test_a_specification_holds_all_that_a_run_depends_on(tiny, make_plan, grid_cell):
    base = make_plan(tiny).cells[grid_cell].describe()
    for key, value in [("lr", 0.1), ("batch_size", 50), ("epochs", 4), ("precision", "bfloat16"), ("eval_every", 1)]:
        tiny["benchmarks"]["digits"]["recipe"] |= {key: value}
        changed = make_plan(tiny).cells[grid_cell].describe()
        assert changed != base
        base = changed
    assert make_plan(tiny, seed=1).cells[grid_cell].describe() != base
    assert make_plan(tiny, threads=2).cells[grid_cell].describe() != base
    # These say where and when something runs, never what comes out.
    tiny["jobs"] = {"minutes": 0, "runs_per_job": 1}
    assert make_plan(tiny, checkpoint_seconds=1, workers=7).cells[grid_cell].describe() == base


def test_steps_of_an_epoch_can_be_given(tiny, make_plan, grid_cell):
    """The very steps, of a fraction that much of them rounded up; nothing else of the specification changes."""
    before = make_plan(tiny).cells[grid_cell].describe()
    tiny["benchmarks"]["digits"]["recipe"]["steps_per_epoch"] = 3
    plan = make_plan(tiny)
    assert plan.cells[grid_cell].describe() == before | {"steps_per_epoch": 3} and before["steps_per_epoch"] == 4
    search = {"benchmark": "digits", "task_set": {"pair": ["mnist", "optdigits"]}, "method": "pbt", "quantile": 0.5}
    grid = {"family": "vit", "depth": [1], "width": [8]}
    tiny["searches"] = {"s": {**search, "architectures": grid, "population": 2, "epochs_ready": 1, "fraction": 0.5}}
    (search,) = make_plan(tiny).searches.values()
    assert search.cell.specification.steps_per_epoch == 2 and search.full_steps == 3 * 3


def test_the_type_of_outputs_is_the_kind_of_tasks(shipped_plan):
    kinds = {"digits": DomainOutputs, "emoji_styles": DomainOutputs}
    kinds |= {"emoji_people": AttributeOutputs, "motorcycle": DenseOutputs}
    plan = shipped_plan("demo")
    for cell in plan.cells.values():
        outputs = cell.specification.outputs
        assert type(outputs) is kinds[cell.benchmark]
        assert outputs.setting == plan.benchmarks[cell.benchmark].setting
        if isinstance(outputs, AttributeOutputs):
            assert tuple(outputs.attributes) == cell.tasks
        if isinstance(outputs, DenseOutputs):
            assert tuple(outputs.maps) == cell.tasks
    assert {cell.benchmark for cell in plan.cells.values()} == set(kinds)


def test_options_are_kept_of_methods_that_act_while_training(shipped_plan):
    """The options of others are in the weights of the runs already."""
    for cell in shipped_plan("smoke").cells.values():
        options = cell.specification.method_options
        assert (options is None) == (cell.method in ("single", "grid", "uniform", "proportional", "pbt", "pb2"))


def test_a_plan_cannot_be_changed(tiny, make_plan, grid_cell):
    plan = make_plan(tiny)
    cell = plan.cells[grid_cell]
    for target, key in ((plan, "cells"), (cell, "runs"), (cell.specification, "epochs")):
        with pytest.raises(FrozenInstanceError):
            setattr(target, key, None)
    with pytest.raises(ValueError, match="frozen"):
        cell.specification.recipe.lr = 1


def test_unknown_cells_are_named(smoke, make_plan):
    plan = make_plan(smoke)
    for lookup in (plan.cell, plan.shard):
        with pytest.raises(ConfigError, match=r"mine\.yaml: no cell .*vit_d1_w9.*did you mean .*vit_d1_w8"):
            lookup("digits/mnist/vit_d1_w9/single/base")
    with pytest.raises(ConfigError, match="no search some/vit_d1_w8; there is none"):
        plan.search("some/vit_d1_w8")
    with pytest.raises(ConfigError, match="no profile costs; there is none"):
        plan.profile("costs")


# --- Dense prediction ---


def test_dense_cells_have_maps(dense, make_plan):
    cell = make_plan(dense).cells["motorcycle/set/dense26_w16_shr5/grid/base"]
    assert cell.specification.outputs == DenseOutputs({"normals": 3, "depth": 1}, ("motorcycle",))
    assert cell.steps == math.ceil(122 / 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["experiments"]["pair"]["task_sets"].update(set=["normal", "depth"]), ["did you mean 'normals'"]),
        (lambda p: p["experiments"]["pair"]["task_sets"].update(set="groups"), ["has no groups, name the tasks"]),
        (lambda p: p["experiments"]["pair"]["architectures"].pop("shared_layers"), ["shared_layers is missing"]),
        (
            lambda p: p["experiments"]["pair"].update(architectures={"family": "vit", "depth": [1], "width": [12]}),
            ["'motorcycle' needs dense"],
        ),
        (lambda p: p["benchmarks"]["motorcycle"].update(tasks=["depths"]), ["tasks", "did you mean 'depth'"]),
        (lambda p: p["benchmarks"]["motorcycle"].update(tasks=["depth"]), ["'normals' is not one"]),
        (
            lambda p: p["benchmarks"]["motorcycle"]["recipe"].update(
                augmentation={"randaugment": {"num_ops": 1, "magnitude": 5}}
            ),
            ["recipe.augmentation.randaugment = num_ops=1 magnitude=5: maps would have to be transformed"],
        ),
        (
            lambda p: (
                p["benchmarks"]["motorcycle"]["model"].update(skips=True),
                p["experiments"]["pair"]["methods"].update(rotograd={}),
            ),
            ["methods.rotograd", "skips: false"],
        ),
        (lambda p: p["experiments"]["pair"]["methods"].update(proportional={}), ["proportional", "normals"]),
    ],
)
def test_impossible_dense_presets_are_explained(dense, make_plan, change, words):
    change(dense)
    with pytest.raises(ConfigError) as caught:
        make_plan(dense)
    assert all(word in str(caught.value) for word in words)


def test_dense_networks_are_for_maps_only(tiny, make_plan):
    tiny["experiments"]["pair"]["architectures"] = {
        "family": "dense",
        "depth": [26],
        "width": [8],
        "shared_layers": [0],
    }
    with pytest.raises(ConfigError, match="'digits' needs another than dense"):
        make_plan(tiny)


# --- Cells in which conflicts are counted ---

COUNTED = "digits/mnist+optdigits/vit_d2_w8/uniform/base"


def test_counted_cells_are_uniform_and_evaluated_every_epoch(tiny, make_plan, with_conflicts):
    """They are kept apart from cells of experiments with the same name."""
    tiny["experiments"]["pair"]["methods"] = {"single": {}, "uniform": {}}
    plan = make_plan(with_conflicts(tiny, seeds=3, every=2))
    assert list(plan.counted) == [COUNTED] and COUNTED in plan.cells
    plain, counted = plan.cell(COUNTED), plan.counted_cell(COUNTED)
    assert [(run.seed, run.weights) for run in counted.runs] == [(s, (0.5, 0.5)) for s in range(3)]
    assert counted.specification.count_every == 2 and plain.specification.count_every is None
    changes = {"eval_every": 1, "compile": False}
    assert counted.specification.recipe == plain.specification.recipe.model_copy(update=changes)
    assert counted.describe()["conflicts"] == {"every": 2} and "conflicts" not in plain.describe()
    assert plan.paths.run_file(counted) != plan.paths.run_file(plain)
    assert artifacts.inputs_of(plan, "figure_3") == [plan.paths.run_file(counted)]
    with pytest.raises(ConfigError, match=r"no cell digits/other"):
        plan.counted_cell("digits/other")


MISTAKES = {
    "one task": ({"task_sets": {"alone": ["mnist"]}}, ["conflicts.counted.task_sets.alone", "another"]),
    "compiled": ({"variants": {"fast": {"recipe": {"compile": True}}}}, ["conflicts.counted", "compile = true"]),
    "too seldom": ({"every": 5}, ["conflicts.counted.every", "5 is more than the 4 steps"]),
    "unknown benchmark": ({"benchmark": "digit"}, ["conflicts.counted.benchmark", "'digit'"]),
    "unknown domain": ({"task_sets": {"two": ["mnist", "mnits"]}}, ["conflicts.counted.task_sets", "'mnist'?"]),
    "unknown key": ({"evry": 2}, ["conflicts.counted.evry", "did you mean 'every'"]),
    "zero steps": ({"every": 0}, ["conflicts.counted.every", "0"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_impossible_counting_stops(name, tiny, make_plan, with_conflicts):
    changes, words = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        make_plan(with_conflicts(tiny, **changes))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_sections_that_disagree_on_a_counted_cell_are_named(tiny, make_plan, with_conflicts):
    with_conflicts(tiny)
    tiny["conflicts"]["again"] = {**tiny["conflicts"]["counted"], "every": 2}
    with pytest.raises(ConfigError, match=r"conflicts\.again: its cell .* conflicts\.counted in conflicts"):
        make_plan(tiny)
