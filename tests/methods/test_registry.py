"""Every module declares its method consistently, and one file is enough to add a method.

The tests run for every registered method. They hold for a valid new method without being changed.
"""

import re
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from scalarization import methods
from scalarization.errors import ConfigError
from scalarization.methods import info

ALL = methods.all_methods()
PACKAGE = Path(methods.__file__).parent

#: A method of a user's own, as docs/extending.md describes it.
OWN_METHOD = '''
"""The mean of the gradients, as an example of a method of one's own."""

from scalarization.methods.info import GRADIENT_BASED, GradientOptions, MethodInfo


def build(options, num_tasks):
    """The mean, without its class at import, which would need torch."""
    from scalarization.methods.base import GradientMethod

    class Mean(GradientMethod):
        def forward(self, jacobian):
            return jacobian.mean(0)

    return Mean(options.include_heads)


METHOD = MethodInfo(
    name="mean_of_one_file",
    label="Mean of one file",
    group=GRADIENT_BASED,
    kind="gradient",
    description="The mean of the tasks' gradients.",
    options=GradientOptions,
    build=build,
)
'''


@pytest.mark.parametrize("name", methods.names())
def test_a_method_is_named_after_its_module(name):
    method = methods.load(name)
    assert method.name == name
    assert (PACKAGE / f"{method.module}.py").is_file()
    assert method.module == name or method.module in methods.SUPPORT


def test_every_module_is_a_method_or_support():
    modules = {file.stem for file in PACKAGE.glob("*.py") if not file.stem.startswith("_")}
    assert modules - methods.SUPPORT <= set(methods.names())
    assert modules >= methods.SUPPORT


def test_names_and_labels_are_unique():
    assert [m.name for m in sorted(ALL, key=lambda m: m.name)] == list(methods.names())
    assert len({m.label for m in ALL}) == len(ALL)


@pytest.mark.parametrize("method", ALL, ids=lambda m: m.name)
def test_the_description_is_one_sentence(method):
    assert re.fullmatch(r"[A-Z][^\n]*\.", method.description)
    assert not re.search(r"[.!?] [A-Z]", method.description)


@pytest.mark.parametrize("method", ALL, ids=lambda m: m.name)
def test_every_option_has_a_description_and_a_possible_default(method):
    for field in method.options.model_fields.values():
        assert field.description and field.description.endswith(".")
        assert not field.is_required()
    defaults = methods.parse(method.name, {})
    assert methods.parse(method.name, defaults.describe()) == defaults


@pytest.mark.parametrize("method", ALL, ids=lambda m: m.name)
def test_code_that_a_job_runs_is_outside_the_declaration(method):
    """The digest of a method's code leaves out ``METHOD``, so its functions must be functions of the module."""
    for function in (method.build, method.weight_settings):
        if function is not None:
            assert function.__module__ == f"scalarization.methods.{method.module}"
            assert function.__qualname__ == function.__name__ != "<lambda>"


@pytest.mark.parametrize("method", [m for m in ALL if m.formulas], ids=lambda m: m.name)
def test_formulas_are_texts(method):
    assert all(isinstance(formula, str) and formula for formula in astuple(method.formulas))


def test_importing_methods_is_light():
    code = (
        "import sys; from scalarization import methods; methods.all_methods();"
        "print(*{'torch', 'torchjd', 'cvxpy', 'numpy'}.intersection(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_methods_are_listed_by_group_then_rank_then_name():
    groups = [m.group for m in ALL]
    assert list(dict.fromkeys(groups)) == [g for g in info.GROUPS if g in groups]
    for group in info.GROUPS:
        order = [(m.rank, m.name) for m in ALL if m.group == group]
        assert order == sorted(order)


def test_an_unknown_method_stops_with_a_suggestion():
    with pytest.raises(ConfigError, match="method 'pcgrade' is unknown; did you mean 'pcgrad'"):
        methods.load("pcgrade")
    for module in methods.SUPPORT:
        with pytest.raises(ConfigError, match="unknown"):
            methods.load(module)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("uniform", {"group": "Others"}, "group 'Others' is not one of Baseline, "),
        ("uniform", {"kind": "loss"}, "weight_settings belongs to kind constant"),
        ("uniform", {"weight_settings": None}, "weight_settings belongs to kind constant, which requires it"),
        ("rlw", {"build": None}, "build belongs to kinds loss, gradient, feature, which require it"),
        ("pbt", {"build": print}, "build belongs to kinds loss, gradient, feature"),
        ("pcgrad", {"options": info.NoOptions}, "GradientOptions belong to kind gradient"),
        ("rlw", {"options": info.GradientOptions}, "GradientOptions belong to kind gradient"),
        ("uniform", {"exploits": True}, "exploits belongs to kind searched"),
    ],
)
def test_a_declaration_that_contradicts_itself_stops(name, changes, message):
    with pytest.raises(ValueError, match=f"method {name}: .*{re.escape(message)}"):
        replace(methods.load(name), **changes)


def test_only_searches_with_exploitation_exploit():
    assert {m.name for m in ALL if m.kind == "searched" and m.exploits} >= {"pbt", "pb2"}
    assert not methods.load("search_grid").exploits and not methods.load("search_random").exploits


@pytest.fixture
def own_method(tmp_path, monkeypatch):
    """A method of one's own in a file that Python takes for a module of the package."""
    (tmp_path / "mean_of_one_file.py").write_text(OWN_METHOD)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "scalarization.methods.mean_of_one_file", raising=False)
    methods.names.cache_clear()
    yield "mean_of_one_file"
    sys.modules.pop("scalarization.methods.mean_of_one_file", None)
    methods.names.cache_clear()


def test_one_file_is_a_method(own_method, build, random_jacobian):
    import torch

    assert own_method in methods.names()
    group = [m.name for m in methods.all_methods() if m.group == info.GRADIENT_BASED]
    assert group.index(own_method) > group.index("upgrad")
    assert methods.weight_settings(own_method, methods.parse(own_method, {}), ["a", "b"], {}) == [[0.5, 0.5]]
    with pytest.raises(ConfigError, match="did you mean 'include_heads'"):
        methods.parse(own_method, {"include_head": True})
    jacobian = random_jacobian(0, 3)
    torch.testing.assert_close(build(own_method, 3)(jacobian), jacobian.mean(0))
