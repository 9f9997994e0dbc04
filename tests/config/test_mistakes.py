"""What stops a configuration before any job, and what the messages name: file, key, value, the way out."""

import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalarization.config import Preset, load_config, parse_value
from scalarization.config.load import checked
from scalarization.errors import ConfigError
from scalarization.plan import load_plan

ABSENT = object()


def edit(preset, path, value):
    """Set, or take out, one key given as `a/b/c`."""
    *parents, last = path.split("/")
    for part in parents:
        preset = preset[int(part)] if isinstance(preset, list) else preset[part]
    if value is ABSENT:
        del preset[last]
    else:
        preset[last] = value


RECIPE, MODEL = "benchmarks/digits/recipe", "benchmarks/digits/model"
PAIR = "experiments/digits_pair"
#: Part of every preset that is about searches.
SEARCH = {
    "benchmark": "digits",
    "task_set": {"mnist+optdigits": ["mnist", "optdigits"]},
    "architectures": {"family": "vit", "depth": [1], "width": [8]},
    "method": "pbt",
    "population": 4,
    "epochs_ready": 1,
}
# What is changed in the preset -> the line of the message, after the file's name.
# fmt: off
IMPOSSIBLE = {
    "unknown key at the top": ("artefacts", {}, "artefacts = {}: unknown key, did you mean 'artifacts'?"),
    "unknown key in a recipe": (
        f"{RECIPE}/batchsize", 64, "benchmarks.digits.recipe.batchsize = 64: unknown key, did you mean 'batch_size'?"
    ),
    "unknown key in a model": (f"{MODEL}/depth", 2, "benchmarks.digits.model.depth = 2: unknown key, did you"),
    "unknown key in an experiment": (
        f"{PAIR}/seed", 3, "experiments.digits_pair.seed = 3: unknown key, did you mean 'seeds'?"
    ),
    "unknown key in an artifact": (
        "artifacts/figure_b/kinds", "x", "artifacts.figure_b.kinds = \"x\": unknown key, did you mean 'kind'?"
    ),
    "unknown key in a variant": (
        f"{PAIR}/variants",
        {"fast": {"recipe": {"augmentation": {"flop": True}}}},
        "experiments.digits_pair.variants.fast.recipe.augmentation.flop = true: unknown key, did you mean 'flip'?",
    ),
    "unknown key in changes of a search": (
        "searches", {"s": {**SEARCH, "changes": {"recipe": {"lrr": 1}}}},
        "searches.s.changes.recipe.lrr = 1: unknown key, did you mean 'lr'?",
    ),
    "number as a key of a recipe": (
        f"{RECIPE}/augmentation", {1: 2},
        "benchmarks.digits.recipe.augmentation: key 1 is not a string; put it in quotes",
    ),
    "text for a number": (
        f"{RECIPE}/lr", "fast",
        'benchmarks.digits.recipe.lr = "fast": expected a number (Peak learning rate, reached at the end of warm-up.)',
    ),
    "truth value for a number": (f"{RECIPE}/lr", True, "benchmarks.digits.recipe.lr = true: expected a number ("),
    "fraction for a count": (f"{RECIPE}/epochs", 2.5, "digits.recipe.epochs = 2.5: expected an integer (Epochs; one"),
    "truth value for a count": (f"{PAIR}/seeds", True, "digits_pair.seeds = true: expected an integer (Number"),
    "number for a truth value": (
        f"{RECIPE}/augmentation/flip", 1, "benchmarks.digits.recipe.augmentation.flip = 1: expected true or false ("
    ),
    "neither word nor truth value": (
        f"{RECIPE}/compile", "always",
        "benchmarks.digits.recipe.compile = \"always\": expected 'auto' or true or false (torch.compile; auto:",
    ),
    "one value for a list": (f"{PAIR}/architectures/width", 8, "architectures.width = 8: expected a list (ViT: size"),
    "list for keys": (
        f"{PAIR}/methods", ["single"],
        'experiments.digits_pair.methods = ["single"]: expected keys and values (Method -> its options.',
    ),
    "nothing for a variant": (
        f"{PAIR}/variants", {"fast": None}, "digits_pair.variants.fast = null: expected keys and values (Name ->"
    ),
    "nothing for a learning rate of a variant": (
        f"{PAIR}/variants", {"fast": {"recipe": {"lr": None}}},
        "digits_pair.variants.fast.recipe.lr = null: expected a number (Peak",
    ),
    "nothing for a policy of a variant": (
        f"{PAIR}/variants", {"fast": {"policy": None}},
        "digits_pair.variants.fast.policy = null: expected 'whole' or 'last' (",
    ),
    "text for keys": (
        f"{RECIPE}/augmentation/randaugment", "strong",
        'recipe.augmentation.randaugment = "strong": expected keys and values (RandAugment; null: none.)',
    ),
    "learning rate zero": (f"{RECIPE}/lr", 0, "benchmarks.digits.recipe.lr = 0: expected more than 0 (Peak"),
    "negative weight decay": (f"{RECIPE}/weight_decay", -0.1, "recipe.weight_decay = -0.1: expected at least 0 ("),
    "no images in a batch": (f"{RECIPE}/batch_size", 0, "digits.recipe.batch_size = 0: expected at least 1 (Images"),
    "unknown schedule": (
        f"{RECIPE}/schedule", "step", "recipe.schedule = \"step\": expected 'cosine' or 'constant' (Learning rate"
    ),
    "drop path of one": (f"{MODEL}/drop_path", 1, "digits.model.drop_path = 1: expected less than 1 (ViT:"),
    "magnitude off the scale": (
        f"{RECIPE}/augmentation/randaugment", {"num_ops": 1, "magnitude": 31},
        "digits.recipe.augmentation.randaugment.magnitude = 31: expected at most 30 (Magnitude",
    ),
    "quantile above a half": (
        "searches", {"s": {**SEARCH, "quantile": 0.6}}, "searches.s.quantile = 0.6: expected at most 0.5 (Fraction Q"
    ),
    "two task sets of a search": (
        "searches", {"s": {**SEARCH, "task_set": {"a": ["mnist"], "b": ["mnist"]}}},
        'searches.s.task_set = {"a": ["mnist"], "b": ["mnist"]}: expected at most one entry (',
    ),
    "one member of a search": ("searches", {"s": {**SEARCH, "population": 1}}, "s.population = 1: expected at least 2"),
    "zero seeds": (f"{PAIR}/seeds", 0, "experiments.digits_pair.seeds = 0: expected at least 1 (Number of seeds;"),
    "no methods": (f"{PAIR}/methods", {}, "experiments.digits_pair.methods = {}: expected at least one entry ("),
    "no description": ("description", "", 'description = "": expected at least one character (What the preset'),
    "missing key": (f"{PAIR}/seeds", ABSENT, "experiments.digits_pair: key 'seeds' is missing"),
    "missing section": ("artifacts", ABSENT, "top level: key 'artifacts' is missing"),
    "missing key of RandAugment": (
        f"{RECIPE}/augmentation/randaugment", {"num_ops": 1}, "augmentation.randaugment: key 'magnitude' is missing"
    ),
    "task set that cannot be a path": (
        f"{PAIR}/task_sets", {"a/b": ["mnist"]},
        "experiments.digits_pair.task_sets: key \"a/b\" is not possible (A part of a path: letters, digits and",
    ),
    "name that is too long": (f"{PAIR}/task_sets", {"a" * 81: ["mnist"]}, "digits_pair.task_sets: key \"aaaaaaa"),
    "artifact that cannot be a file": (
        "artifacts/Figure_b", {"experiment": "digits_pair"}, 'artifacts: key "Figure_b" is not possible (Name of an'
    ),
    "number as a name": ("experiments", {1: {}, "pair": {}}, "experiments: key 1 is not a string; put it in quotes"),
    "truth value as a name": (f"{PAIR}/task_sets", {True: ["mnist"]}, "task_sets: key true is not a string; put it in"),
    "task set of another type": (
        f"{PAIR}/task_sets/pair", 3,
        "task_sets.pair = 3: expected a list or 'groups' or 'attributes' (Names of domains, groups,",
    ),
    "unknown word for a task set": (
        f"{PAIR}/task_sets/pair", "group", "task_sets.pair = \"group\": expected a list or 'groups' or 'attributes' ("
    ),
    "task set without tasks": (f"{PAIR}/task_sets/pair", [], "task_sets.pair = []: expected at least one entry ("),
    "task given twice": (
        f"{PAIR}/task_sets/pair", ["mnist", "mnist"],
        "task_sets.pair = [\"mnist\", \"mnist\"]: 'mnist' is given twice (Names of domains",
    ),
    "number for a task": (f"{PAIR}/task_sets/pair", ["mnist", 1], "task_sets.pair.1 = 1: expected a string (Names of"),
    "weight above one": (
        f"{PAIR}/methods/grid", {"p1": [0.3, 1.5]},
        "experiments.digits_pair.methods.grid.p1.1 = 1.5: expected at most 1 (For two tasks: weights of the first",
    ),
    "weight given twice": (
        f"{PAIR}/methods/grid", {"p1": [0.3, 0.3]}, "methods.grid.p1 = [0.3, 0.3]: 0.3 is given twice (For two tasks:"
    ),
    "weight that is no number": (f"{PAIR}/methods/grid", {"points": [[0.5, "x"]]}, "grid.points.0.1 = \"x\": expected"),
    "unknown option": (
        f"{PAIR}/methods/grid", {"p2": [1]}, "digits_pair.methods.grid.p2 = [1]: unknown key, known: p1, points, "
    ),
    "option of a method without options": (
        f"{PAIR}/methods/uniform", {"p1": [0.5]},
        "experiments.digits_pair.methods.uniform.p1 = [0.5]: method uniform has no options",
    ),
    "options that are no keys": (f"{PAIR}/methods/grid", [0.5], "methods.grid = [0.5]: expected keys and values ("),
    "point off the simplex": (
        f"{PAIR}/methods/grid", {"points": [[0.5, 0.5], [0.4, 0.5]]},
        "digits_pair.methods.grid on mnist+optdigits: weights [0.4, 0.5] are off the simplex: they must be >= 0",
    ),
    "point of another dimension": (
        f"{PAIR}/methods/grid", {"points": [[0.2, 0.3, 0.5]]}, "grid on mnist+optdigits: 3 weights for 2 tasks (mnist"
    ),
    "grid without points": (f"{PAIR}/methods/grid", {}, "grid on mnist+optdigits: grid needs exactly one of p1"),
    "grid given twice": (
        f"{PAIR}/methods/grid", {"p1": [0.5], "simplex_step": 0.5}, "grid on mnist+optdigits: grid needs exactly one"
    ),
    "step that does not divide one": (
        f"{PAIR}/methods/grid", {"simplex_step": 0.3}, "grid.simplex_step = 0.3: 1 must be a multiple of it"
    ),
    "p1 for three tasks": (
        f"{PAIR}/task_sets", {"three": ["mnist", "optdigits", "mfeat"]},
        "experiments.digits_pair.methods.grid on three: grid.p1 is for two tasks, not 3: give points or simplex_step",
    ),
    "unknown benchmark": (
        "benchmarks/digitz", {}, "benchmarks.digitz: benchmark 'digitz' is unknown; did you mean 'digits'?"
    ),
    "benchmark that is not configured": (
        f"{PAIR}/benchmark", "cifar_stl",
        "experiments.digits_pair.benchmark: 'cifar_stl' is not configured; known: digits",
    ),
    "unknown domain": (
        "benchmarks/digits/domains", ["optdigit"],
        "benchmarks.digits.domains: 'optdigit' is unknown; did you mean 'optdigits'?",
    ),
    "unknown domain in a task set": (
        f"{PAIR}/task_sets/pair", ["mnist", "usps"], "digits_pair.task_sets.pair: 'usps' is not one of its benchmark's;"
    ),
    "reference that is no domain": (
        "benchmarks/digits/reference", "mfeat", "benchmarks.digits.reference: 'mfeat' is not among its domains"
    ),
    "unknown method": (
        f"{PAIR}/methods/unifrom", {},
        "experiments.digits_pair.methods: method 'unifrom' is unknown; did you mean 'uniform'?",
    ),
    "unknown experiment": (
        "artifacts/figure_b/experiment", "pair", "artifacts.figure_b.experiment: 'pair' is unknown; known: digits_pair"
    ),
    "artifact of nothing": (
        "artifacts/figure_b/experiment", None, "artifacts.figure_b: key 'experiment' is missing"
    ),
    "unknown kind": (
        "artifacts/figure_b/kind", "figure_x", "artifacts.figure_b: kind 'figure_x' is unknown; did you mean 'figure_"
    ),
    "kind by its own name": (
        "artifacts/figure_z", {"experiment": "digits_pair"}, "artifacts.figure_z: kind 'figure_z' is unknown; did you"
    ),
    "unknown backbone": (
        f"{PAIR}/architectures/family", "vgg",
        "digits_pair.architectures.family = \"vgg\": expected 'vit', 'resnet'",
    ),
    "width not divisible by heads": (
        f"{MODEL}/heads", 3, "architectures vit_d1_w8: width 8 is not divisible by heads = 3; choose a multiple, or"
    ),
    "patch that does not divide the image": (
        f"{MODEL}/patch", 5, "vit_d1_w8: patch = 5 does not divide the image size of 16 pixels"
    ),
    "warm-up until the end": (
        f"{RECIPE}/warmup_epochs", 3, "benchmarks.digits.recipe.warmup_epochs = 3: leaves none of the 3 epochs after it"
    ),
    "profile of an unknown method": (
        "profiles", {"p": {"benchmark": "emoji_people", "architecture": "vit_d1_w8", "tasks": [2],
                           "methods": {"gird": {}}}},
        "profiles.p.methods: method 'gird' is unknown; did you mean 'grid'?",
    ),
    "profile of an impossible option": (
        "profiles", {"p": {"benchmark": "emoji_people", "architecture": "vit_d1_w8", "tasks": [2],
                           "methods": {"cagrad": {"c": "x"}}}},
        'profiles.p.methods.cagrad.c = "x": expected a number (',
    ),
    "profile of no architecture": (
        "profiles", {"p": {"benchmark": "emoji_people", "architecture": "vit", "tasks": [2], "methods": {"rlw": {}}}},
        "profiles.p.architecture: 'vit' is not an architecture; expected for example vit_d6_w96",
    ),
    "profile without attributes": (
        "profiles", {"p": {"benchmark": "digits", "architecture": "vit_d1_w8", "tasks": [2], "methods": {"rlw": {}}}},
        "profiles.p: benchmark 'digits' has no attributes here; known: emoji_people",
    ),
}
# fmt: on


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_preset_stops_with_file_key_and_value(name, smoke, tmp_path, write_config, root):
    path, value, line = IMPOSSIBLE[name]
    if name == "unknown benchmark":
        value = copy.deepcopy(smoke["benchmarks"]["digits"])
    if name == "p1 for three tasks":
        smoke["benchmarks"]["digits"]["domains"].append("mfeat")
    if path == "profiles":
        whole = parse_value((root / "workflow/presets/smoke.yaml").read_text())
        smoke["benchmarks"]["emoji_people"] = whole["benchmarks"]["emoji_people"]
    edit(smoke, path, value)
    config = write_config(tmp_path, smoke)
    with pytest.raises(ConfigError) as caught:
        load_plan(load_config(config))
    lines = str(caught.value).splitlines()
    assert all(text.startswith(f"{tmp_path / 'mine.yaml'}: ") for text in lines), caught.value
    assert len([text for text in lines if line in text]) == 1, caught.value
    assert len(set(lines)) == len(lines)
    # What pydantic calls the alternatives of a union, and its words, are nothing that a user knows.
    for word in ("[key]", "list[", "literal[", "function-", "Input should", "nullable"):
        assert word not in str(caught.value)


IMPOSSIBLE_KNOBS = {
    "unknown knob": ({"cores": 4}, "cores = 4: unknown key"),
    "close to a knob": ({"thread": 4}, "thread = 4: unknown key, did you mean 'threads'?"),
    "no threads": ({"threads": 0}, "threads = 0: expected at least 1 (Compute threads"),
    "text as seed": ({"seed": "one"}, 'seed = "one": expected an integer (Root of all randomness'),
    "negative seed": ({"seed": -1}, "seed = -1: expected at least 0"),
    "unknown device": ({"device": "tpu"}, "device = \"tpu\": expected 'auto', 'cpu' or 'cuda'"),
    "no time between checkpoints": ({"checkpoint_seconds": 0}, "checkpoint_seconds = 0: expected more than 0"),
    "number as a directory": ({"data_dir": 3}, "data_dir = 3: expected a string"),
    "unknown part": ({"only": {"domains": ["mnist"]}}, 'only.domains = ["mnist"]: unknown key, known: benchmarks,'),
    "empty part": ({"only": {"seeds": []}}, "only.seeds = []: expected at least one entry"),
    "part that is no list": ({"only": {"seeds": 0}}, "only.seeds = 0: expected a list"),
    "benchmark that is not there": ({"only": {"benchmarks": ["digit"]}}, "only.benchmarks: digit is not in the preset"),
    "capacity that is not there": ({"only": {"capacities": ["vit_d9_w8"]}}, "only.capacities: vit_d9_w8 is not in the"),
    "seed that is not there": ({"only": {"seeds": [0, 7]}}, "only.seeds: 7 is not in the preset; known: 0, 1"),
    "preset that is not there": ({"preset": "smok"}, "preset = smok: there is no workflow/presets/smok.yaml; did you"),
    "preset file that is not there": ({"preset": "no/such.yaml"}, "preset = no/such.yaml: there is no such file"),
    "preset that is no name": ({"preset": 3}, "preset = 3: expected a string"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE_KNOBS)
@pytest.mark.parametrize("given", ["in the file", "as override"])
def test_impossible_knob_stops_with_file_key_and_value(name, given, smoke, tmp_path, write_config):
    knobs, line = IMPOSSIBLE_KNOBS[name]
    config = write_config(tmp_path, smoke, **(knobs if given == "in the file" else {}))
    with pytest.raises(ConfigError) as caught:
        load_plan(load_config(config, knobs if given == "as override" else None))
    for word in (str(config), line):
        assert word in str(caught.value)


def test_all_mistakes_are_told_at_once(smoke, tmp_path, write_config):
    smoke["benchmarks"]["digits"]["recipe"].update(lr="fast", epochs=0)
    smoke["artefacts"] = {}
    smoke["experiments"]["digits_pair"]["architectures"].update(depht=[1], hights=3)
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(tmp_path, smoke))
    assert len(str(caught.value).splitlines()) == 5
    for word in ("recipe.lr", "recipe.epochs", "artefacts", "architectures.depht", "architectures.hights"):
        assert word in str(caught.value)


def test_mistakes_in_different_parts_of_a_plan_are_told_at_once(smoke, make_plan):
    """Of methods, task sets, architectures and artifacts, although each is checked by another function."""
    pair = smoke["experiments"]["digits_pair"]
    pair["methods"] |= {"unifrom": {}, "rlw": {"normal": True}}
    pair["architectures"]["width"] = [8, 9]
    smoke["artifacts"] = {"figure_b": {"experiment": "digits_pair"}, "figure_d": {"experiment": "digits_piar"}}
    smoke["experiments"]["other"] = {**pair, "methods": {"single": {}}, "task_sets": {"pair": ["mnits"]}}
    with pytest.raises(ConfigError) as caught:
        make_plan(smoke)
    lines = str(caught.value).splitlines()
    expected = {
        "'unifrom' is unknown": 1,
        "rlw.normal = true": 1,
        "vit_d1_w9: width 9": 2,  # of both experiments
        "'digits_piar' is unknown": 1,
        "'mnits'": 1,
    }
    assert {word: sum(word in line for line in lines) for word in expected} == expected, caught.value
    assert len(lines) == sum(expected.values())


# --- Numbers ---

NUMBERS = {
    "learning rate": ((f"{RECIPE}/lr",), "benchmarks.digits.recipe.lr"),
    "weight decay": ((f"{RECIPE}/weight_decay",), "benchmarks.digits.recipe.weight_decay"),
    "momentum": ((f"{RECIPE}/momentum",), "benchmarks.digits.recipe.momentum"),
    "crop": ((f"{RECIPE}/augmentation/resized_crop",), "recipe.augmentation.resized_crop"),
    "ratio": ((f"{MODEL}/mlp_ratio",), "benchmarks.digits.model.mlp_ratio"),
    "drop path": ((f"{MODEL}/drop_path",), "benchmarks.digits.model.drop_path"),
    "minutes": (("jobs/minutes",), "jobs.minutes"),
    "time factor": (("jobs/time_factor",), "jobs.time_factor"),
    "seconds per step": (("throughput/seconds_per_step",), "throughput.seconds_per_step"),
    "speed": (("throughput/images_per_second", "vit_d1_w8"), "throughput.images_per_second.vit_d1_w8"),
    "weight": ((f"{PAIR}/methods/grid", "p1"), "methods.grid.p1.0"),
    "step": ((f"{PAIR}/methods/grid", "simplex_step"), "methods.grid.simplex_step"),
    "radius": ((f"{PAIR}/methods/cagrad", "c"), "methods.cagrad.c"),
    "quantile": (("searches", "quantile"), "searches.s.quantile"),
    "fraction": (("searches", "fraction"), "searches.s.fraction"),
    "factor": (("searches", "perturbation_factors"), "searches.s.perturbation_factors.0"),
    "probability": (("searches", "resample_probability"), "searches.s.resample_probability"),
    "learning rate of a variant": ((f"{PAIR}/variants", "lr"), "variants.fast.recipe.lr"),
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_finite(name, value, smoke, make_plan):
    (path, *option), key = NUMBERS[name]
    smoke["throughput"] = {"hardware": "x", "flops_per_second": 1, "seconds_per_step": 1, "seconds_per_job": 1}
    if path == "searches":
        value = {"s": {**SEARCH, option[0]: [value] if option[0] == "perturbation_factors" else value}}
    elif path.endswith("variants"):
        value = {"fast": {"recipe": {"lr": value}}}
    elif option:
        value = {option[0]: [value] if option[0] == "p1" else value}
    edit(smoke, path, value)
    with pytest.raises(ConfigError, match="expected a finite number") as caught:
        make_plan(smoke)
    assert key in str(caught.value)


@pytest.mark.parametrize("knobs", [{"checkpoint_seconds": math.inf}, {"seed": math.nan}, {"threads": math.inf}])
def test_knobs_are_finite(knobs, smoke, make_plan):
    with pytest.raises(ConfigError, match=r"expected (a finite number|an integer)"):
        make_plan(smoke, **knobs)


def test_whole_floats_are_integers(smoke, make_plan):
    plain = make_plan(smoke, seed=1, threads=2, only={"seeds": [1]})
    pair, recipe = smoke["experiments"]["digits_pair"], smoke["benchmarks"]["digits"]["recipe"]
    pair["seeds"] = float(pair["seeds"])
    pair["architectures"]["depth"] = [1.0]
    recipe.update(epochs=float(recipe["epochs"]), batch_size=float(recipe["batch_size"]))
    plan = make_plan(smoke, seed=1.0, threads=2.0, only={"seeds": [1.0]})
    assert plan.cells == plain.cells
    assert {name: repr(cell.describe()) for name, cell in plan.cells.items()} == {
        name: repr(cell.describe()) for name, cell in plain.cells.items()
    }


def test_numbers_stay_as_they_are_written(smoke, make_plan):
    """So that a specification, and with it the identity of a run, does not depend on how a preset is read."""
    smoke["benchmarks"]["digits"]["model"].update(mlp_ratio=2, drop_path=0)
    smoke["benchmarks"]["digits"]["recipe"].update(lr=1, weight_decay=0.50)
    (cell, *_) = make_plan(smoke).cells.values()
    described = cell.describe()
    assert repr(described["model"]["mlp_ratio"]) == "2" and repr(described["model"]["drop_path"]) == "0"
    assert repr(described["recipe"]["lr"]) == "1" and repr(described["recipe"]["weight_decay"]) == "0.5"


# --- Text that is no preset ---

TEXTS = {
    "key given twice": ("description: one\ndescription: two\n", "'description' is given twice"),
    "nested key given twice": ("description: x\nbenchmarks: {digits: {}, digits: {}}\n", "'digits' is given twice"),
    "not YAML": ("description: [one\n", "not readable as YAML"),
    "a list": ("- description\n", "list"),
    "empty": ("", "nothing"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_unreadable_preset_is_named(name, tmp_path, write_config):
    text, words = TEXTS[name]
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(tmp_path, text))
    assert str(tmp_path / "mine.yaml") in str(caught.value) and words in str(caught.value)


def test_preset_that_is_no_text_is_named(tmp_path, write_config, smoke):
    config = write_config(tmp_path, smoke)
    (tmp_path / "mine.yaml").write_bytes(b"description: \xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.yaml.*not readable"):
        load_config(config)


def test_missing_configuration_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml.*no such file"):
        load_config(tmp_path / "config.yaml")


# --- Anything anywhere ---

VALUES = [None, True, 3, -1, 0.5, math.nan, "word", "a/b", "", [], [1], ["mnist", "mnist"], {}, {"a": 1}, {1: 2}, [[]]]


def places(value, path=()):
    """Paths of everything in a preset."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.fixture(scope="module")
def smoke_text(root):
    """The shipped preset `smoke` as JSON: what YAML's anchors share is written out."""
    return json.dumps(parse_value((root / "workflow/presets/smoke.yaml").read_text()))


@given(data=st.data())
@settings(max_examples=300)
def test_whatever_is_written_wherever_is_possible_or_named(data, smoke_text):
    """No value makes the check itself fail, and each line begins with the key that was changed, or one in it."""
    preset = json.loads(smoke_text)
    path = data.draw(st.sampled_from([p for p in places(preset) if p]))
    value, as_key = data.draw(st.sampled_from(VALUES)), data.draw(st.booleans())
    target = preset
    for part in path[:-1]:
        target = target[part]
    if as_key and isinstance(target, dict):
        target[data.draw(st.sampled_from(["new", "a/b", 1, True, None]))] = value
    else:
        target[path[-1]] = value
    try:
        checked(Preset, preset, "mine.yaml")
    except ConfigError as error:
        parents = [".".join(map(str, path[:length])) for length in range(len(path) + 1)]
        for line in str(error).splitlines():
            key = line.removeprefix("mine.yaml: ").split(" = ")[0].split(": ")[0]
            parent = parents[-2] if as_key else parents[-1]
            assert key == "top level" or key.startswith(parent) or key == parents[-2], line


def test_every_number_of_a_preset_is_finite(smoke_text):
    """But options of methods, which the methods themselves check."""
    preset = json.loads(smoke_text)
    numbers = 0
    for path in list(places(preset)):
        if "methods" in path:
            continue
        *parents, last = path or (None,)
        target = preset
        for part in parents:
            target = target[part]
        if last is None or not isinstance(target[last], int | float) or isinstance(target[last], bool):
            continue
        numbers += 1
        before = target[last]
        for value in (math.nan, math.inf):
            target[last] = value
            with pytest.raises(ConfigError, match=r"expected (a finite number|an integer)"):
                checked(Preset, preset, "mine.yaml")
        target[last] = before
    assert numbers > 80


def test_long_values_are_cut_off(smoke, tmp_path, write_config):
    smoke["description"] = list(range(100))
    with pytest.raises(ConfigError, match=r"description = \[0, 1, .*\.\.\.: expected a string"):
        load_config(write_config(tmp_path, smoke))
