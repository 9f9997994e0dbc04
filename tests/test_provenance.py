"""What makes a file current: its fingerprint, its sources, and an undamaged content."""

import copy
import shutil

import pytest

from scalarization.cli import main
from scalarization.config import load_config
from scalarization.errors import DataError
from scalarization.plan import load_plan
from scalarization.plan.cells import Shard
from scalarization.provenance import Provenance
from scalarization.storage import read_json, read_metadata, read_table, write_json, write_table

from .conftest import TINY

ARTIFACT = "figure_b"


class Folder:
    """A folder in which a figure was made."""

    def __init__(self, directory, write_config):
        self.directory, self.write_config = directory, write_config
        self.preset = copy.deepcopy(TINY)
        self.write()

    def write(self):
        self.config = self.write_config(self.directory, self.preset)

    @property
    def plan(self):
        return load_plan(load_config(self.config))

    @property
    def paths(self):
        return self.plan.paths

    @property
    def run_file(self):
        """The first run file of the plan."""
        return self.paths.run_file(next(iter(self.plan.cells.values())))

    def verb(self, *arguments):
        return main([*arguments, "--config", str(self.config)])

    def make(self):
        cells = [part for cell in self.plan.cells.values() for part in ("--cell", cell.name)]
        assert self.verb("prepare", "--benchmark", "digits") == 0 and self.verb("train", *cells) == 0
        assert self.verb("summarize", "--artifact", ARTIFACT) == 0 and self.verb("draw", "--artifact", ARTIFACT) == 0
        assert self.verb("page") == 0

    def problems(self):
        """Name of each file that has to be made again -> why, in words."""
        provenance = Provenance(self.plan)
        return {path.name: str(provenance.problem(path)) for path in provenance.causes()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_config):
    folder = Folder(tmp_path_factory.mktemp("finished") / "folder", write_config)
    folder.make()
    return folder


@pytest.fixture
def folder(finished, tmp_path, write_config):
    """A copy of the finished folder, which may be changed."""
    shutil.copytree(finished.directory, tmp_path / "folder")
    return Folder(tmp_path / "folder", write_config)


def rewrite(file, **metadata):
    """Write a file of ours again with other metadata, and a right checksum."""
    write_table(file, read_table(file), {**read_metadata(file), **metadata})


def test_what_was_made_is_current_wherever_it_is_copied(finished, folder):
    for each in (finished, folder):
        provenance = Provenance(each.plan)
        assert provenance.outdated() == [] and provenance.causes() == {}
        provenance.require([each.paths.summary_file(ARTIFACT)])


def test_nothing_is_current_before_it_is_made(tmp_path, write_config):
    folder = Folder(tmp_path / "empty", write_config)
    outdated = Provenance(folder.plan).outdated()
    assert {f.suffix for f in outdated} == {".parquet", ".pdf", ".png", ".html"} and folder.problems() == {}
    assert set(outdated) >= {folder.run_file, *folder.paths.artifact_files(ARTIFACT, "figure").values()}


def test_another_recipe(folder):
    folder.preset["benchmarks"]["digits"]["recipe"]["lr"] = 0.0123
    folder.write()
    outdated = Provenance(folder.plan).outdated()
    assert folder.paths.store_file("digits") not in outdated and folder.run_file in outdated
    assert set(folder.problems().values()) == {"made from other settings or by other code"}


def test_other_runs_of_the_same_cell(folder):
    folder.preset["experiments"]["pair"]["seeds"] = 2
    folder.write()
    assert folder.run_file in Provenance(folder.plan).outdated()


@pytest.mark.parametrize("fold", ["run_file", "summary", "drawing"])
def test_a_file_of_another_fingerprint(folder, fold):
    if fold == "drawing":
        record = folder.paths.drawing_record(ARTIFACT)
        write_json(record, {**read_json(record), "fingerprint": "x"})
    else:
        file = folder.run_file if fold == "run_file" else folder.paths.summary_file(ARTIFACT)
        rewrite(file, fingerprint="x")
    assert list(folder.problems().values()) == ["made from other settings or by other code"]


def test_a_run_file_in_the_place_of_another(folder):
    first, second, *_ = (folder.paths.run_file(cell) for cell in folder.plan.cells.values())
    shutil.copy2(first, second)
    assert folder.problems() == {second.name: "made from other settings or by other code"}


def test_a_source_that_changed_afterwards(folder):
    """Runs with other values, but of the right fingerprint: the summary was not made from them."""
    rewrite(folder.run_file, note="another training")
    summary = folder.paths.summary_file(ARTIFACT)
    assert folder.problems() == {summary.name: f"made from {folder.run_file} as it was before"}
    assert folder.verb("draw", "--artifact", ARTIFACT) == 2


def test_a_summary_of_fewer_files(folder):
    summary = folder.paths.summary_file(ARTIFACT)
    sources = read_metadata(summary)["sources"]
    rewrite(summary, sources={**sources, "runs/another.parquet": "0"})
    assert folder.problems() == {summary.name: "made from other files"}


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_damaged_file_and_what_was_made_from_it(folder, content):
    file = folder.run_file
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    provenance = Provenance(folder.plan)
    assert list(provenance.causes()) == [file] and "damaged" in str(provenance.problem(file))
    assert set(provenance.outdated()) == {
        file,
        folder.paths.summary_file(ARTIFACT),
        *folder.paths.artifact_files(ARTIFACT, "figure").values(),
        folder.paths.page_file,
    }
    with pytest.raises(DataError, match=r"made from .*damaged.*; make it with: snakemake --cores all"):
        provenance.require([folder.paths.summary_file(ARTIFACT)])


def test_a_missing_run_file_makes_everything_old_but_a_missing_store_nothing(folder):
    shutil.rmtree(folder.paths.store_file("digits").parent)
    assert Provenance(folder.plan).outdated() == []
    folder.run_file.unlink()
    assert folder.problems() == {folder.run_file.name: "missing"}


def test_another_store(folder):
    store = folder.paths.store_file("digits")
    write_json(store, {**read_json(store), "note": "other data"})
    reasons = set(folder.problems().values())
    assert reasons == {f"made from {store} as it was before"}


def test_edited_figures_are_drawn_again(folder):
    pdf = folder.paths.artifact_files(ARTIFACT, "figure")["pdf"]
    pdf.write_bytes(pdf.read_bytes() + b"%")
    assert list(folder.problems().values()) == [f"{pdf}: not as it was drawn"]


def test_shards_may_be_missing_once_they_are_merged(tmp_path, write_config):
    folder = Folder(tmp_path / "folder", write_config)
    folder.preset["jobs"]["runs_per_job"] = 1
    folder.write()
    plan = folder.plan
    shards = [shard for cell in plan.cells.values() for shard in plan.shards(cell)]
    assert folder.verb("prepare", "--benchmark", "digits") == 0
    assert folder.verb("train", *(part for shard in shards for part in ("--cell", shard.name))) == 0
    (cell,) = (cell for cell in plan.cells.values() if len(plan.shards(cell)) > 1)
    assert folder.verb("merge", "--cell", cell.name) == 0
    for shard in plan.shards(cell):
        plan.paths.shard_file(shard).unlink()
    provenance = Provenance(plan)
    assert provenance.problem(plan.paths.shard_file(Shard(cell))) is None
    assert not any("shards" in file.parts for file in provenance.outdated())


def test_verify_names_every_damaged_file(folder, capsys):
    assert folder.verb("verify") == 0
    assert "are undamaged" in capsys.readouterr().out
    damaged = [folder.run_file, folder.paths.store_file("digits").parent / "mnist_images.npy"]
    for file in damaged:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert folder.verb("verify") == 2
    output = capsys.readouterr().err
    assert "2 of " in output and all(str(file) in output for file in damaged)


def test_compare_refuses_what_is_not_current(folder):
    rewrite(folder.run_file, note="another training")
    assert folder.verb("compare", "--artifact", ARTIFACT) == 2
