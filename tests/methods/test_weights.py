"""Weight settings: the weight vectors that a method gives to a cell."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalarization import methods
from scalarization.errors import ConfigError
from scalarization.methods import check_simplex, grid

#: What is not the same for all methods of constant weights: options without which a method has no weights, and tasks.
OPTIONS = {"grid": {"simplex_step": 0.25}}
TASKS = {"single": ["b"]}
SIZES = {"a": 30, "b": 10, "c": 20, "d": 40}


def weight_settings(name, tasks, sizes, **options):
    return methods.weight_settings(name, methods.parse(name, options), tasks, sizes)


@pytest.mark.parametrize("name", [m.name for m in methods.all_methods() if m.kind == "constant"])
def test_constant_weights_are_on_the_simplex(name):
    tasks = TASKS.get(name, ["a", "b", "c"])
    weights = weight_settings(name, tasks, SIZES, **OPTIONS.get(name, {}))
    assert weights
    for vector in weights:
        check_simplex(vector, tasks)
    assert len({tuple(vector) for vector in weights}) == len(weights)


@pytest.mark.parametrize("method", [m for m in methods.all_methods() if m.kind != "constant"], ids=lambda m: m.name)
def test_other_methods_sample_uniformly_or_are_searched(method):
    weights = weight_settings(method.name, ["a", "b", "c", "d"], SIZES)
    assert weights == ([[]] if method.kind == "searched" else [[0.25] * 4])


@given(num_tasks=st.integers(1, 5), extra=st.integers(0, 8))
@settings(max_examples=60)
def test_simplex_points_are_all_interior_points(num_tasks, extra):
    parts = max(2, num_tasks + extra)
    tasks = [f"t{t}" for t in range(num_tasks)]
    points = grid.simplex_points(1 / parts, num_tasks)
    assert points == weight_settings("grid", tasks, {}, simplex_step=1 / parts)
    assert points == sorted(points)
    assert len(points) == len({tuple(p) for p in points}) == math.comb(parts - 1, num_tasks - 1)
    for point in points:
        check_simplex(point, tasks)
        assert min(point) > 0
        assert all(math.isclose(w * parts, round(w * parts), abs_tol=1e-9) for w in point)


def test_a_step_that_is_too_coarse_or_does_not_divide_one_stops():
    with pytest.raises(ConfigError, match=r"simplex_step = 0\.5: no interior point for 3 tasks"):
        grid.simplex_points(0.5, 3)
    with pytest.raises(ConfigError, match=r"simplex_step = 0\.3: 1 must be a multiple of it"):
        grid.simplex_points(0.3, 2)


@given(p=st.lists(st.integers(0, 10**6).map(lambda n: n / 10**6), min_size=1, max_size=9, unique=True))
def test_a_grid_of_two_tasks_is_on_the_simplex(p):
    weights = weight_settings("grid", ["a", "b"], {}, p1=p)
    assert [first for first, _ in weights] == p
    for point in weights:
        check_simplex(point, ["a", "b"])


def test_points_are_used_as_they_are_written():
    points = [[1, 0], [0.25, 0.75]]
    weights = weight_settings("grid", ["a", "b"], {}, points=points)
    assert weights == points and type(weights[0][0]) is int


@pytest.mark.parametrize(
    ("options", "tasks", "message"),
    [
        ({}, "ab", "grid needs exactly one of p1, points, simplex_step"),
        ({"p1": [0.5], "simplex_step": 0.5}, "ab", "grid needs exactly one of"),
        ({"p1": [0.5]}, "abc", r"grid\.p1 is for two tasks, not 3: give points or simplex_step instead"),
        ({"points": [[0.2, 0.3, 0.5]]}, "ab", r"3 weights for 2 tasks \(a, b\)"),
        ({"points": [[0.5, 0.5], [0.4, 0.5]]}, "ab", r"weights \[0\.4, 0\.5\] are off the simplex"),
    ],
)
def test_a_grid_that_does_not_fit_the_tasks_stops(options, tasks, message):
    with pytest.raises(ConfigError, match=message):
        weight_settings("grid", list(tasks), {}, **options)


@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=6))
def test_heuristics_are_on_the_simplex(sizes):
    tasks = [f"t{i}" for i in range(len(sizes))]
    known = dict(zip(tasks, sizes, strict=True)) | {"another": 10**6}
    (weights,) = weight_settings("proportional", tasks, known)
    check_simplex(weights, tasks)
    assert all(math.isclose(w * sizes[0], weights[0] * s) for w, s in zip(weights, sizes, strict=True))
    (weights,) = weight_settings("uniform", tasks, known)
    check_simplex(weights, tasks)
    assert len(set(weights)) == 1


def test_proportional_needs_domains():
    with pytest.raises(ConfigError, match="proportional needs domains, and 'age' is a task"):
        weight_settings("proportional", ["a", "age"], SIZES)


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.2, -0.2], [0.5, 0.4999], [float("nan"), 1.0], [1.0]])
def test_off_the_simplex(weights):
    with pytest.raises(ConfigError):
        check_simplex(weights, ["a", "b"])
