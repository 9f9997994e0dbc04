"""Any preset is either planned or refused with a message that names the file; nothing else is ever raised."""

import copy
import math

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from scalarization.config import Preset, load_config
from scalarization.errors import ConfigError
from scalarization.plan import load_plan

#: Values that belong nowhere, that belong somewhere else, and that are right in type only.
VALUES = [
    *(None, True, False, 0, 1, 2, 3, -1, 7.0, 0.5, -0.5, 1e-320, 1e-12, 1e12, 1e300, 10**9, 10**30, 2**63),
    *(math.nan, math.inf, -math.inf, "", "x", "1", "nan", "a b", "../x", "pair\n", "{x}", "$(x)", "é", "x" * 300, "~"),
    *([], {}, [0], [None], [[]], [1, 1], ["x"], [math.nan], [2, 3, 4], {"x": 1}, {"x": {}}, {"x": None}, {"base": {}}),
    *("mnist", ["mnist"], ["mnist", "optdigits"], "groups", "digits", "vit", "pbt", "uniform", "single", "smoke"),
]
SHIPPED = ("smoke", "demo", "paper")


def places(content, prefix=()):
    """Paths of all values in nested dicts and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from places(value, (*prefix, key))


def at(content, path):
    for key in path:
        content = content[key]
    return content


@st.composite
def mutated(draw, presets):
    """A shipped preset with up to three mistakes, and the keys that were touched."""
    content = copy.deepcopy(draw(st.sampled_from(presets)))
    touched = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        *parents, key = draw(st.sampled_from(list(places(content))))
        holder = at(content, parents)
        change = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "move"]))
        if change == "remove":
            del holder[key]
        elif change == "rename" and isinstance(holder, dict):
            new = draw(st.sampled_from(["x", "base", "all", "a b", "seeds", "", f"{key}s", f"{key}".upper()]))
            holder[new] = holder.pop(key)
            touched.append(new or "''")
        elif change == "move":
            holder[key] = copy.deepcopy(at(content, draw(st.sampled_from(list(places(content))))))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        touched += [*parents, key]
    return content, {str(key) for key in touched}


@pytest.fixture(scope="module")
def shipped(root):
    return [yaml.safe_load((root / "workflow" / "presets" / f"{name}.yaml").read_text()) for name in SHIPPED]


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory, write_config):
    directory = tmp_path_factory.mktemp("fuzz")
    return lambda content: load_plan(load_config(write_config(directory, content)))


def test_any_preset_is_planned_or_refused(shipped, plan_of):
    outcomes = {"planned": 0, "refused": 0}

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated(shipped))
    def check(given_):
        content, touched = given_
        try:
            plan_of(content)
        except ConfigError as error:
            # A mistake may show elsewhere: a task set has a domain that its benchmark lacks now.
            for line in str(error).splitlines():
                where = line.partition("mine.yaml: ")[2].removeprefix("top level: ").removeprefix("key '")
                assert where.startswith((*Preset.model_fields, *touched)), (touched, line)
            outcomes["refused"] += 1
        else:
            outcomes["planned"] += 1

    check()
    assert min(outcomes.values()) >= 5  # else one half of this test says nothing
