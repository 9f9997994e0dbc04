"""Options of the methods: their defaults, their ranges, and the messages about values that are not possible."""

import pytest

from scalarization import methods
from scalarization.errors import ConfigError

SEARCHED = {"search": None, "search_on": None, "policy": "whole"}
#: Method -> its options with defaults, as a run's specification lists them. Runs train again if one changes.
DEFAULTS = {
    "rlw": {},
    "uncertainty": {},
    "imtl_l": {},
    "dwa": {"temperature": 2.0, "reduction": "mean"},
    "famo": {"lr": 0.025, "weight_decay": 1e-3},
    "cagrad": {"c": 0.5, "rescale": True, "include_heads": False},
    "graddrop": {"reduction": "mean", "include_heads": False},
    "pcgrad": {"reduction": "mean", "include_heads": False},
    "rotograd": {"rotation_lr": 0.1, "orthogonal_map": "cayley", "reduction": "mean"},
    "mgda": {"include_heads": False},
    "imtl_g": {"include_heads": False},
    "nash_mtl": {"max_norm": 1.0, "update_weights_every": 1, "optim_niter": 100, "include_heads": False},
    "aligned_mtl": {"scale_mode": "min", "include_heads": False},
    "upgrad": {"include_heads": False},
    **dict.fromkeys(("pbt", "pb2", "search_grid", "search_random", "search_lr"), SEARCHED),
}


def typed(values):
    return {key: (type(value), value) for key, value in values.items()}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    assert typed(methods.parse(name, {}).describe()) == typed(DEFAULTS[name])


@pytest.mark.parametrize(
    ("name", "given", "described"),
    [
        ("cagrad", {"c": 1}, {"c": 1}),
        ("cagrad", {"c": 0.0, "rescale": False}, {"c": 0.0, "rescale": False}),
        ("nash_mtl", {"max_norm": 0, "optim_niter": 5.0}, {"max_norm": 0, "optim_niter": 5}),
        ("dwa", {"temperature": 3, "reduction": "sum"}, {"temperature": 3, "reduction": "sum"}),
        ("pbt", {"search": "s", "search_on": "vit_d3_w48", "policy": "last"}, {"search": "s", "policy": "last"}),
    ],
)
def test_a_number_stays_as_it_is_written(name, given, described):
    """A run's identity has 2 and 2.0 as different texts, so options must not change between them."""
    result = typed(methods.parse(name, given).describe())
    assert result.items() >= typed(described).items()


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("cagrad", {"c": -0.1}, "cagrad.c = -0.1: "),
        ("cagrad", {"c": "big"}, 'cagrad.c = "big": '),
        ("cagrad", {"c": float("nan")}, "cagrad.c = NaN: "),
        ("cagrad", {"c": True}, "cagrad.c = true: "),
        ("cagrad", {"rescale": 1}, "cagrad.rescale = 1: "),
        ("cagrad", {"include_head": True}, "cagrad.include_head = true: unknown key, did you mean 'include_heads'"),
        ("dwa", {"temperature": 0}, "dwa.temperature = 0: "),
        ("dwa", {"reduction": "median"}, 'dwa.reduction = "median": '),
        ("graddrop", {"reduction": "median"}, 'graddrop.reduction = "median": '),
        ("pcgrad", {"reduction": None}, "pcgrad.reduction = null: "),
        ("rotograd", {"reduction": "median"}, 'rotograd.reduction = "median": '),
        ("rotograd", {"orthogonal_map": "householder"}, 'rotograd.orthogonal_map = "householder": '),
        ("rotograd", {"rotation_lr": -1}, "rotograd.rotation_lr = -1: "),
        ("rotograd", {"include_heads": True}, "rotograd.include_heads = true: unknown key"),
        ("famo", {"lr": -1}, "famo.lr = -1: "),
        ("famo", {"weight_decay": -1}, "famo.weight_decay = -1: "),
        ("mgda", {"epsilon": 0.001}, "mgda.epsilon = 0.001: unknown key, known: include_heads"),
        ("nash_mtl", {"max_norm": -1}, "nash_mtl.max_norm = -1: "),
        ("nash_mtl", {"update_weights_every": 0}, "nash_mtl.update_weights_every = 0: "),
        ("nash_mtl", {"optim_niter": 0}, "nash_mtl.optim_niter = 0: "),
        ("nash_mtl", {"optim_niter": 2.5}, "nash_mtl.optim_niter = 2.5: "),
        ("aligned_mtl", {"scale_mode": "max"}, 'aligned_mtl.scale_mode = "max": '),
        ("pbt", {"policy": "first"}, 'pbt.policy = "first": '),
        ("uniform", {"weights": [1]}, "uniform.weights = [1]: method uniform has no options"),
        ("grid", {"p2": [0.3]}, "grid.p2 = [0.3]: unknown key, known: p1, points, simplex_step"),
        ("grid", {"point": []}, "grid.point = []: unknown key, did you mean 'points'"),
        ("grid", {"p1": [0.3, 1.5]}, "grid.p1.1 = 1.5: "),
        ("grid", {"p1": [0.3, 0.3]}, "grid.p1 = [0.3, 0.3]: 0.3 is given twice"),
        ("grid", {"p1": []}, "grid.p1 = []: "),
        ("grid", {"p1": 0.3}, "grid.p1 = 0.3: "),
        ("grid", {"points": [[1, 0], [1, 0]]}, "grid.points = [[1, 0], [1, 0]]: [1, 0] is given twice"),
        ("grid", {"simplex_step": 0}, "grid.simplex_step = 0: "),
        ("grid", {"simplex_step": 0.6}, "grid.simplex_step = 0.6: "),
    ],
)
def test_an_impossible_value_stops_with_its_key_and_value(name, given, message):
    with pytest.raises(ConfigError) as caught:
        methods.parse(name, given)
    assert message in str(caught.value)


def test_the_message_names_what_is_possible_and_explains_the_option():
    with pytest.raises(ConfigError, match=r"c = -1: .* 0 \(Radius of the ball, relative to the norm of the mean"):
        methods.parse("cagrad", {"c": -1})
    with pytest.raises(ConfigError, match=r"scale_mode = .*'min'.*'median'.*'rmse' \(Value that all singular values"):
        methods.parse("aligned_mtl", {"scale_mode": "max"})


def test_every_mistake_has_a_line():
    with pytest.raises(ConfigError) as caught:
        methods.parse("nash_mtl", {"max_norm": -1, "optim_niter": 0, "iterations": 3})
    assert len(str(caught.value).splitlines()) == 3
