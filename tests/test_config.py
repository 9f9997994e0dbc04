"""What stops a configuration before any job, and what the messages name."""

import copy
import json

import jsonschema
import pytest
import yaml

from scalarization.config import load_config, load_preset, parse_value, schema, with_defaults
from scalarization.errors import ConfigError
from scalarization.experiments import Plan

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
# What is changed in the preset -> words that the message must hold besides the file's name.
# fmt: off
IMPOSSIBLE = {
    "unknown key at the top": ("artefacts", {}, ["artefacts", "unknown key", "did you mean 'artifacts'"]),
    "unknown key in a recipe": (f"{RECIPE}/batchsize", 64, ["digits.recipe.batchsize", "64", "'batch_size'"]),
    "unknown key in a model": (f"{MODEL}/depth", 2, ["benchmarks.digits.model.depth", "2", "unknown key"]),
    "unknown key in an experiment": (f"{PAIR}/seed", 3, ["experiments.digits_pair.seed", "3", "'seeds'"]),
    "unknown key in an artifact": ("artifacts/figure_b/kinds", "x", ["artifacts.figure_b.kinds", '"x"', "'kind'"]),
    "unknown key in a variant": (
        f"{PAIR}/variants",
        {"fast": {"recipe": {"lrr": 1}}},
        ["experiments.digits_pair.variants.fast.recipe.lrr", "1", "'lr'"],
    ),
    "text for a number": (f"{RECIPE}/lr", "fast", ["benchmarks.digits.recipe.lr", '"fast"', "number"]),
    "fraction for a count": (f"{RECIPE}/epochs", 2.5, ["benchmarks.digits.recipe.epochs", "2.5", "integer"]),
    "number for a truth value": (f"{RECIPE}/augmentation/flip", 1, ["recipe.augmentation.flip", "1", "boolean"]),
    "one value for a list": (f"{PAIR}/architectures/width", 8, ["digits_pair.architectures.width", "8", "array"]),
    "list for keys": (f"{PAIR}/methods", ["single"], ["digits_pair.methods", "single", "object"]),
    "nothing for a name": ("artifacts/figure_b/experiment", None, ["artifacts.figure_b.experiment", "null", "string"]),
    "learning rate zero": (f"{RECIPE}/lr", 0, ["benchmarks.digits.recipe.lr", "0"]),
    "negative weight decay": (f"{RECIPE}/weight_decay", -0.1, ["benchmarks.digits.recipe.weight_decay", "-0.1"]),
    "no images in a batch": (f"{RECIPE}/batch_size", 0, ["benchmarks.digits.recipe.batch_size", "0"]),
    "unknown schedule": (f"{RECIPE}/schedule", "step", ["benchmarks.digits.recipe.schedule", '"step"', "cosine"]),
    "drop path of one": (f"{MODEL}/drop_path", 1, ["benchmarks.digits.model.drop_path", "1"]),
    "magnitude off the scale": (
        f"{RECIPE}/augmentation/randaugment",
        {"num_ops": 1, "magnitude": 31},
        ["recipe.augmentation.randaugment.magnitude", "31"],
    ),
    "zero seeds": (f"{PAIR}/seeds", 0, ["experiments.digits_pair.seeds", "0"]),
    "no methods": (f"{PAIR}/methods", {}, ["experiments.digits_pair.methods", "{}"]),
    "missing key": (f"{PAIR}/seeds", ABSENT, ["experiments.digits_pair", "'seeds' is missing"]),
    "missing section": ("artifacts", ABSENT, ["'artifacts' is missing"]),
    "task set that cannot be a path": (f"{PAIR}/task_sets", {"a/b": ["mnist"]}, ["digits_pair.task_sets", "a/b"]),
    "weight above one": (f"{PAIR}/methods/grid", {"p1": [0.3, 1.5]}, ["digits_pair.methods.grid.p1.1", "1.5"]),
    "weight given twice": (f"{PAIR}/methods/grid", {"p1": [0.3, 0.3]}, ["digits_pair.methods.grid.p1", "0.3"]),
    "point off the simplex": (
        f"{PAIR}/methods/grid",
        {"points": [[0.5, 0.5], [0.4, 0.5]]},
        ["digits_pair.methods.grid", "[0.4, 0.5]", "off the simplex"],
    ),
    "point of another dimension": (
        f"{PAIR}/methods/grid",
        {"points": [[0.2, 0.3, 0.5]]},
        ["digits_pair.methods.grid", "3 weights for 2 tasks"],
    ),
    "grid without points": (f"{PAIR}/methods/grid", {}, ["digits_pair.methods.grid", "exactly one of"]),
    "grid given twice": (f"{PAIR}/methods/grid", {"p1": [0.5], "simplex_step": 0.5}, ["methods.grid", "exactly one"]),
    "step that does not divide one": (f"{PAIR}/methods/grid", {"simplex_step": 0.3}, ["simplex_step", "0.3"]),
    "p1 for three members": (
        f"{PAIR}/task_sets",
        {"three": ["mnist", "optdigits", "mfeat"]},
        ["digits_pair.methods.grid", "p1", "3"],
    ),
    "unknown benchmark": ("benchmarks/digitz", {}, ["benchmarks.digitz", "did you mean 'digits'"]),
    "benchmark that is not configured": (f"{PAIR}/benchmark", "cifar_stl", ["digits_pair.benchmark", "'cifar_stl'"]),
    "unknown domain": ("benchmarks/digits/domains", ["optdigit"], ["digits.domains", "'optdigit'", "'optdigits'"]),
    "unknown domain in a task set": (f"{PAIR}/task_sets/pair", ["mnist", "usps"], ["task_sets.pair", "'usps'"]),
    "reference that is no domain": ("benchmarks/digits/reference", "mfeat", ["benchmarks.digits.reference", "'mfeat'"]),
    "unknown method": (f"{PAIR}/methods/unifrom", {}, ["digits_pair.methods", "'unifrom'", "did you mean 'uniform'"]),
    "unknown experiment": ("artifacts/figure_b/experiment", "pair", ["artifacts.figure_b.experiment", "'pair'"]),
    "unknown kind": ("artifacts/figure_b/kind", "figure_x", ["artifacts.figure_b", "'figure_x'"]),
    "kind by its own name": ("artifacts/figure_z", {"experiment": "digits_pair"}, ["artifacts.figure_z", "'figure_z'"]),
    "unknown backbone": (f"{PAIR}/architectures/family", "vgg", ["digits_pair.architectures.family", '"vgg"']),
    "width not divisible by heads": (f"{MODEL}/heads", 3, ["vit_d1_w8", "width 8", "heads = 3"]),
    "patch that does not divide the image": (f"{MODEL}/patch", 5, ["patch = 5", "16 pixels"]),
    "warm-up until the end": (f"{RECIPE}/warmup_epochs", 3, ["warmup_epochs = 3", "3 epochs"]),
    "number as a name": ("experiments", {1: {}, "pair": {}}, ["experiments", "1 is not of type 'string'"]),
}
# fmt: on


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_preset_stops_with_file_key_and_value(name, smoke, tmp_path, write_config):
    path, value, words = IMPOSSIBLE[name]
    if value == {} and path.startswith("benchmarks/"):
        value = copy.deepcopy(smoke["benchmarks"]["digits"])
    if name == "p1 for three members":
        smoke["benchmarks"]["digits"]["domains"].append("mfeat")
    edit(smoke, path, value)
    config = write_config(tmp_path, smoke)
    with pytest.raises(ConfigError) as caught:
        Plan(load_config(config))
    message = str(caught.value)
    for word in (str(tmp_path / "mine.yaml"), *words):
        assert word in message, message


IMPOSSIBLE_KNOBS = {
    "unknown knob": ({"cores": 4}, ["cores = 4", "unknown key"]),
    "close to a knob": ({"thread": 4}, ["thread = 4", "did you mean 'threads'"]),
    "no threads": ({"threads": 0}, ["threads = 0"]),
    "text as seed": ({"seed": "one"}, ["seed", '"one"', "integer"]),
    "negative seed": ({"seed": -1}, ["seed = -1"]),
    "unknown device": ({"device": "tpu"}, ["device", '"tpu"', "cuda"]),
    "no time between checkpoints": ({"checkpoint_seconds": 0}, ["checkpoint_seconds = 0"]),
    "unknown part": ({"only": {"domains": ["mnist"]}}, ["only.domains", "mnist", "unknown key"]),
    "empty part": ({"only": {"seeds": []}}, ["only.seeds", "[]"]),
    "part that is no list": ({"only": {"seeds": 0}}, ["only.seeds = 0", "array"]),
    "benchmark that is not there": ({"only": {"benchmarks": ["digit"]}}, ["only.benchmarks", "digit", "'digits'"]),
    "capacity that is not there": ({"only": {"capacities": ["vit_d9_w8"]}}, ["only.capacities", "vit_d9_w8"]),
    "seed that is not there": ({"only": {"seeds": [0, 7]}}, ["only.seeds", "7"]),
    "preset that is not there": ({"preset": "smok"}, ["preset = smok", "did you mean 'smoke'"]),
    "preset file that is not there": ({"preset": "no/such.yaml"}, ["preset = no/such.yaml", "no such file"]),
    "preset that is no name": ({"preset": 3}, ["preset = 3", "string"]),
}


@pytest.mark.parametrize("name", IMPOSSIBLE_KNOBS)
@pytest.mark.parametrize("given", ["in the file", "as override"])
def test_impossible_knob_stops_with_file_key_and_value(name, given, smoke, tmp_path, write_config):
    knobs, words = IMPOSSIBLE_KNOBS[name]
    config = write_config(tmp_path, smoke, **(knobs if given == "in the file" else {}))
    with pytest.raises(ConfigError) as caught:
        Plan(load_config(config, knobs if given == "as override" else None))
    for word in (str(config), *words):
        assert word in str(caught.value)


def test_all_problems_are_told_at_once(smoke, tmp_path, write_config):
    smoke["benchmarks"]["digits"]["recipe"].update(lr="fast", epochs=0)
    smoke["artefacts"] = {}
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(tmp_path, smoke))
    assert len(str(caught.value).splitlines()) == 3
    for word in ("recipe.lr", "recipe.epochs", "artefacts"):
        assert word in str(caught.value)


TEXTS = {
    "key given twice": ("description: one\ndescription: two\n", "'description' is given twice"),
    "nested key given twice": ("description: x\nbenchmarks: {digits: {}, digits: {}}\n", "'digits' is given twice"),
    "not YAML": ("description: [one\n", "not readable as YAML"),
    "a list": ("- description\n", "list"),
    "empty": ("", "NoneType"),
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
    with pytest.raises(ConfigError, match="mine.yaml.*not readable"):
        load_config(config)


def test_missing_configuration_is_named(tmp_path):
    with pytest.raises(ConfigError, match="config.yaml.*no such file"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("name", ["demo", "smoke", "paper"])
def test_shipped_presets_load(name, root):
    plan = Plan(load_config(root / "config.yaml", {"preset": name}))
    assert plan.config.preset_name == name
    assert plan.config.results.name == name and plan.config.reports.name == name
    assert plan.artifacts() == list(plan.config.preset["artifacts"])


@pytest.mark.parametrize("text", ["3e-3", "3E-3", "3.0e-3", ".3e-2", "+3e-3", "0.003"])
def test_learning_rates_are_numbers_however_they_are_written(text):
    assert parse_value(text) == pytest.approx(0.003) and isinstance(parse_value(text), float)


@pytest.mark.parametrize("text", ["e-3", "3e", "vit_3e-3", "1e-3-2"])
def test_names_that_look_like_numbers_stay_names(text):
    assert parse_value(text) == text


def test_learning_rate_without_a_dot_is_read_from_a_preset_as_a_number(tmp_path, root):
    text = (root / "workflow/presets/smoke.yaml").read_text()
    assert "lr: 3e-3" in text
    assert load_preset(root / "workflow/presets/smoke.yaml")["benchmarks"]["digits"]["recipe"]["lr"] == 0.003


def test_variant_changes_only_what_it_names(smoke, tmp_path, write_config):
    recipe = smoke["benchmarks"]["digits"]["recipe"]
    recipe.update(optimizer="sgd", weight_decay=0.2, momentum=0.5, schedule="constant")
    smoke["experiments"]["digits_pair"]["variants"] = {
        "base": {},
        "slow": {"recipe": {"lr": 0.001, "augmentation": {"crop_padding": 0}}, "model": {"drop_path": 0}},
    }
    plan = Plan(load_config(write_config(tmp_path, smoke)))
    base = plan.cells["digits/mnist+optdigits/vit_d1_w8/grid/base"].specification
    slow = plan.cells["digits/mnist+optdigits/vit_d1_w8/grid/slow"].specification
    expected = copy.deepcopy(base)
    expected["recipe"]["lr"] = 0.001
    expected["recipe"]["augmentation"]["crop_padding"] = 0
    expected["model"]["drop_path"] = 0
    assert slow == expected
    assert base["recipe"]["optimizer"] == "sgd" and base["recipe"]["warmup_epochs"] == 1


def test_variant_that_makes_an_architecture_impossible_is_named(smoke, make_plan):
    smoke["experiments"]["digits_pair"]["variants"] = {"base": {}, "wide": {"model": {"heads": 3}}}
    with pytest.raises(ConfigError, match="heads = 3"):
        make_plan(smoke)


def test_overrides_replace_the_file(smoke, tmp_path, write_config):
    config = load_config(write_config(tmp_path, smoke, seed=3, threads=2), {"seed": 4, "only": {"seeds": [1]}})
    assert (config.seed, config.threads, config.only) == (4, 2, {"seeds": [1]})


def properties(part, path=""):
    """(path, schema) of every property, wherever it is in a schema."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "properties":
                for name, sub in value.items():
                    yield f"{path}.{name}", sub
                    yield from properties(sub, f"{path}.{name}")
            elif key not in ("default", "enum", "const"):
                yield from properties(value, path)
    elif isinstance(part, list):
        for value in part:
            yield from properties(value, path)


PROPERTIES = [(f"{name}{path}", sub) for name, part in schema()["$defs"].items() for path, sub in properties(part)]


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert len(PROPERTIES) > 40


def test_every_property_is_described():
    lacking = [path for path, sub in PROPERTIES if not {"description", "$ref", "allOf"} & set(sub)]
    assert not lacking


def test_every_object_refuses_unknown_keys():
    loose = [path for path, sub in PROPERTIES if "properties" in sub and sub.get("additionalProperties") is not False]
    assert not loose


@pytest.mark.parametrize("path", [path for path, sub in PROPERTIES if "default" in sub])
def test_defaults_fit_their_own_schema(path):
    sub = dict(PROPERTIES)[path]
    jsonschema.Draft202012Validator({**sub, "$defs": schema()["$defs"]}).validate(with_defaults(sub["default"], sub))


@pytest.mark.parametrize("part", ["config", "preset"])
def test_filling_in_defaults_twice_is_filling_them_in_once(part, smoke):
    value = {"preset": "smoke"} if part == "config" else smoke
    definition = schema()["$defs"][part]
    before = json.dumps(value)
    once = with_defaults(value, definition)
    assert with_defaults(once, definition) == once
    assert json.dumps(value) == before
    jsonschema.Draft202012Validator({**schema(), "$ref": f"#/$defs/{part}"}).validate(once)


def test_computing_nodes_without_jsonschema_read_the_same(smoke, tmp_path, write_config, monkeypatch):
    config = write_config(tmp_path, smoke)
    whole = load_config(config)
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)
    assert load_config(config) == whole


def test_shipped_configuration_names_every_knob(root):
    shipped = yaml.safe_load((root / "config.yaml").read_text())
    assert set(shipped) == set(schema()["$defs"]["config"]["properties"])


# --- One preset on top of another ---


def extend(tmp_path, **contents):
    """Write presets; the last one's path."""
    for name, content in contents.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path / f"{name}.yaml"


def test_extended_presets_change_what_they_name_and_nothing_else(smoke, tmp_path, root):
    recipe = {"lr": 1, "augmentation": {"crop_padding": 0}}
    changes = {
        "description": "Mine.",
        "benchmarks": {"digits": {"recipe": recipe, "domains": ["mfeat", "optdigits"]}},
        "experiments": {"digits_pair": {"methods": {"rlw": {}}}},
    }
    one = extend(tmp_path, base=smoke, mine={"extends": str(tmp_path / "base.yaml"), **changes})
    found = load_preset(one)
    base = load_preset(tmp_path / "base.yaml")
    assert "extends" not in found and found["description"] == "Mine."
    digits, before = found["benchmarks"]["digits"], base["benchmarks"]["digits"]
    assert digits["domains"] == ["mfeat", "optdigits"] and digits["recipe"]["lr"] == 1
    assert digits["recipe"]["augmentation"] == {**before["recipe"]["augmentation"], "crop_padding": 0}
    assert digits["recipe"]["batch_size"] == before["recipe"]["batch_size"] and digits["model"] == before["model"]
    assert list(found["experiments"]["digits_pair"]["methods"]) == ["single", "grid", "uniform", "proportional", "rlw"]
    assert found["artifacts"] == base["artifacts"]
    # A chain of them, and a base by name.
    two = extend(tmp_path, two={"extends": str(one), "description": "Yours."})
    assert load_preset(two) == {**found, "description": "Yours."}
    named = load_preset(extend(tmp_path, named={"extends": "smoke"}))
    assert named == load_preset(root / "workflow/presets/smoke.yaml")


def test_extended_presets_that_are_wrong_say_where(smoke, tmp_path):
    wrong = extend(
        tmp_path, base=smoke, wrong={"extends": str(tmp_path / "base.yaml"), "experiments": {"digits_piar": {}}}
    )
    with pytest.raises(ConfigError, match=r"wrong\.yaml, which extends .*base\.yaml: experiments\.digits_piar: key"):
        load_preset(wrong)
    with pytest.raises(ConfigError, match=r"alone\.yaml: extends: preset = papr.*did you mean 'paper'"):
        load_preset(extend(tmp_path, alone={"extends": "papr"}))
    with pytest.raises(ConfigError, match=r"listed\.yaml: extends = \['smoke'\]: expected the name"):
        load_preset(extend(tmp_path, listed={"extends": ["smoke"]}))
    for first, second in (("a", "b"), ("b", "a")):
        extend(tmp_path, **{first: {"extends": str(tmp_path / f"{second}.yaml")}})
    with pytest.raises(ConfigError, match=r"a\.yaml: extends goes round: .*a\.yaml -> .*b\.yaml -> .*a\.yaml"):
        load_preset(tmp_path / "a.yaml")
