"""The front page: what is on it, that it needs nothing else, and when it is made again."""

import base64
import copy
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalarization.cli import main
from scalarization.config import load_config
from scalarization.plan import artifacts, load_plan
from scalarization.plotting import claims
from scalarization.provenance import Provenance
from scalarization.reports.page import content, markup, trained
from scalarization.reports.status import print_status, status
from scalarization.storage import read_json, read_table
from scalarization.tables import render

from ..conftest import TINY

#: The only address on the page that is not a file of this preset.
PAPER = "https://arxiv.org/abs/2310.08910"
#: Tags that have no end.
VOID = {"meta", "img", "br", "link", "mspace"}


class Page(HTMLParser):
    """Texts, ids and addresses of a page; tags that are not closed in order are refused."""

    def __init__(self, text):
        super().__init__()
        self.text, self.ids, self.links, self.images, self.tags, self.open = [], [], [], [], set(), []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.images += [(attrs["src"], attrs["alt"])] if tag == "img" else []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


class Folder:
    """A folder with the results of a preset."""

    def __init__(self, directory, write_config):
        self.directory, self.write_config = directory, write_config
        self.preset = copy.deepcopy(TINY)
        self.preset["artifacts"] |= {"claims": {}, "claims_forest": {}, "figure_2": {"experiment": "pair"}}
        self.write()

    def write(self, **knobs):
        self.config = self.write_config(self.directory, self.preset, **knobs)

    @property
    def plan(self):
        return load_plan(load_config(self.config))

    def verb(self, *arguments):
        return main([*arguments, "--config", str(self.config)])

    def draw(self, *names):
        for name in names:
            assert self.verb("summarize", "--artifact", name) == 0 and self.verb("draw", "--artifact", name) == 0

    def make(self):
        cells = [part for cell in self.plan.cells.values() for part in ("--cell", cell.name)]
        assert self.verb("prepare", "--benchmark", "digits") == 0 and self.verb("train", *cells) == 0
        self.draw(*artifacts.selected(self.plan))
        assert self.verb("page") == 0

    @property
    def text(self):
        return self.plan.paths.page_file.read_text()

    @property
    def page(self):
        return Page(self.text)

    @property
    def problem(self):
        """Why the page is not current."""
        return Provenance(self.plan).problem(self.plan.paths.page_record)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_config):
    folder = Folder(tmp_path_factory.mktemp("finished") / "with blank", write_config)
    folder.make()
    return folder


@pytest.fixture
def folder(finished, tmp_path, write_config):
    """A copy of the finished folder, which may be changed."""
    shutil.copytree(finished.directory, tmp_path / "folder")
    return Folder(tmp_path / "folder", write_config)


# --- What is on it ---


def test_it_needs_nothing_else(finished):
    page = finished.page
    assert not page.tags & {"script", "link", "iframe", "object", "video"}
    assert "url(" not in finished.text and "@import" not in finished.text
    assert page.images and all(source.startswith("data:image/png;base64,") for source, _ in page.images)


def test_links_lead_to_files_and_to_places_of_the_page(finished):
    page, directory = finished.page, finished.plan.paths.page_file.parent
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif link != PAPER:
            assert ":" not in link and (directory / unquote(link)).is_file(), link
    assert len(page.ids) == len(set(page.ids))


def test_links_are_relative(finished, tmp_path, write_config):
    """The folder may be copied elsewhere."""
    assert str(finished.directory) not in finished.text
    assert any(unquote(link).endswith("results/mine/summary/figure_b.parquet") for link in finished.page.links)


def test_every_artifact_is_on_it_with_its_caption(finished):
    page, plan = finished.page, finished.plan
    files = {name: artifacts.files_of(plan, name) for name in artifacts.selected(plan)}
    pictures = [base64.b64decode(source.partition(",")[2]) for source, _ in page.images]
    for name, of_artifact in files.items():
        kind = artifacts.kind_of(plan, name)
        assert name in page.ids or kind.name == "claims_forest"
        if kind.output == "figure":
            assert pictures.count(of_artifact["png"].read_bytes()) == 1
        plain = max(re.split(r":math:`[^`]*`|[*`\\]", kind.caption.read_text()), key=len)
        assert len(plain) > 60 and " ".join(plain.split()) in page.words
    assert all(alt for _, alt in page.images)
    assert len(page.images) == sum(artifacts.kind_of(plan, name).output == "figure" for name in files)


def test_verdicts_are_those_of_the_summary(finished):
    summary = read_table(finished.plan.paths.summary_file("claims")).to_pandas()
    words = finished.page.words
    for row in summary.to_dict("records"):
        assert f"{row['claim']} {row['sentence']} {row['source']}" in words
    for tested in claims.tested_claims(claims.rows_of(summary)):
        if tested.answer:
            assert f"{tested.answer} {tested.counts}." in words
    assert content.verdicts(finished.plan, ["figure_b", "claims"]) == claims.tested_claims(claims.rows_of(summary))
    assert content.verdicts(finished.plan, ["figure_b"]) == []


def test_what_was_trained_is_counted(finished):
    plan = finished.plan
    result = trained.summary(plan, artifacts.selected(plan), Provenance(plan))
    (group,) = result.groups
    assert (group.benchmark, group.models, group.timed, group.diverged) == ("digits", 4, 4, 0)
    timings = [row for file in plan.paths.results.glob("timings/*.parquet") for row in read_table(file).to_pylist()]
    assert group.seeds == {0}
    assert group.seconds == pytest.approx(sum(row["seconds"] for row in timings)) and len(timings) == 4
    assert result.devices == {"CPU"} and {"torch", "timm", "numpy"} <= set(result.versions)
    assert f"torch {next(iter(result.versions['torch']))}" in finished.page.words


def test_times_may_be_missing(folder):
    shutil.rmtree(folder.plan.paths.results / "timings")
    assert folder.verb("page") == 0 and "0 seconds (0 of 4)" in folder.page.words


def test_it_prints_where_it_is_and_what_the_verdicts_are(folder, capsys):
    assert folder.verb("page") == 0
    line = capsys.readouterr().out.strip()
    headline = read_json(folder.plan.paths.page_record)["headline"]
    assert line == f"{folder.plan.paths.page_file}: {headline}" and re.match(r"\d+ claims? |\d+ not run", headline)
    log = folder.directory / "page.log"
    assert folder.verb("page", "--log", str(log)) == 0
    assert capsys.readouterr().out == "" and headline in log.read_text()


def test_texts_of_a_preset_are_no_markup(folder):
    folder.preset["description"] = "<script>alert(1)</script> & so on"
    folder.write()
    assert folder.verb("page") == 0
    assert folder.preset["description"] in folder.page.words and "script" not in folder.page.tags


# --- Parts of a preset ---


def test_without_claims(folder):
    for name in ("claims", "claims_forest"):
        del folder.preset["artifacts"][name]
    folder.write()
    assert folder.verb("page") == 0
    assert "verdicts" not in folder.page.ids and "forest" not in folder.page.ids
    assert read_json(folder.plan.paths.page_record)["headline"] == "2 figures and tables" and folder.problem is None


def test_claims_of_the_paper_s_numbers_alone(folder):
    folder.preset["artifacts"] = {"claims_reported": {}}
    folder.write()
    folder.draw("claims_reported")
    assert folder.verb("page") == 0
    words = folder.page.words
    assert "The paper's own numbers:" in words and "Nothing." in words
    headline = read_json(folder.plan.paths.page_record)["headline"]
    assert re.match(r"\d+ claims? \w+ by the paper's numbers", headline) and f"Verdicts {headline} Claim" in words


def test_a_claim_without_an_estimate_says_why(folder):
    """It is not said that nothing was run."""
    rows = read_table(folder.plan.paths.summary_file("claims")).to_pylist()
    changed = next(row for row in rows if row["claim_verdict"] == "not run")
    place = {"benchmark": "digits", "task_set": "pair", "comparison": "a - b", "verdict": "no estimate"}
    changed |= place | {"claim_verdict": "no estimate", "reason": "diverged", "note": "diverged in 1 of 2 seeds"}
    absent = sum(row["claim_verdict"] == "not run" and row["origin"] == "runs" for row in rows)
    (tested,) = (claim for claim in claims.tested_claims(rows) if claim.verdict == "no estimate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "verdicts", lambda plan, drawn: claims.tested_claims(rows))
        assert folder.verb("page") == 0
    page = folder.page
    assert (
        f"{tested.sentence} {tested.source} no estimate No comparison has an estimate: diverged in 1 of 2" in page.words
    )
    assert page.words.count("Nothing was run that bears on it.") == absent


def test_what_is_not_drawn_is_named(folder):
    folder.plan.paths.artifact_files("figure_b", "figure")["pdf"].unlink()
    folder.plan.paths.drawing_record("figure_2").unlink()
    assert folder.verb("page") == 0
    page = folder.page
    assert re.search(r"figure_b : not current: \S+figure_b.pdf: missing figure_2 : not made yet", page.words)
    assert "figure_b" not in page.ids and "figure_2" not in page.ids and len(page.images) == 1
    assert folder.problem is not None
    folder.draw("figure_b", "figure_2")
    assert folder.problem is not None  # it lacks them
    assert folder.verb("page") == 0 and folder.problem is None and "absent" not in folder.page.ids


def test_what_is_not_selected_is_named(folder):
    pair = folder.preset["experiments"]["pair"]
    folder.preset["experiments"]["small"] = {**pair, "architectures": {"family": "vit", "depth": [1], "width": [8]}}
    folder.preset["artifacts"]["figure_d"] = {"experiment": "small"}
    folder.write(only={"capacities": ["vit_d2_w8"]})
    folder.draw("claims", "claims_forest")
    assert folder.verb("page") == 0 and folder.problem is None
    words = folder.page.words
    assert "figure_d : nothing of it is selected by only: {'capacities': ['vit_d2_w8']}" in words
    assert "Only a part of it was selected: {'capacities': ['vit_d2_w8']}" in words


# --- When it is made again ---


def test_it_is_current_once_it_is_made(finished):
    assert finished.problem is None and Provenance(finished.plan).outdated() == []
    assert status(finished.plan).has_page


def test_equal_content_gives_equal_bytes(folder):
    before = folder.text
    assert folder.verb("page") == 0 and folder.text == before


def test_a_description_is_shown_and_counts(folder):
    folder.preset["description"] = "Another description."
    folder.write()
    assert str(folder.problem) == "made from other settings or by other code"
    assert Provenance(folder.plan).outdated() == [folder.plan.paths.page_file]


def test_a_drawing_that_changed(folder):
    folder.preset["artifacts"]["figure_b"]["experiment"] = "pair"
    png = folder.plan.paths.artifact_files("figure_b", "figure")["png"]
    png.write_bytes(png.read_bytes() + b"x")
    assert folder.problem.source == folder.plan.paths.drawing_record("figure_b")
    assert folder.plan.paths.page_file in Provenance(folder.plan).outdated()


def test_an_edited_page(folder, capsys):
    folder.plan.paths.page_file.write_text(folder.text.replace("supported", "contradicted"))
    assert str(folder.problem).endswith("not as it was drawn") and not status(folder.plan).has_page
    print_status(folder.plan)
    assert "index.html is not made yet, or not current" in capsys.readouterr().out


def test_a_caption_and_the_layout_count(folder, monkeypatch, tmp_path):
    captions = tmp_path / "captions"
    shutil.copytree(artifacts.CAPTIONS, captions)
    monkeypatch.setattr(artifacts, "CAPTIONS", captions)
    assert folder.problem is None
    (captions / "figure_b.rst").write_text("**Another caption.**")
    assert str(folder.problem) == "made from other settings or by other code"
    assert folder.verb("page") == 0 and "Another caption" in folder.page.words
    drawings = [folder.plan.paths.drawing_record(name) for name in artifacts.selected(folder.plan)]
    assert not [path for path in drawings if Provenance(folder.plan).problem(path)]


def test_no_artifact_can_take_its_record(folder):
    folder.preset["artifacts"]["page"] = {"kind": "figure_b", "experiment": "pair"}
    folder.write()
    assert folder.verb("page") == 2


# --- Captions and tables as HTML ---


@pytest.mark.parametrize("kind", artifacts.kind_names())
def test_captions_are_understood(kind):
    title, _, rest = markup.caption(artifacts.load_kind(kind).caption.read_text())
    assert title and "<p>" not in title and "system-message" not in rest and "math:" not in rest
    Page(f"<div>{title}{rest}</div>")


def test_a_caption_without_a_title():
    title, source, rest = markup.caption("Learning *curves*.")
    assert (title, source, rest.strip()) == ("", "", "<p>Learning <em>curves</em>.</p>")


TEXTS = st.text("ab |*_\\`<>&[]#~±0", min_size=1, max_size=12).map(lambda text: f"x{text}".strip())
ENTRIES = st.builds(render.Entry, TEXTS, st.just("") | TEXTS, st.booleans())
ROWS = st.builds(render.Row, TEXTS, st.tuples(ENTRIES, ENTRIES), st.booleans())
GROUPS = st.builds(render.Group, st.just("") | TEXTS, st.lists(ROWS, max_size=3))
BLOCKS = st.builds(render.Block, TEXTS, TEXTS, st.tuples(TEXTS, TEXTS), st.lists(GROUPS, max_size=2))
TABLES = st.builds(render.Table, st.lists(BLOCKS | TEXTS.map(render.Block.not_run), min_size=1, max_size=3))


@given(TABLES)
def test_tables_keep_every_text(table):
    page = Page(f"<div>{markup.tables(render.markdown(table), 'x')}</div>")
    expected = []
    for block in table.blocks:
        expected += [block.title, *([block.note] if block.note else [block.corner, *block.columns])]
        for group in block.groups:
            expected += [group.title] if group.title else []
            expected += [str(text) for row in group.rows for text in (row.label, *row.entries)]
    squeezed = "".join("".join(page.text).split())
    assert squeezed == "".join("".join(expected).split())


def test_titles_that_begin_alike_have_anchors_of_their_own():
    blocks = [render.Block.not_run(title) for title in ("emoji_people, a", "emoji_people, b", "emoji_styles")]
    page = Page(f"<div>{markup.tables(render.markdown(render.Table(blocks)), 'table_c')}</div>")
    assert page.ids == ["table_c-emoji_people", "table_c-emoji_people-2", "table_c-emoji_styles"]


# --- The commit ---


def test_the_commit_is_that_of_a_checkout(tmp_path):
    assert trained.commit(tmp_path) == ""

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    name = trained.commit(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{12}", name)
    (tmp_path / "file").write_text("2")
    assert trained.commit(tmp_path) == f"{name}, with changes that are not committed"
    (tmp_path / "sub").mkdir()
    assert trained.commit(tmp_path / "sub") == ""


def test_durations_in_words():
    texts = [trained.duration(seconds) for seconds in (0.4, 89, 90, 5399, 5400, 36_000_000)]
    assert texts == ["0 seconds", "89 seconds", "2 minutes", "90 minutes", "1.5 hours", "10,000 hours"]
