"""What the pages say without running anything: links lead somewhere, and lists are complete."""

import re
import subprocess
from typing import get_args

import pytest

from scalarization import benchmarks, methods
from scalarization.analysis import claims, inference
from scalarization.config import load_preset
from scalarization.config.models import Knobs, Preset, Section
from scalarization.plan import artifacts

from .pages import PAGES, ROOT, anchors, blocks, links

#: Words of the old code, and references that lead nowhere.
GONE = ("design.md", "the specification, section", "spec section", "(spec", "bench --costs", "members_per_job")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def mentioned(word, text):
    """Whether a word stands in a text as code, alone or with others: `a`, `b: c`."""
    return re.search(rf"`[^`\n]*(?<![\w.]){re.escape(word)}(?!\w)[^`\n]*`", text) is not None


@pytest.fixture(scope="module")
def shipped():
    """(names, folder, ending) -> those of them that are part of the repository, not a user's own additions."""
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True)
    files = set(listed.stdout.splitlines())
    if not files:  # a copy without git: everything counts
        return lambda names, folder: list(names)
    return lambda names, folder: [n for n in names if {f"src/{folder}/{n}.py", f"src/{folder}/{n}/__init__.py"} & files]


def test_every_page_is_known():
    found = {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "slurm/README.md", ROOT / "performance/RESULTS.md"}
    assert set(PAGES) == found


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme():
    reached, pending = set(), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page not in reached:
            reached.add(page)
            names = (link.partition("#")[0] for link in links(page))
            pending += [(page.parent / name).resolve() for name in names if name.endswith(".md") and ":" not in name]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_dangling_references(page):
    text = page.read_text(encoding="utf-8")
    if page.name != "CHANGELOG.md":
        assert [word for word in GONE if word in text] == []
    assert re.findall(r"\b[ARP] \d\.\d|\bR (?:table|figure)", text) == []


def test_presets_name_their_sources_in_words():
    for file in (ROOT / "workflow" / "presets").glob("*.yaml"):
        comments = [line.partition("#")[2] for line in file.read_text(encoding="utf-8").splitlines()]
        assert [c for c in comments if re.search(r"\b[ARP] (?:\d|table|figure|names)|\bspec\b", c)] == []


# --- Lists ---


def test_methods_page_lists_methods_and_options(shipped):
    text = text_of("docs/methods.md")
    for method in methods.all_methods():
        if shipped([method.module], "scalarization/methods"):
            assert mentioned(method.name, text), method.name
            for option in method.options.model_fields:
                assert mentioned(option, text), f"{method.name}: {option}"


def test_benchmarks_page_lists_benchmarks(shipped):
    text = text_of("docs/benchmarks.md")
    for name in shipped(benchmarks.names(), "scalarization/benchmarks"):
        assert mentioned(name, text), name


def test_presets_page_lists_kinds(shipped):
    text = text_of("docs/presets.md")
    for name in shipped(artifacts.kind_names(), "scalarization/analysis"):
        assert mentioned(name, text), name


def test_claims_page_has_every_claim_with_its_sentence_and_source(shipped):
    lines = text_of("docs/claims.md").splitlines()
    for claim in claims.all_claims():
        if shipped([claim.compare.__module__.rpartition(".")[2]], "scalarization/analysis/claims"):
            (line,) = (line for line in lines if line.startswith(f"| {claim.name} | {claim.sentence} |"))
            assert f"| {claim.source} |" in line
            assert sum(line.startswith(f"| {claim.name} |") for line in lines) == 2, "say what it estimates"


def test_claims_page_explains_every_column_and_word():
    text = text_of("docs/claims.md")
    for name in (*claims.TYPES, *get_args(inference.Hypothesis)):
        assert mentioned(name, text), name
    for verdict in (*get_args(inference.Verdict), claims.NOT_RUN):
        assert re.search(rf"^\| {verdict} \|", text, re.MULTILINE), verdict


def test_readme_lists_artifacts_and_presets():
    text = text_of("README.md")
    demo = load_preset(ROOT / "workflow" / "presets" / "demo.yaml")
    for artifact in demo.artifacts:
        assert mentioned(artifact, text), artifact
    for file in (ROOT / "workflow" / "presets").glob("*.yaml"):
        assert mentioned(file.stem, text), file.stem


def test_tutorial_lists_verbs(capsys):
    from scalarization.cli import main

    text = text_of("docs/tutorial.md")
    with pytest.raises(SystemExit):
        main(["--help"])
    verbs = re.findall(r"^    ([a-z]+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert len(verbs) >= 12
    for verb in verbs:
        assert mentioned(verb, text), verb


def sections(model, seen=None):
    """A section and all sections inside of it."""
    seen = {} if seen is None else seen
    if model not in seen:
        seen[model] = True
        for field in model.model_fields.values():
            pending = [field.annotation]
            while pending:
                kind = pending.pop()
                if isinstance(kind, type) and issubclass(kind, Section):
                    sections(kind, seen)
                pending += getattr(kind, "__args__", ())
    return list(seen)


def test_run_files_page_explains_every_column():
    from scalarization.search.policies import HISTORY_SCHEMA
    from scalarization.storage import CONFLICT_SCHEMA, EXAMPLE_SCHEMA, RUN_SCHEMA

    text = text_of("docs/run-files.md")
    for schema in (RUN_SCHEMA, CONFLICT_SCHEMA, EXAMPLE_SCHEMA, HISTORY_SCHEMA):
        for name in schema.names:
            assert mentioned(name, text), f"{name}: explain it in docs/run-files.md"


def test_presets_page_explains_every_key():
    page = ROOT / "docs" / "presets.md"
    text = page.read_text(encoding="utf-8")
    examples = "\n".join(block.text for block in blocks(page) if block.language == "yaml")
    for model in (*sections(Knobs), *sections(Preset)):
        for key in model.model_fields:
            known = mentioned(key, text) or re.search(rf"(?<!\w){key}:", examples)
            assert known, f"{model.__name__}: {key}: explain it in docs/presets.md"
