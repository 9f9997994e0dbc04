"""Numbers of presets and of config.yaml that nobody can mean: refused when planning, with file, key and value.

Not finite, a fraction for an integer, too large or too small, so many that they cannot be expanded, or in contradiction
with another key.
"""

import copy
import math
import time

import pytest

from scalarization.config import parse_value
from scalarization.errors import ConfigError

NAN, INF, DENORMAL = math.nan, math.inf, 1e-320
RECIPE, MODEL = "benchmarks/digits/recipe", "benchmarks/digits/model"
PAIR, STYLES = "experiments/digits_pair", "benchmarks/emoji_styles/recipe"
SEARCH, PROFILE = "searches/three_pbt", "profiles/people_costs"


@pytest.fixture(scope="session")
def shipped_smoke(root):
    return parse_value((root / "workflow/presets/smoke.yaml").read_text())


@pytest.fixture
def smoke(shipped_smoke):
    """The whole preset `smoke`, free to be changed."""
    return copy.deepcopy(shipped_smoke)


def edit(preset, changes):
    """Set keys given as `a/b/c`; what is missing on the way is made."""
    for path, value in changes.items():
        *parents, last = path.split("/")
        place = preset
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return preset


def refusal(make_plan, content, **knobs):
    """The lines of the message, without the file's name; no computation of seconds came before it."""
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        make_plan(content, **knobs)
    assert time.process_time() - began < 5
    lines = str(caught.value).splitlines()
    assert all(".yaml: " in line for line in lines)
    return [line.partition(".yaml: ")[2] for line in lines]


#: Key of a floating point number -> its name in messages.
FLOATS = {
    f"{RECIPE}/lr": "benchmarks.digits.recipe.lr",
    f"{RECIPE}/weight_decay": "benchmarks.digits.recipe.weight_decay",
    f"{RECIPE}/momentum": "benchmarks.digits.recipe.momentum",
    f"{MODEL}/mlp_ratio": "benchmarks.digits.model.mlp_ratio",
    f"{MODEL}/drop_path": "benchmarks.digits.model.drop_path",
    f"{PAIR}/methods/grid/simplex_step": "experiments.digits_pair.methods.grid.simplex_step",
    f"{SEARCH}/quantile": "searches.three_pbt.quantile",
    f"{SEARCH}/fraction": "searches.three_pbt.fraction",
    f"{SEARCH}/resample_probability": "searches.three_pbt.resample_probability",
    "jobs/minutes": "jobs.minutes",
    "jobs/gpus_per_member": "jobs.gpus_per_member",
    "jobs/time_factor": "jobs.time_factor",
    "throughput/flops_per_second": "throughput.flops_per_second",
    "throughput/seconds_per_step": "throughput.seconds_per_step",
    "throughput/seconds_per_job": "throughput.seconds_per_job",
    "throughput/images_per_second/vit_d1_w8": "throughput.images_per_second.vit_d1_w8",
}


@pytest.mark.parametrize("value", [NAN, INF, -INF, DENORMAL], ids=str)
@pytest.mark.parametrize("path", FLOATS)
def test_a_number_is_finite_and_normal(path, value, smoke, make_plan):
    (line,) = refusal(make_plan, edit(smoke, {path: value}))
    assert line.startswith(f"{FLOATS[path]} = ")
    assert ("a finite number" in line) == (not math.isfinite(value))


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (f"{PAIR}/methods/grid", {"p1": [NAN]}, "experiments.digits_pair.methods.grid.p1.0 = NaN: expected a finite"),
        (f"{PAIR}/methods/grid", {"p1": [DENORMAL]}, "methods.grid.p1.0 = 1e-320: expected 0 or a size of 1.2e-38"),
        (f"{PAIR}/methods/grid", {"points": [[NAN, 1]]}, "methods.grid.points.0.0 = NaN: expected a finite number"),
        (f"{SEARCH}/perturbation_factors", [1.2, NAN], "three_pbt.perturbation_factors.1 = NaN: expected a finite"),
        (f"{PAIR}/seeds", NAN, "experiments.digits_pair.seeds = NaN: expected"),
        (f"{RECIPE}/epochs", INF, "benchmarks.digits.recipe.epochs = Infinity: expected"),
    ],
)
def test_a_number_in_a_list_or_for_an_integer_is_finite(path, value, line, smoke, make_plan):
    assert line in refusal(make_plan, edit(smoke, {path: value}))[0]


def test_whole_floats_are_integers(smoke, make_plan):
    """`seeds: 2.0`, `batch_size: 100.0`, `width: [8.0]`, `epochs: 3.0`: as if the point was not there."""
    plain = make_plan(copy.deepcopy(smoke))
    grid = {"family": "vit", "depth": [1.0], "width": [8.0, 16.0]}
    floats = {f"{PAIR}/seeds": 2.0, f"{RECIPE}/batch_size": 100.0, f"{RECIPE}/epochs": 3.0}
    plan = make_plan(edit(smoke, {**floats, f"{PAIR}/architectures": grid, f"{SEARCH}/population": 2.0}))
    assert {n: repr(c.describe()) for n, c in plan.cells.items()} == {
        n: repr(c.describe()) for n, c in plain.cells.items()
    }
    assert plan.searches == plain.searches and all(isinstance(c.steps, int) for c in plan.cells.values())


#: Sizes: what is changed -> the message. It names the count where several keys make it.
SIZES = {
    "seeds": (
        {f"{PAIR}/seeds": 1_000_000_000},
        "experiments.digits_pair.seeds = 1000000000: expected at most 1,000,000",
    ),
    "seeds of several weights": (
        {f"{PAIR}/seeds": 300_000},
        "experiments.digits_pair: 3,600,000 runs; a preset has at most 1,000,000",
    ),
    "seeds of counted conflicts": (
        {"conflicts/digits_conflicts/seeds": 900_000},
        "conflicts.digits_conflicts: 3,600,000 runs",
    ),
    "step of three tasks": (
        {"experiments/people_three/methods/grid": {"simplex_step": 1e-7}},
        "methods.grid on three: grid.simplex_step = 1e-07: 49,999,985,000,001 points on 3 tasks; at most 100,000",
    ),
    "step of two tasks": (
        {f"{PAIR}/methods/grid": {"simplex_step": 1e-7}},
        "grid.simplex_step = 1e-07: 9,999,999 points on 2 tasks; at most 100,000",
    ),
    "step of six domains": (
        {"experiments/styles_six/methods/grid": {"simplex_step": 0.01}},
        "methods.grid on all6: grid.simplex_step = 0.01: 71,523,144 points on 6 tasks; at most 100,000",
    ),
    "step of all attributes": (
        {
            "experiments/people/task_sets": {"all": "attributes"},
            "experiments/people/methods/grid": {"simplex_step": 1e-9},
        },
        "grid.simplex_step = 1e-09: more than 10^15 points on 23 tasks",
    ),
    "capacities": (
        {f"{PAIR}/architectures": {"family": "vit", "depth": [*range(1, 1001)], "width": [*range(2, 2002, 2)]}},
        "experiments.digits_pair: 5,000,000 cells; a preset has at most 50,000",
    ),
    "variants and capacities": (
        {
            f"{PAIR}/architectures/width": [*range(2, 402, 2)],
            f"{PAIR}/variants": {f"lr{n}": {"recipe": {"lr": n / 1000}} for n in range(1, 201)},
        },
        "experiments.digits_pair: 200,000 cells; a preset has at most 50,000",
    ),
    "population": (
        {f"{SEARCH}/population": 1e9},
        "searches.three_pbt.population = 1000000000: expected at most 10,000",
    ),
    "intervals of a search": (
        {f"{SEARCH}/population": 10_000, f"{SEARCH}/changes": {"recipe": {"epochs": 1000}}},
        "searches.three_pbt: 2 searches x population 10,000 x 1,000 intervals are 20,000,000 rows",
    ),
    "epochs": (
        {f"{RECIPE}/epochs": 1e12},
        "benchmarks.digits.recipe.epochs = 1000000000000: expected at most 1,000,000",
    ),
    "steps": ({f"{RECIPE}/steps_per_epoch": 1e18}, "recipe.steps_per_epoch = 1e+18: expected at most 100,000,000"),
    "steps of a run": (
        {f"{RECIPE}/steps_per_epoch": 100_000_000, f"{RECIPE}/epochs": 11},
        "benchmarks.digits.recipe.epochs = 11: at 100,000,000 steps each, a run has 1,100,000,000 steps; at most 1,000",
    ),
    "images of all runs": (
        {f"{RECIPE}/steps_per_epoch": 100_000_000, f"{RECIPE}/epochs": 10, f"{PAIR}/seeds": 20_000},
        "experiments: all runs together are trained on 24,",
    ),
    "batch": (
        {f"{RECIPE}/batch_size": 1_000_000},
        "benchmarks.digits.recipe.batch_size = 1000000: is more than the 800 training images of the reference domain",
    ),
    "batch of a variant": (
        {f"{PAIR}/variants": {"large": {"recipe": {"batch_size": 801}}}},
        "experiments.digits_pair.variants.large.recipe.batch_size = 801: is more than the 800 training images",
    ),
    "batch of a profile": (
        {f"{PROFILE}/batch_size": 100_000},
        "profiles.people_costs.batch_size = 100000: is more than",
    ),
    "tasks of a profile": (
        {f"{PROFILE}/tasks": [1001]},
        "profiles.people_costs.tasks.0 = 1001: expected at most 1,000",
    ),
    "rounds of a profile": ({f"{PROFILE}/rounds": 1e9}, "people_costs.rounds = 1000000000: expected at most 10,000"),
    "depth": ({f"{PAIR}/architectures/depth": [1_000_000]}, "architectures.depth.0 = 1000000: expected at most 1,000"),
    "width": ({f"{PAIR}/architectures/width": [1e7]}, "architectures.width.0 = 10000000.0: expected at most 16,384"),
    "operations": (
        {f"{RECIPE}/augmentation/randaugment": {"num_ops": 10**6, "magnitude": 5}},
        "randaugment.num_ops = 1000000: expected at most 100",
    ),
    "memory": ({"jobs/memory_mb": 10**12}, "jobs.memory_mb = 1000000000000: expected at most 100,000,000"),
    "learning rate": ({f"{RECIPE}/lr": 1e300}, "recipe.lr = 1e+300: expected 0 or a size of 1.2e-38 to 3.4e+38"),
    "integer of many digits": ({f"{RECIPE}/epochs": 10**400}, "benchmarks.digits.recipe.epochs = 10"),
    "integer of many digits for a number": ({f"{RECIPE}/lr": 10**400}, "benchmarks.digits.recipe.lr = 10"),
}


@pytest.mark.parametrize("name", SIZES)
def test_what_cannot_be_trained_is_refused_with_its_size(name, smoke, make_plan):
    changes, line = SIZES[name]
    assert any(line in other for other in refusal(make_plan, edit(smoke, changes)))


#: What contradicts another key -> the message.
CONTRADICTIONS = {
    "more micro-batches than images": (
        {f"{RECIPE}/accumulate": 1000},
        "benchmarks.digits.recipe.accumulate = 1000: a batch of 100 images gives at most 100",
    ),
    "fewer micro-batches than given": (
        {f"{RECIPE}/accumulate": 64},
        "benchmarks.digits.recipe.accumulate = 64: a batch of 100 images gives 50 micro-batches of 2",
    ),
    "micro-batches of one image under BatchNorm (pytorch-semseg 214)": (
        {f"{STYLES}/batch_size": 5, f"{STYLES}/accumulate": 4},
        "benchmarks.emoji_styles.recipe.accumulate = 4: a batch of 5 images gives 3 micro-batches of 2",
    ),
    "a last micro-batch of one image under BatchNorm": (
        {f"{STYLES}/batch_size": 5, f"{STYLES}/accumulate": 3},
        "emoji_styles.recipe.accumulate = 3: resnet14_w16 normalises maps of one pixel over the images of a "
        "micro-batch, and the last one has one image; BatchNorm needs two",
    ),
    "a batch of one image under BatchNorm": (
        {f"{STYLES}/batch_size": 1},
        "benchmarks.emoji_styles.recipe.batch_size = 1: resnet14_w16 normalises maps of one pixel over the images of a "
        "batch",
    ),
    "no hidden unit": (
        {f"{MODEL}/mlp_ratio": 0.001},
        "experiments.digits_pair.architectures vit_d1_w8: mlp_ratio = 0.001 leaves no hidden unit at width 8",
    ),
    "a crop without an image": (
        {f"{RECIPE}/augmentation/crop_padding": 16},
        "benchmarks.digits.recipe.augmentation.crop_padding = 16: a crop could miss all of an image of 16 pixels",
    ),
    "no epoch after warm-up": (
        {f"{PAIR}/variants": {"short": {"recipe": {"epochs": 1}}}},
        "benchmarks.digits.recipe.warmup_epochs = 1: leaves none of the 1 epochs after it (with epochs of experiments."
        "digits_pair.variants.short.recipe)",
    ),
    "evaluations after the end": (
        {f"{RECIPE}/eval_every": 99},
        "benchmarks.digits.recipe.eval_every = 99: is more than the 3 epochs",
    ),
    "intervals longer than the training": (
        {f"{SEARCH}/epochs_ready": 9},
        "searches.three_pbt.epochs_ready: 9 of 2 epochs: there is no exploitation",
    ),
    "a part of the data without a batch": (
        {f"{SEARCH}/fraction": 1e-5},
        "searches.three_pbt.fraction = 1e-05: leaves 0 training images of people, and a batch has 512",
    ),
    "factors that change nothing": (
        {f"{SEARCH}/perturbation_factors": [1]},
        "factors = [1]: expected at least 2 entries",
    ),
    "equal factors": ({f"{SEARCH}/perturbation_factors": [1.2, 1.2]}, "factors = [1.2, 1.2]: 1.2 is given twice"),
    "a profile of weights": (
        {f"{PROFILE}/methods": {"pbt": {}}},
        "profiles.people_costs.methods.pbt: sets weights only, so that its steps are those of uniform; leave it out",
    ),
    "a profile of a grid": ({f"{PROFILE}/methods": {"grid": {"p1": [0.5]}}}, "people_costs.methods.grid: sets weights"),
    "a network of a profile without blocks": (
        {f"{PROFILE}/architecture": "vit_d0_w8"},
        "profiles.people_costs.architecture: 'vit_d0_w8' is not an architecture",
    ),
    "a group and its own attribute": (
        {"experiments/people/task_sets": {"both": ["gender", "female"]}},
        "experiments.people.task_sets.both: 'gender' and 'female' both have attribute 'female'; leave one of them out",
    ),
    "joint training of one task": (
        {"experiments/styles_sweep/methods/uniform": {}},
        "experiments.styles_sweep.task_sets.noto: one task has nothing to share with under method uniform",
    ),
    "variants of a search for a method without": (
        {"experiments/people/variants": {"base": {}, "searched": {"search": "three_pbt"}}},
        "experiments.people.variants.searched.search = three_pbt: is for methods that search; single, grid, uniform",
    ),
    "a policy where conflicts are counted": (
        {"conflicts/digits_conflicts/variants": {"last": {"policy": "last"}}},
        "conflicts.digits_conflicts.variants.last.policy = last: is for methods that search; uniform would train as",
    ),
    "a variant that changes nothing": (
        {f"{PAIR}/variants": {"base": {}, "same": {"recipe": {"lr": 3e-3}}}},
        "experiments.digits_pair.variants.same: would train the same runs as 'base' (method single, grid",
    ),
    "a variant that changes what has no effect": (
        {f"{PAIR}/variants": {"base": {}, "same": {"recipe": {"momentum": 0.5}, "model": {"stem": "deep"}}}},
        "experiments.digits_pair.variants.same: would train the same runs as 'base'",
    ),
    "a variant that searches where the method does": (
        {
            "experiments/people_search_on/variants": {
                "base": {},
                "again": {"search": "three_pbt", "search_on": "vit_d1_w8"},
            }
        },
        "experiments.people_search_on.variants.again: would train the same runs as 'base' (method pbt)",
    ),
    "two names of one task set": (
        {f"{PAIR}/task_sets": {"one": ["mnist", "optdigits"], "two": ["mnist", "optdigits"]}},
        "experiments.digits_pair.task_sets.two: would train the same runs as 'one'",
    ),
    "weights that are nearly equal": (
        {f"{PAIR}/methods/grid": {"p1": [0.3, 0.30000000000000004]}},
        "methods.grid on mnist+optdigits: weights [0.3, 0.7] and [0.30000000000000004, 0.7] are the same to 9 decimals",
    ),
    "more memory than the most": (
        {"jobs/memory_mb": 8000},
        "jobs.memory_mb = 8000: is more than max_memory_mb = 4000",
    ),
    "speed of no architecture": (
        {"throughput/images_per_second": {"vit_d01_w8": 100}},
        "throughput.images_per_second: 'vit_d01_w8' is not an architecture",
    ),
    "seeds of a selection": ({}, "only.seeds = [0, 0]: 0 is given twice"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_another_key_is_refused(name, smoke, make_plan):
    changes, line = CONTRADICTIONS[name]
    knobs = {"only": {"seeds": [0, 0]}} if name == "seeds of a selection" else {}
    assert any(line in other for other in refusal(make_plan, edit(smoke, changes), **knobs))


def test_two_keys_of_one_search_are_refused(smoke, make_plan):
    smoke["searches"]["again"] = smoke["searches"]["three_pbt"]
    (line,) = refusal(make_plan, smoke)
    assert line == "searches.again: would search the same as searches.three_pbt; name that one instead"


#: What is unusual and possible.
POSSIBLE = {
    "the largest batch": {f"{RECIPE}/batch_size": 800, "conflicts/digits_conflicts/every": 1},
    "micro-batches of one image without BatchNorm": {f"{RECIPE}/accumulate": 100},
    "micro-batches of two sizes": {f"{RECIPE}/accumulate": 3},
    "a learning rate that will diverge": {f"{RECIPE}/lr": 1e30},
    "a shorter variant, evaluated at its end": {
        "benchmarks/digits/recipe/eval_every": 3,
        f"{PAIR}/variants": {"base": {}, "short": {"recipe": {"epochs": 2}}},
    },
    "weights of zero and one": {f"{PAIR}/methods/grid": {"p1": [0, 0.5, 1]}},
    "a hundred thousand runs": {f"{PAIR}/seeds": 10_000},
    "more tasks than attributes, which are used again": {f"{PROFILE}/tasks": [99]},
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_is_unusual_is_planned(name, smoke, make_plan):
    assert make_plan(edit(smoke, POSSIBLE[name])).cells


#: Key of config.yaml, its value, the message.
KNOBS = [
    ("checkpoint_seconds", NAN, "checkpoint_seconds = NaN: expected a finite number"),
    ("checkpoint_seconds", 1e12, "checkpoint_seconds = 1000000000000.0: expected at most 316,224,000"),
    ("seed", 2**70, "seed = 1180591620717411303424: expected at most 9.22337e+18"),
    ("seed", 0.5, "seed = 0.5: expected an integer"),
    ("threads", 1e9, "threads = 1000000000: expected at most 10,000"),
    ("workers", INF, "workers = Infinity: expected"),
]


@pytest.mark.parametrize(("key", "value", "line"), KNOBS)
def test_numbers_of_the_configuration_are_possible(key, value, line, smoke, make_plan):
    assert line in refusal(make_plan, smoke, **{key: value})[0]
