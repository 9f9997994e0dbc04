"""From finished results: after any change, failure and kill, the same command makes everything new, or fails."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from scalarization.storage import read_metadata

from .conftest import PRESET
from .test_run import LOSS, parquet

#: The whole preset with another learning rate, which changes all runs.
OTHER = {"lr": 1e-2}


def change(checkout, preset):
    preset["benchmarks"]["digits"]["recipe"] |= OTHER
    checkout.write(preset)


def values(checkout):
    return {folder: parquet(checkout.results, folder) for folder in ("runs", "summary")}


def flip(file, position):
    """Invert a bit."""
    content = bytearray(file.read_bytes())
    content[round(position * (len(content) - 1))] ^= 4
    file.write_bytes(content)


def call(checkout, verb, *arguments):
    """Call a verb by hand: exit status and output."""
    environment = {**os.environ, "PYTHONPATH": "src"}
    environment.pop("SCALARIZATION_OVERRIDES", None)
    command = [sys.executable, "-m", "scalarization", verb, *arguments]
    done = subprocess.run(command, cwd=checkout.directory, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def changed(finished, tmp_path_factory):
    """Values of a checkout in which everything was made with the changed preset and without any fault."""
    checkout = finished[0].clone(tmp_path_factory.mktemp("changed") / "checkout")
    for folder in ("results", "reports", ".snakemake"):
        shutil.rmtree(checkout.directory / folder)
    preset = {**PRESET, "benchmarks": {"digits": {**PRESET["benchmarks"]["digits"]}}}
    digits = preset["benchmarks"]["digits"]
    digits["recipe"] = {**digits["recipe"], **OTHER}
    checkout.write(preset)
    checkout.snakemake(cores=2)
    return values(checkout)


def wait_for(process, verb):
    """Identifier of the first process of a session that runs a verb."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        lines = subprocess.run(["ps", "-e", "-o", "pid=,sid=,args="], capture_output=True, text=True).stdout
        for line in lines.splitlines():
            number, session, arguments = line.split(None, 2)
            if int(session) == process.pid and f"-m scalarization {verb}" in arguments and "exec" not in arguments:
                return int(number)
        time.sleep(0.02)
    raise AssertionError(f"{verb} was not started")


@pytest.mark.parametrize(
    ("verb", "number", "target"),
    [
        ("train", signal.SIGKILL, ["figure_b"]),
        ("summarize", signal.SIGTERM, []),
        ("draw", signal.SIGINT, ["figure_b"]),
        ("snakemake", signal.SIGKILL, []),
    ],
)
def test_a_change_survives_a_killed_job(verb, number, target, checkout, preset, changed):
    change(checkout, preset)
    process = checkout.start(*target)
    victim = process.pid if verb == "snakemake" else wait_for(process, verb)
    if verb == "snakemake":
        wait_for(process, "train")
    time.sleep(random.Random(verb).uniform(0, 0.5))
    os.kill(victim, number)
    process.communicate()
    assert process.returncode
    subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
    if verb == "snakemake":
        checkout.snakemake("--unlock")
    if target:
        checkout.snakemake(*target)
    checkout.snakemake()
    assert values(checkout) == changed
    assert "Nothing to be done" in checkout.snakemake("--dry-run")


def test_a_failed_job_deletes_nothing_and_is_not_forgotten(checkout):
    before = values(checkout)
    figure = (checkout.figures / "figure_b.pdf").read_bytes()
    failing = LOSS.replace("return ", "raise RuntimeError('broken') or ")
    checkout.replace("src/scalarization/training/objectives/domains.py", LOSS, failing)
    for target in (["figure_b"], []):
        checkout.snakemake(*target, status=1)
        assert values(checkout) == before and (checkout.figures / "figure_b.pdf").read_bytes() == figure
        assert call(checkout, "status")[1].count("0 of 3 figures and tables are drawn") == 1
    checkout.replace("src/scalarization/training/objectives/domains.py", failing, LOSS)
    # What was made before the change is current again: nothing is trained.
    assert checkout.planned() == {}


def test_a_copy_without_snakemake_s_records_knows_what_is_old(checkout):
    shutil.rmtree(checkout.directory / ".snakemake")
    assert checkout.planned() == {}
    other = LOSS.replace("labels)", "labels, label_smoothing=0.1)")
    checkout.replace("src/scalarization/training/objectives/domains.py", LOSS, other)
    assert "train_digits_0000" in checkout.planned() and "train_digits_0000" in checkout.planned("figure_b")


@pytest.mark.parametrize("target", [[], ["consistency"]])
def test_lost_run_files_are_made_again_from_finished_runs(target, checkout):
    before = values(checkout)
    shutil.rmtree(checkout.results / "runs")
    output = checkout.snakemake(*target)
    assert "base.parquet: missing" in output and values(checkout) == before
    assert "| epoch" not in (checkout.results / "logs/train_digits_0000.log").read_text().split("started as")[-1]


def test_whatever_is_damaged_is_made_again(checkout):
    before = values(checkout)
    damaged = [
        next((checkout.results / "runs").rglob("*.parquet")),
        next((checkout.results / "shards").rglob("*.parquet")),
        next((checkout.results / "checkpoints").rglob("finished.json")),
        checkout.results / "summary" / "consistency.parquet",
        checkout.figures / "figure_2_digits.png",
        checkout.results / "drawn" / "figure_b.json",
        checkout.results / "data" / "digits" / "optdigits_labels.npy",
    ]
    for position, file in zip((0.5, 0.4, 0.3, 0.9, 0.2, 0.5, 0.99), damaged, strict=True):
        flip(file, position)
    output = checkout.snakemake()
    assert output.count("Outdated: ") >= 5
    assert values(checkout) == before and "Nothing to be done" in checkout.snakemake("--dry-run")


def test_verbs_called_by_hand_refuse_what_is_old(checkout, preset):
    change(checkout, preset)
    for verb in ("summarize", "draw"):
        status, output = call(checkout, verb, "--artifact", "figure_b")
        assert status == 2 and "made from other settings or by other code" in output and "Traceback" not in output
        assert "make it with: snakemake --cores all results/mine/" in output


def test_a_run_file_of_another_cell_is_not_taken(checkout):
    files = {p.parts[-3]: p for p in (checkout.results / "runs/digits/mnist").rglob("*.parquet")}
    shutil.copy2(files["vit_d1_w8"], files["vit_d1_w16"])
    assert call(checkout, "summarize", "--artifact", "figure_b")[0] == 2
    checkout.snakemake("figure_b")
    assert read_metadata(files["vit_d1_w16"])["specification"]["architecture"] == "vit_d1_w16"


def test_plan_status_and_workflow_agree_on_what_is_done(checkout, preset):
    def agree(done):
        status, plan = call(checkout, "status")[1], call(checkout, "plan")[1]
        assert (f"{3 if done else 0} of 3 figures" in status) and ((" yes " in plan) == done)
        assert ("train_digits_0000" not in checkout.planned()) == done

    agree(True)
    change(checkout, preset)
    agree(False)
