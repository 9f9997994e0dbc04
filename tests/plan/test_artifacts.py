"""Figures and tables: the kinds that exist, what they read, and what stops an artifact when a preset is planned."""

import sys
import types

import pytest

from scalarization import analysis
from scalarization.errors import ConfigError
from scalarization.plan import artifacts
from scalarization.plan.artifacts import ArtifactKind


@pytest.mark.parametrize("name", artifacts.kind_names())
def test_a_kind_is_a_query_a_drawing_and_a_caption(name, root):
    kind = artifacts.load_kind(name)
    assert kind.name == name and kind.output in ("figure", "table")
    assert kind.caption == root / "workflow" / "report" / f"{name}.rst" and kind.caption.read_text().strip()
    assert (root / "src/scalarization" / f"{kind.output}s" / f"{name}.py").is_file()


def test_every_drawing_and_caption_has_its_kind(root):
    names = set(artifacts.kind_names())
    assert len(names) > 15
    # Modules that several drawings share declare no kind; a drawing does.
    for output in ("figure", "table"):
        modules = {file.stem for file in (root / "src/scalarization" / f"{output}s").glob("*.py")} - {"__init__"}
        assert {n for n in names if artifacts.load_kind(n).output == output} <= modules


def test_inputs_are_what_a_kind_reads(shipped_plan):
    plan = shipped_plan("smoke")
    places = {
        "runs": {"runs", "searches"},
        "examples": {"runs", "examples"},
        "conflicts": {"conflicts"},
        "store": {"data"},
        "profile": {"profiles"},
        "everything": {"runs", "searches", "conflicts", "profiles"},
        "nothing": set(),
    }
    for artifact in artifacts.selected(plan):
        files = artifacts.inputs_of(plan, artifact)
        inside = {file.relative_to(plan.paths.results).parts[0] for file in files}
        reads = artifacts.kind_of(plan, artifact).reads
        assert bool(files) == (reads != "nothing") and len(set(files)) == len(files)
        assert inside <= places[reads] and (reads != "everything" or inside == places[reads]), artifact


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"conflicts": ["count"]}, r"artifacts\.figure_3\.conflicts: 'count' is unknown; did you mean 'counted'\?"),
        (
            {"kind": "figure_b", "experiment": "piar"},
            r"artifacts\.figure_3\.experiment: 'piar' is unknown; did you mean 'pair'\?",
        ),
        (
            {"kind": "table_main", "experiments": ["pair", "piar"]},
            r"artifacts\.figure_3\.experiments: 'piar' is unknown; did you mean 'pair'\?",
        ),
        (
            {"kind": "figure_e", "searches": ["pbt"]},
            r"artifacts\.figure_3\.searches: 'pbt' is unknown; there is none",
        ),
        ({"kind": "figure_1", "profile": "time"}, r"artifacts\.figure_3\.profile: 'time' is unknown; there is none"),
        (
            {"experiment": "pair", "conflicts": ["counted"]},
            r"figure_3\.experiment: kind figure_3 is not made of experiment, but of conflicts; leave it out",
        ),
        (
            {"kind": "table_main", "experiment": "pair", "experiments": ["pair"]},
            r"artifacts\.figure_3: give 'experiment' or 'experiments', not both",
        ),
        ({}, r"artifacts\.figure_3: key 'conflicts' is missing"),
        ({"kind": "runs", "experiment": "pair"}, r"artifacts\.figure_3: kind 'runs' is unknown; known: "),
        ({"kind": "figure.3", "experiment": "pair"}, r"artifacts\.figure_3: kind 'figure\.3' is unknown; did you mean"),
    ],
)
def test_an_artifact_of_what_it_cannot_be_made_of_stops(tiny, make_plan, with_conflicts, options, words):
    with_conflicts(tiny)["artifacts"]["figure_3"] = options
    with pytest.raises(ConfigError, match=words) as caught:
        make_plan(tiny)
    assert len(str(caught.value).splitlines()) == 1


def test_an_artifact_that_does_not_exist_is_named(tiny, make_plan):
    plan = make_plan(tiny)
    for query in (artifacts.kind_of, artifacts.cells_of, artifacts.inputs_of, artifacts.files_of, analysis.summarize):
        with pytest.raises(ConfigError, match=r"mine\.yaml: no artifact 'figure_bb'; did you mean 'figure_b'\?"):
            query(plan, "figure_bb")


def test_preconditions_stop_planning_whatever_is_selected(tiny, make_plan):
    tiny["experiments"]["pair"]["methods"] = {"grid": {"p1": [0.5]}}
    for only in ({}, {"seeds": [0]}):
        with pytest.raises(ConfigError, match=r"artifacts\.figure_b: experiment 'pair' has no SD baselines"):
            make_plan(tiny, only=only)


@pytest.fixture
def own_kind(monkeypatch):
    """A kind of one's own, which has neither caption nor drawing."""
    kind = ArtifactKind("figure_own", "figure", "runs", artifacts.EXPERIMENT, summarize=lambda plan, artifact: None)
    module = types.ModuleType("scalarization.analysis.figure_own")
    module.KIND, module.__spec__ = kind, types.SimpleNamespace(name=module.__name__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = (*artifacts.kind_names(), "figure_own")
    monkeypatch.setattr(artifacts, "kind_names", lambda: names)
    artifacts.load_kind.cache_clear()
    yield kind
    artifacts.load_kind.cache_clear()


def test_a_kind_without_caption_or_drawing_stops_planning(tiny, make_plan, own_kind, tmp_path, monkeypatch):
    tiny["artifacts"] = {"figure_own": {"experiment": "pair"}}
    with pytest.raises(ConfigError, match=r"artifacts\.figure_own: kind 'figure_own' has no caption; write workflow"):
        make_plan(tiny)
    monkeypatch.setattr(artifacts, "CAPTIONS", tmp_path)
    (tmp_path / "figure_own.rst").write_text("Caption.")
    with pytest.raises(ConfigError, match=r"kind 'figure_own' has no drawing; write src/.*/figure_own\.py"):
        make_plan(tiny)
