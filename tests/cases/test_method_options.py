"""Options of methods: refused when planning, with file, key and value, wherever a method is named."""

import math

import pytest

from scalarization import methods
from scalarization.config import parse_value
from scalarization.errors import ConfigError

# Method -> (option, value) -> the end of the message.
IMPOSSIBLE = [
    ("cagrad", {"c": "big"}, 'c = "big": expected a number'),
    ("cagrad", {"c": -5}, "c = -5: expected at least 0"),
    ("cagrad", {"c": 1e30}, "c = 1e+30: expected at most 10"),
    ("cagrad", {"c": math.nan}, "c = NaN: expected a finite number"),
    ("cagrad", {"rescale": "yes"}, 'rescale = "yes": expected true or false'),
    ("pcgrad", {"reduction": "median"}, "reduction = \"median\": expected 'mean' or 'sum'"),
    ("pcgrad", {"include_heads": "no"}, 'include_heads = "no": expected true or false'),
    ("pcgrad", {"include_heads": 0}, "include_heads = 0: expected true or false"),
    ("graddrop", {"leak": 0.1}, "leak = 0.1: unknown key"),
    ("dwa", {"temperature": 0}, "temperature = 0: expected at least 0.01"),
    ("dwa", {"temperature": math.inf}, "temperature = Infinity: expected a finite number"),
    ("nash_mtl", {"optim_niter": -3}, "optim_niter = -3: expected at least 1"),
    ("nash_mtl", {"optim_niter": 1e9}, "optim_niter = 1000000000: expected at most 10,000"),
    ("nash_mtl", {"optim_niter": 2.5}, "optim_niter = 2.5: expected an integer"),
    ("nash_mtl", {"update_weights_every": 0}, "update_weights_every = 0: expected at least 1"),
    ("famo", {"lr": -1}, "lr = -1: expected at least 0"),
    ("famo", {"weight_decay": [1]}, "weight_decay = [1]: expected a number"),
    ("rotograd", {"rotation_lr": 1e9}, "rotation_lr = 1000000000.0: expected at most 1,000"),
    ("aligned_mtl", {"scale_mode": None}, "scale_mode = null: expected 'min', 'median' or 'rmse'"),
    ("upgrad", {"norm_eps": 1e-8}, "norm_eps = 1e-08: unknown key"),
    ("grid", {"p1": []}, "p1 = []: expected at least one entry"),
    ("grid", {"p1": [True]}, "p1.0 = true: expected a number"),
    ("grid", {"simplex_step": "0.1"}, 'simplex_step = "0.1": expected a number'),
    ("pbt", {"search": 3}, "search = 3: expected a string"),
    ("pbt", {"policy": "first"}, "policy = \"first\": expected 'whole' or 'last'"),
    ("rlw", {"temperature": 2}, "temperature = 2: method rlw has no options"),
    ("uniform", {"weights": [1, 2]}, "weights = [1, 2]: method uniform has no options"),
    ("single", {"seeds": 3}, "seeds = 3: method single has no options"),
]


@pytest.fixture
def people(root):
    """The part of preset `smoke` that is about one experiment and one profile on people, free to be changed."""
    preset = parse_value((root / "workflow/presets/smoke.yaml").read_text())
    preset["benchmarks"] = {"emoji_people": preset["benchmarks"]["emoji_people"]}
    preset["experiments"] = {"people": preset["experiments"]["people"]}
    preset["artifacts"] = {"table_main": {"experiment": "people"}}
    del preset["conflicts"], preset["searches"]
    return preset


@pytest.mark.parametrize("section", ["experiments.people", "profiles.people_costs"])
@pytest.mark.parametrize(("method", "options", "message"), IMPOSSIBLE)
def test_an_impossible_option_is_refused(method, options, message, section, people, make_plan, tmp_path):
    part, name = section.split(".")
    people[part][name]["methods"][method] = options
    with pytest.raises(ConfigError) as caught:
        make_plan(people)
    assert f"{tmp_path / 'mine.yaml'}: {section}.methods.{method}.{message}" in str(caught.value)
    assert "known: ;" not in str(caught.value) and not str(caught.value).endswith("known: ")


@pytest.mark.parametrize("options", [None, [], "c", 3], ids=str)
def test_options_are_keys_and_values(options, people, make_plan):
    people["experiments"]["people"]["methods"]["cagrad"] = options
    with pytest.raises(ConfigError, match=r"experiments\.people\.methods\.cagrad = .*: expected keys and values"):
        make_plan(people)


@pytest.mark.parametrize("name", methods.names())
def test_every_number_of_every_method_has_bounds(name):
    """In the schema, which is generated from the models; so a new option without bounds is found here."""
    pending = [methods.load(name).options.model_json_schema()]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            pending += part.values()
            if part.get("type") in ("integer", "number"):
                words = set(part)
                assert words & {"minimum", "exclusiveMinimum", "ge", "gt"}, part
                assert words & {"maximum", "exclusiveMaximum", "le", "lt"}, part
