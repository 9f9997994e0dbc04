"""Complete runs of the workflow: their results, what runs again after a change, and kills at random moments."""

import os
import random
import re
import signal
import time

import pyarrow.parquet as pq
import pytest

from scalarization.storage import RUN_SCHEMA, read_metadata

from .conftest import PARTS, PRESET, jobs

ARTIFACTS = list(PRESET["artifacts"])
MERGES = {f"merge_digits.mnist+optdigits.vit_d1_w{width}.grid.base": 1 for width in (8, 16)}
SUMMARIES = {f"summarize_{artifact}": 1 for artifact in ARTIFACTS}
DRAWINGS = dict.fromkeys(ARTIFACTS, 1)
PAGE = {"page": 1}
TRAINING = {"train_digits_0000": 1, **MERGES}
FUTURE = "from __future__ import annotations\n"
LOSS = "return functional.cross_entropy(logits, labels)\n"


def parquet(directory, folder):
    """Relative path -> rows of every Parquet file."""
    tables = {f.relative_to(directory / folder): pq.read_table(f) for f in (directory / folder).rglob("*.parquet")}
    return {path: table.to_pylist() for path, table in sorted(tables.items())}


def finished_runs(checkout):
    return {f: f.stat().st_mtime_ns for f in (checkout.results / "checkpoints").rglob("finished.json")}


# --- Results of a run ---


def test_every_rule_ran_once(finished):
    assert jobs(finished[1]) == {"prepare_digits": 1, **TRAINING, **SUMMARIES, **DRAWINGS, **PAGE, "all": 1}


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_every_artifact_is_drawn(artifact, finished):
    checkout, _ = finished
    assert (checkout.figures / f"{artifact}.pdf").read_bytes().startswith(b"%PDF-")
    assert (checkout.figures / f"{artifact}.png").read_bytes().startswith(b"\x89PNG\r\n")
    summary = checkout.results / "summary" / f"{artifact}.parquet"
    assert pq.read_table(summary).num_rows > 0
    assert read_metadata(summary)["artifact"] == artifact


def test_run_files_hold_every_run(finished):
    checkout, _ = finished
    files = parquet(checkout.results, "runs")
    assert len(files) == 2 * (2 + 1)  # widths x (two baselines and the grid)
    for path, rows in files.items():
        assert pq.read_schema(checkout.results / "runs" / path).equals(RUN_SCHEMA, check_metadata=False)
        runs = {(r["weight_setting"], r["seed"]) for r in rows}
        assert runs == ({(w, s) for w in (0, 1) for s in (0, 1)} if "grid" in path.parts else {(0, 0), (0, 1)})
        assert {r["epoch"] for r in rows} == {2}


def test_only_declared_files_are_left(finished):
    checkout, _ = finished
    new = {f.name for f in checkout.directory.iterdir()} - {*PARTS, "mine.yaml"}
    assert new == {"results", "reports", ".snakemake"}
    assert not list(checkout.directory.rglob("*.part")) and not list(checkout.directory.rglob("*.ckpt"))


def test_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished[0].snakemake("--dry-run")


def test_report_has_every_artifact_with_its_caption(checkout):
    checkout.snakemake("--report", "report.html")
    report = (checkout.directory / "report.html").read_text()
    for artifact, options in PRESET["artifacts"].items():
        caption = (checkout.directory / "workflow/report" / f"{options.get('kind', artifact)}.rst").read_text()
        assert f"{artifact}.pdf" in report and f"{artifact}.png" in report
        words = re.findall(r"[A-Za-z]{4,}", caption)[:3]
        assert len(words) == 3 and all(word in report for word in words)
    assert '"Figures"' in report and "The front page" in report


def test_the_front_page_is_made_and_its_line_ends_the_run(finished):
    checkout, output = finished
    page = checkout.directory / "reports" / "mine" / "index.html"
    assert all(f'id="{artifact}"' in page.read_text() for artifact in ARTIFACTS)
    line = "reports/mine/index.html: 3 figures and tables"
    assert output.count(line) == 1 and output.index(line) > output.index("(100%) done")


def test_the_front_page_is_a_target_and_has_no_line_where_it_is_not_made(checkout):
    page = checkout.directory / "reports" / "mine" / "index.html"
    page.unlink()
    assert checkout.planned("page") == PAGE
    assert "index.html: 3" not in checkout.snakemake("--dry-run", "--quiet") + checkout.snakemake("figure_b", "-f")
    output = checkout.snakemake("page")
    assert jobs(output) == PAGE and "index.html: 3 figures" in output and page.is_file()


# --- What runs again ---


def test_deleted_figure_is_one_job(checkout):
    pdf = checkout.figures / "figure_b.pdf"
    pdf.unlink()
    output = checkout.snakemake("figure_b")
    assert jobs(output) == {"figure_b": 1} and "1 of 1 steps (100%) done" in output
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_changes_without_influence_run_nothing(checkout):
    """Modification times, comments, the code of another benchmark, the time between checkpoints."""
    for file in (checkout.directory / "src").rglob("*.py"):
        file.touch()
    checkout.replace("src/scalarization/training/objectives/domains.py", LOSS, f"# the loss\n        {LOSS}")
    checkout.replace("src/scalarization/benchmarks/cifar_stl.py", "SPLIT_SEED = 0", "SPLIT_SEED = 1")
    checkout.replace("src/scalarization/figures/figure_d.py", FUTURE, f"{FUTURE}X = 1\n")
    assert checkout.planned("--config", "checkpoint_seconds=5") == {}


# Edited part -> file, old text, new text, jobs of the next run without `all`.
EDITS = {
    "the page": ("reports/page/content.py", FUTURE, f"{FUTURE}X = 1\n", PAGE),
    "a drawing": ("figures/figure_b.py", FUTURE, f"{FUTURE}X = 1\n", {"figure_b": 1, **PAGE}),
    "a query": ("analysis/figure_b.py", FUTURE, f"{FUTURE}X = 1\n", {"summarize_figure_b": 1, "figure_b": 1, **PAGE}),
    "the loss": (
        "training/objectives/domains.py",
        LOSS,
        LOSS.replace("labels)", "labels, label_smoothing=0.1)"),
        {**TRAINING, **SUMMARIES, **DRAWINGS, **PAGE},
    ),
    "the splits": (
        "benchmarks/splits.py",
        "+ generator.random()) / len",
        "+ 0.5) / len",
        {"prepare_digits": 1, **TRAINING, **SUMMARIES, **DRAWINGS, **PAGE},
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_what_depends_on_it(name, checkout):
    file, old, new, expected = EDITS[name]
    checkout.replace(f"src/scalarization/{file}", old, new)
    planned = checkout.planned()
    planned.pop("all", None)
    assert planned == expected


def test_added_method_trains_only_itself(checkout, preset):
    before, log = finished_runs(checkout), checkout.results / "logs" / "train_digits_0000.log"
    log_before = log.read_text()
    preset["experiments"]["pair"]["methods"]["proportional"] = {}
    checkout.write(preset)
    started = jobs(checkout.snakemake("summarize_figure_b"))
    assert "train_digits_0000" in started and "prepare_digits" not in started
    after = finished_runs(checkout)
    assert len(before) == 2 * (2 + 2) * 2  # widths x (baselines and weights) x seeds
    assert len(after) == len(before) + 2 * 2 and before.items() <= after.items()
    progress = [line for line in log.read_text().removeprefix(log_before).splitlines() if "| epoch" in line]
    trained = {line.split(" run ")[0].split()[-1] for line in progress}
    assert trained == {f"digits/mnist+optdigits/vit_d1_w{width}/proportional/base" for width in (8, 16)}


def test_the_rest_of_a_partial_run_is_marked_as_absent(checkout):
    before = finished_runs(checkout)
    only = 'only={"capacities": ["vit_d1_w8"], "seeds": [1]}'
    pdf = checkout.figures / "figure_2_digits.pdf"
    whole = pdf.read_bytes()
    output = checkout.snakemake("--config", only, "--", "figure_2_digits")
    assert finished_runs(checkout) == before and "prepare_digits" not in jobs(output)
    summary = checkout.results / "summary" / "figure_2_digits.parquet"
    rows = pq.read_table(summary).to_pylist()
    assert {(r["width"], r["present"]) for r in rows} == {(8, True), (16, False)}
    assert {r["seeds"] for r in rows if r["present"]} == {1}
    assert read_metadata(summary)["seeds"] == [1] and read_metadata(summary)["seeds_planned"] == [0, 1]
    assert pdf.read_bytes().startswith(b"%PDF-") and pdf.read_bytes() != whole


# --- Kills ---


def test_killed_runs_give_the_same_values(finished, checkout):
    """Everything again in another directory; snakemake and its jobs are killed at random moments."""
    draw = random.Random(0)
    elsewhere = ["--config", "results=elsewhere", "checkpoint_seconds=0.05"]
    target = ["--", "summarize_figure_b"]
    other = checkout.directory / "elsewhere" / "mine"

    def is_prepared():
        return (other / "data/digits/dataset.json").exists()

    num_finished = draw.randint(2, 12)  # of 16 runs

    def has_trained():
        return len(list(other.glob("checkpoints/*/finished.json"))) >= num_finished

    for moment in (is_prepared, has_trained):
        process = checkout.start(*elsewhere, *target)
        end = time.monotonic() + 120
        while not moment():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (other / "summary").exists()
        checkout.snakemake(*elsewhere, "--unlock")
    checkout.snakemake(*elsewhere, *target)
    first = finished[0].results
    assert parquet(first, "runs") and parquet(first, "runs") == parquet(other, "runs")
    summary = "summary/figure_b.parquet"
    assert pq.read_table(first / summary).to_pylist() == pq.read_table(other / summary).to_pylist()
    assert (first / "data/digits/dataset.json").read_bytes() == (other / "data/digits/dataset.json").read_bytes()
    assert checkout.planned(*elsewhere, *target) == {}
