"""A kind is drawn by the module that has its name; further kinds need no entry elsewhere."""

import dataclasses
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pandas as pd
import pytest
from matplotlib.figure import Figure

from scalarization import figures, tables
from scalarization.analysis import summaries
from scalarization.plan import artifacts
from scalarization.tables.render import Block, Entry, Group, Row, Table

#: Columns of the summary of an additional kind.
COLUMNS = {"name": "string", "value": "Int64"}
METADATA = dict.fromkeys(summaries.COMMON_KEYS) | {"artifact": "mine", "kind": "additional", "setting": "mdl"}


def empty_module(name):
    """An empty module that the import system takes for an installed one."""
    return importlib.util.module_from_spec(ModuleSpec(name, None))


@pytest.fixture
def additional_kind(request, monkeypatch, tmp_path):
    """The module of the query of a kind that is drawn as ``request.param``, and its caption."""
    module = empty_module("scalarization.analysis.additional")
    kind = artifacts.ArtifactKind(
        "additional", request.param, "runs", artifacts.EXPERIMENTS, lambda plan, artifact: None
    )
    module.KIND = dataclasses.replace(kind, columns=COLUMNS)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(artifacts, "CAPTIONS", tmp_path)
    (tmp_path / "additional.rst").write_text("Caption.")
    yield
    artifacts.load_kind.cache_clear()


@pytest.mark.parametrize("additional_kind", ["figure"], indirect=True)
def test_an_additional_figure_is_drawn_by_the_module_of_its_name(additional_kind, monkeypatch):
    module = empty_module("scalarization.figures.additional")
    module.draw = lambda summary, metadata: Figure(label=f"{len(summary)} rows, {metadata['setting']}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    figure = figures.draw("additional", pd.DataFrame({"name": ["a", "b"], "value": [1, 2]}), METADATA)
    assert figure.get_label() == "2 rows, mdl"


@pytest.mark.parametrize("additional_kind", ["table"], indirect=True)
def test_an_additional_table_has_all_formats(additional_kind, monkeypatch):
    def describe(summary, metadata):
        rows = [Row(name, (Entry(f"{value}"),)) for name, value in summary.itertuples(index=False)]
        return Table([Block(metadata["setting"], "", ("value",), [Group("", rows)])])

    module = empty_module("scalarization.tables.additional")
    module.describe = describe
    monkeypatch.setitem(sys.modules, module.__name__, module)
    figure, texts = tables.draw("additional", pd.DataFrame({"name": ["a"], "value": [1]}), METADATA)
    assert "| a | 1 |" in texts["md"] and r"a & 1 \\" in texts["tex"]
    assert "mdl" in [text.get_text() for text in figure.texts]


def test_every_kind_has_a_drawing_and_a_caption():
    for name in artifacts.kind_names():
        kind = artifacts.load_kind(name)
        assert importlib.util.find_spec(f"scalarization.{kind.drawing}") and kind.caption.read_text().strip()


def test_drawing_imports_no_training_code():
    code = """
import importlib, sys
from scalarization.plan import artifacts
for name in artifacts.kind_names():
    importlib.import_module(f"scalarization.{artifacts.load_kind(name).drawing}")
heavy = {"torch", "torchvision", "timm", "ray"} | {f"scalarization.{p}" for p in ("training", "models", "data")}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
