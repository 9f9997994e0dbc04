"""Makes ``synthetic`` importable (pytest's importlib mode adds no directory to the path), and a reported benchmark."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))


@pytest.fixture
def people_are_reported(monkeypatch):
    """The bundled people pass for a benchmark of which the paper reports numbers."""
    from scalarization import benchmarks
    from scalarization.analysis import reported_numbers

    monkeypatch.setitem(reported_numbers.SEEDS, "emoji_people", 3)
    people = dataclasses.replace(benchmarks.load("emoji_people"), reported=True)
    load = benchmarks.load
    monkeypatch.setattr(benchmarks, "load", lambda name: people if name == "emoji_people" else load(name))
