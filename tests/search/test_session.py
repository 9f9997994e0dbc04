"""Searches with Ray, as jobs: undisturbed, killed at random moments, stopped, and with workers that die."""

import copy
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import scalarization
from scalarization.config import load_config
from scalarization.plan import load_plan
from scalarization.storage import read_metadata, read_table

NAMES = ("evolved/vit_d2_w8", "bandit/vit_d2_w8")
#: Two searches of 4 and 3 members, with three intervals each.
INTERVALS = 21


class Folder:
    """A working folder with a preset that has searches, and the files that its jobs write."""

    def __init__(self, directory):
        self.directory, self.config = directory, directory / "config.yaml"
        self.log = directory / "job.log"

    @property
    def plan(self):
        return load_plan(load_config(self.config))

    def files(self):
        return [self.plan.paths.search_file(self.plan.search(name)) for name in NAMES]

    def histories(self):
        """Everything that must not depend on interruptions: all columns but the times."""
        return [
            [{k: v for k, v in row.items() if k != "seconds"} for row in read_table(f).to_pylist()]
            for f in self.files()
        ]

    def finished_intervals(self):
        """Result files of finished intervals."""
        return list((self.directory / "results").rglob("search_*/*.json"))

    def messages(self):
        return self.log.read_text() if self.log.exists() else ""

    def arguments(self):
        searches = [part for name in NAMES for part in ("--search", name)]
        return ["search", "--config", self.config, "--log", self.log, "--workers", 2, *searches]


@pytest.fixture(scope="session")
def _undisturbed():
    return {}


@pytest.fixture
def new_folder(write_config, searching, tmp_path, launch, _undisturbed):
    """(name, **knobs) -> a folder without results, but with the prepared store, which all have in common."""
    # A few hundred steps per interval, so that jobs can be killed within one.
    searching["benchmarks"]["digits"]["recipe"] |= {"batch_size": 8}

    def new_folder(name, **knobs):
        directory = tmp_path / name
        config = write_config(directory, copy.deepcopy(searching), **knobs)
        store = directory / "results" / "mine" / "data" / "digits"
        if "store" in _undisturbed:
            store.parent.mkdir(parents=True)
            store.symlink_to(_undisturbed["store"])
        else:
            job = launch("prepare", "--config", config, "--benchmark", "digits", folder=directory)
            assert job.wait(100) == 0, job.output
            _undisturbed["store"] = store
        return Folder(directory)

    return new_folder


@pytest.fixture
def undisturbed(_undisturbed, new_folder, launch):
    """Histories and metadata of undisturbed searches."""
    if "folder" not in _undisturbed:
        folder = new_folder("undisturbed")
        job = launch(*folder.arguments(), folder=folder.directory, whole=True)
        assert job.wait(300) == 0, job.output + folder.messages()
        _undisturbed |= {
            "histories": folder.histories(),
            "metadata": [read_metadata(f) for f in folder.files()],
            "states": [f.name for f in folder.directory.rglob("*.ckpt")],
            "output": job.output,
            "folder": folder,
        }
    return _undisturbed


def test_undisturbed(undisturbed):
    evolved, bandit = undisturbed["histories"]
    assert len(evolved) == 12 and len(bandit) == 9
    assert {r["epoch"] for r in evolved} == {2, 4, 5}
    assert all(r["parent"] is None and not r["copied"] for r in evolved if r["interval"] == 1)
    # One member exploits in each of two rounds: N = 4 with Q = 0.25, and N = 3 with Q = 0.4 (at most half).
    for history in (evolved, bandit):
        assert [sum(r["copied"] for r in history if r["interval"] == i) for i in (1, 2, 3)] == [0, 1, 1]
        for row in history:
            assert row["score"] == pytest.approx(sum(row["by_task"]) / 2)
            assert sum(row["weights"]) == pytest.approx(1, abs=1e-9)
            if row["copied"]:
                before = {r["member"]: r for r in history if r["interval"] == row["interval"] - 1}
                assert before[row["parent"]]["score"] >= before[row["member"]]["score"]
                # Weights that differ by a common factor only are the same weights.
                assert row["explored"] == (before[row["parent"]]["weights"] != pytest.approx(row["weights"], abs=1e-9))
    session = undisturbed["metadata"][0]["session"]
    assert session["workers"] == 2 and session["searches"] == list(NAMES)
    assert 0 < session["trained_seconds"] < 2 * session["seconds"]
    assert not undisturbed["states"]
    assert all(f"{name}: best score" in undisturbed["output"] for name in NAMES)


def workers_of(job):
    """Numbers of Ray's processes that train in the session of a job."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::Worker") and f"SESSION_OF_TEST={job}".encode() in environment:
            numbers.append(int(process.name))
    return numbers


def test_killed_stopped_and_with_workers_that_die(new_folder, launch, undisturbed, tmp_path):
    """SIGKILL at a random moment; then a worker dies and SIGTERM arrives; then the search is resumed to the end."""
    folder = new_folder("work")
    draw = random.Random(4)

    def started():
        return launch(*folder.arguments(), folder=folder.directory, whole=True, SESSION_OF_TEST=str(tmp_path))

    job = started()
    job.wait_for(lambda: len(folder.finished_intervals()) >= 3, seconds=200)
    time.sleep(draw.uniform(0, 0.3))
    job.send(signal.SIGKILL)
    assert job.wait(60) == -signal.SIGKILL
    while workers_of(tmp_path):
        time.sleep(0.1)  # Ray ends them when it notices that the job has died
    saved = len(folder.finished_intervals())

    job = started()
    job.wait_for(lambda: len(folder.finished_intervals()) > saved, seconds=200)
    os.kill(workers_of(tmp_path)[0], signal.SIGKILL)
    job.wait_for(lambda: "failed, trying again" in folder.messages(), seconds=200)
    job.send(signal.SIGTERM)
    assert job.wait(60) == 75, job.output
    assert "received SIGTERM; finished intervals are saved" in job.output
    assert saved < len(folder.finished_intervals()) < INTERVALS

    job = started()
    assert job.wait(300) == 0, job.output + folder.messages()
    assert folder.histories() == undisturbed["histories"]
    assert not list(folder.directory.rglob("*.ckpt"))


def test_damaged_records_are_made_again(new_folder, launch, undisturbed):
    """All intervals were finished, and no state is left: what is damaged is trained again from the start."""
    folder = new_folder("work")
    records = "results/mine/checkpoints"
    shutil.copytree(undisturbed["folder"].directory / records, folder.directory / records)
    by_interval = sorted(folder.finished_intervals(), key=lambda file: (file.name, file.parent))
    first, second, last, other = by_interval[0], by_interval[8], by_interval[-1], by_interval[-2]
    first.write_text(first.read_text()[:40])
    second.write_bytes(pickle.dumps({"score": 100.0}))
    last.write_text(other.read_text())
    (last.parent / "0002_0123456789abcdef01234567.json").write_text("{")
    job = launch(*folder.arguments(), folder=folder.directory, whole=True)
    assert job.wait(300) == 0, job.output + folder.messages()
    assert folder.histories() == undisturbed["histories"]
    for file in (first, second, last):
        assert f"{file.name}: " in folder.messages() and file.with_name(f"{file.name}.bad").exists()
    assert folder.messages().count("the interval is trained again; quarantined as") == 3


@pytest.mark.parametrize("moment", ["workers start", "training"])
def test_control_c(new_folder, tmp_path, moment):
    """A terminal sends SIGINT to all processes of the job: it ends with one line, and no process of it is left."""
    folder = new_folder("work")
    command = [sys.executable, "-m", "scalarization", *map(str, folder.arguments())]
    environment = os.environ | {
        "SESSION_OF_TEST": str(tmp_path),
        "PYTHONPATH": str(Path(scalarization.__file__).parents[1]),
    }
    with subprocess.Popen(
        command,
        cwd=folder.directory,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.STDOUT,
    ) as job:
        while not (workers_of(tmp_path) if moment == "workers start" else folder.finished_intervals()):
            assert job.poll() is None
            time.sleep(0.05)
        os.killpg(job.pid, signal.SIGINT)
        output, _ = job.communicate(timeout=100)
    assert job.returncode == 75
    assert output.count("\n") == 1 and "received SIGINT; finished" in output and "run the same command again" in output
    end = time.monotonic() + 60
    while workers_of(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_copies_at_once(new_folder, launch, undisturbed):
    """One copy searches; the other copy waits, and then uses the results of the first."""
    folder = new_folder("work")
    jobs = [launch(*folder.arguments(), folder=folder.directory, whole=True) for _ in range(2)]
    assert [job.wait(300) for job in jobs] == [0, 0], [job.output for job in jobs]
    output = jobs[0].output + jobs[1].output
    assert output.count("another process runs this search; waiting for it") == 1
    assert folder.histories() == undisturbed["histories"]
    assert all(read_metadata(file)["session"]["trained_seconds"] > 0 for file in folder.files())
    assert "finished by another process" in folder.messages() and not list(folder.directory.rglob("*.part"))


def test_a_member_that_fails_repeatedly_is_named(new_folder, launch):
    folder = new_folder("work", device="cuda")
    job = launch(*folder.arguments(), folder=folder.directory, whole=True, CUDA_VISIBLE_DEVICES="")
    assert job.wait(300) == 2
    assert "evolved/vit_d2_w8: member" in job.output and "interval 1: failed 3 times" in job.output
    assert "Finished intervals are saved; remove the cause and run the same command again" in job.output
    assert not folder.finished_intervals()
