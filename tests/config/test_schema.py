"""The generated JSON schema: it is in step with the models, complete, and refuses what they refuse."""

import copy
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from scalarization import methods
from scalarization.config import Preset, parse_value
from scalarization.config.load import _read_preset as read_preset
from scalarization.config.load import checked
from scalarization.errors import ConfigError
from scalarization.plan.schema import SCHEMA_FILE, json_schema

COMMITTED = json.loads(SCHEMA_FILE.read_text())
METHODS = list(COMMITTED["$defs"]["Experiment"]["properties"]["methods"]["properties"])


def validator(part):
    return Draft202012Validator({**COMMITTED, "$ref": f"#/$defs/{part}"})


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


def parts(part):
    """Every schema in a schema."""
    if isinstance(part, dict):
        yield part
        for key, value in part.items():
            if key in ("properties", "patternProperties", "$defs"):
                for sub in value.values():
                    yield from parts(sub)
            elif key not in ("default", "enum", "const"):
                yield from parts(value)
    elif isinstance(part, list):
        for value in part:
            yield from parts(value)


PROPERTIES = dict((f"{name}{path}", sub) for name, part in COMMITTED["$defs"].items() for path, sub in properties(part))


def test_the_committed_file_is_in_step_with_the_models():
    """Methods that the file does not know are left out, so that a method of one's own needs no change of it."""
    assert json_schema(METHODS) == COMMITTED, "run: envs/run python tools/write_schema.py"


def test_it_names_all_shipped_methods():
    assert set(METHODS) <= set(methods.names())
    assert {"single", "grid", "uniform", "rlw", "cagrad", "rotograd", "pbt", "pb2", "search_grid"} <= set(METHODS)


def test_it_is_a_schema():
    Draft202012Validator.check_schema(COMMITTED)
    assert COMMITTED["$schema"].endswith("2020-12/schema") and len(PROPERTIES) > 100
    # Keywords that JSON schema does not know are ignored, not refused.
    assert not {"ge", "gt", "le", "lt", "multiple_of"} & {keyword for part in parts(COMMITTED) for keyword in part}


def test_every_property_is_described():
    """By itself, or by the definition that it refers to."""
    definitions = COMMITTED["$defs"]
    described = {name for name, part in definitions.items() if part["description"]}
    assert described == set(definitions)
    assert not [path for path, sub in PROPERTIES.items() if not {"description", "$ref"} & set(sub)]


def test_every_object_refuses_unknown_keys():
    named = [part for part in parts(COMMITTED) if "properties" in part or "patternProperties" in part]
    assert len(named) > 20
    assert all(part["additionalProperties"] is False for part in named)


def test_titles_do_not_repeat_keys():
    assert [part["title"] for part in parts(COMMITTED) if "title" in part] == [COMMITTED["title"]]


@pytest.mark.parametrize("path", [path for path, sub in PROPERTIES.items() if "default" in sub])
def test_defaults_fit(path):
    sub = PROPERTIES[path]
    Draft202012Validator({**sub, "$defs": COMMITTED["$defs"]}).validate(sub["default"])


def test_changes_have_no_defaults():
    """A key that is not given leaves the benchmark's own value as it is."""
    pairs = {"RecipeChanges": "Recipe", "ModelChanges": "Model", "AugmentationChanges": "AugmentationOptions"}
    for changes, name in pairs.items():
        part, whole = COMMITTED["$defs"][changes], COMMITTED["$defs"][name]
        assert set(part["properties"]) == set(whole["properties"]) and "required" not in part
        assert not [key for key, sub in part["properties"].items() if "default" in sub]
    assert "lr" in COMMITTED["$defs"]["Recipe"]["required"]


@pytest.mark.parametrize("name", ["demo", "smoke", "paper_tiny", "paper"])
def test_shipped_presets_fit(name, root):
    content, _ = read_preset(root / "workflow" / "presets" / f"{name}.yaml")
    validator("Preset").validate(content)


def test_the_shipped_configuration_fits(root):
    validator("Knobs").validate(parse_value((root / "config.yaml").read_text()))


# --- The schema and the models refuse the same ---

VALUES = [
    None,
    True,
    3,
    0,
    -1,
    0.5,
    2.0,
    40,
    "word",
    "a/b",
    "auto",
    "",
    [],
    [1],
    ["mnist", "mnist"],
    {},
    {"a": 1},
    [[]],
]


def places(value, path=()):
    """Paths of everything in a preset but what is below `methods`, which the preset's model leaves to the methods."""
    yield path
    if path and path[-1] == "methods":
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.fixture(scope="module")
def smoke_content(root):
    """The shipped preset `smoke`; what YAML's anchors share is written out."""
    return json.loads(json.dumps(parse_value((root / "workflow/presets/smoke.yaml").read_text())))


def possible(preset):
    try:
        checked(Preset, preset, "mine.yaml")
    except ConfigError:
        return False
    return True


@given(data=st.data())
@settings(max_examples=150)
def test_what_the_schema_refuses_is_what_the_models_refuse(data, smoke_content):
    preset = copy.deepcopy(smoke_content)
    path = data.draw(st.sampled_from([p for p in places(preset) if p]))
    target = preset
    for part in path[:-1]:
        target = target[part]
    change = data.draw(st.sampled_from(["value", "new key", "no key"]))
    value = data.draw(st.sampled_from(VALUES))
    if change == "value" or not isinstance(target, dict):
        target[path[-1]] = value
    elif change == "new key":
        target[data.draw(st.sampled_from(["new", "a/b"]))] = value
    else:
        del target[path[-1]]
    if path[-1] == "methods":
        return
    assert possible(preset) == validator("Preset").is_valid(preset)


@pytest.mark.parametrize("name", METHODS)
def test_options_that_the_schema_refuses_are_those_that_methods_refuse(name):
    options = COMMITTED["$defs"]["Experiment"]["properties"]["methods"]["properties"][name]
    of_options = Draft202012Validator({**options, "$defs": COMMITTED["$defs"]})
    for key, value in itertools.product([*methods.load(name).options.model_fields, "unknown"], VALUES):
        try:
            methods.parse(name, {key: value})
        except ConfigError:
            accepted = False
        else:
            accepted = True
        assert of_options.is_valid({key: value}) == accepted, (key, value)
