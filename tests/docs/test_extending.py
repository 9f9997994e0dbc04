"""Everything on docs/extending.md, applied to a copy of the checkout, works as it stands there."""

import json
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from .pages import EXTENDING, blocks

OWN = "results/mine"


def apply_changes(text, diff):
    """A file's text after the changes of a block in `diff`: parts begin with `@@`, and each must fit exactly once.

    A part that is there already is left out: somebody may have added to this checkout what the page describes.
    """
    for part in re.split(r"^@@.*\n", diff, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        if new not in text:
            assert text.count(old) == 1, f"fits {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def extended(make_copy, tmp_path_factory):
    """A copy of the checkout with everything that the page describes."""
    checkout = make_copy(tmp_path_factory.mktemp("extending") / "checkout")
    for block in blocks(EXTENDING):
        if block.file and block.language == "diff":
            file = checkout.directory / block.file
            file.write_text(apply_changes(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")
        elif block.file:
            checkout.write(block.file, block.text)
    return checkout


def written_files():
    return [block.file for block in blocks(EXTENDING) if block.file]


def test_the_page_shows_all_kinds_of_additions():
    folders = {file.rpartition("/")[0].removeprefix("src/scalarization/") for file in written_files()}
    assert folders >= {"methods", "benchmarks", "analysis", "figures", "architectures", "models", "workflow/report"}


def test_style_of_the_examples(extended):
    files = sorted({file for file in written_files() if file.endswith(".py")})
    for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        command = [sys.executable, "-m", "ruff", *check, *files]
        run = subprocess.run(command, cwd=extended.directory, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_schema_knows_the_new_family(extended):
    extended.run("envs/run python tools/write_schema.py")
    schema = (extended.directory / "workflow" / "schemas" / "schema.json").read_text()
    assert '"mlp"' in schema and "dropout" in json.loads(schema)["$defs"]["Model"]["properties"]


def test_the_whole_preset_runs(extended):
    output = extended.run("envs/run snakemake --cores 2 --config preset=mine.yaml")
    assert "(100%) done" in output
    for artifact in ("figures/curves_vit", "figures/curves_mlp", "tables/table_gratings"):
        assert (extended.directory / "reports" / "mine" / f"{artifact}.pdf").read_bytes().startswith(b"%PDF-")
    runs = sorted((extended.directory / OWN / "runs" / "gratings").rglob("*.parquet"))
    assert {"mean_grad", "grid", "single"} <= {file.parent.name for file in runs}
    assert {"vit_d1_w16", "mlp_d1_w32", "mlp_d2_w32"} <= {file.parent.parent.name for file in runs}
    for file in runs:
        table = pq.read_table(file)
        assert set(table["batch_size"].to_pylist()) == {50}
        assert json.loads(table.schema.metadata[b"scalarization"])["schema_version"] == 3
    curves = pq.read_table(extended.directory / OWN / "summary" / "curves_vit.parquet").to_pandas()
    assert set(curves["epoch"]) == {1, 2, 3, 4} and set(curves["method"]) == {"grid", "mean_grad"}
    table = (extended.directory / "reports" / "mine" / "tables" / "table_gratings.md").read_text()
    assert "Mean gradient" in table


def test_the_figure_is_part_of_the_report(extended):
    extended.run("envs/run snakemake --report report.html --cores 1 --config preset=mine.yaml")
    assert "Learning curves." in (extended.directory / "report.html").read_text()


def test_a_missing_caption_stops_before_any_job(extended):
    caption = extended.directory / "workflow" / "report" / "learning_curves.rst"
    text = caption.read_text()
    caption.unlink()
    try:
        output = extended.run("envs/run python -m scalarization plan --preset mine.yaml", status=2)
    finally:
        caption.write_text(text)
    assert "learning_curves" in output and "caption" in output
