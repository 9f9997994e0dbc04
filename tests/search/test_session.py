"""Searches with Ray, as jobs: from start to end, killed at random, stopped, with workers that die."""

import copy
import os
import random
import signal
import time
from pathlib import Path

import pytest

from scalarization.config import load_config
from scalarization.experiments import Plan
from scalarization.policies import read_history
from scalarization.storage import read_metadata

NAMES = ("evolved/vit_d2_w8", "bandit/vit_d2_w8")
#: Members finish 4 + 3 trainings of three intervals.
INTERVALS = 21


class Folder:
    """A working folder with a preset that searches, and what its jobs leave there."""

    def __init__(self, directory):
        self.directory, self.config = directory, directory / "config.yaml"
        self.log = directory / "job.log"

    @property
    def plan(self):
        return Plan(load_config(self.config))

    def files(self):
        return [self.plan.search_file(self.plan.searches[name]) for name in NAMES]

    def histories(self):
        """What must not depend on how often a search was interrupted: all but its times."""
        return [[{k: v for k, v in row.items() if k != "seconds"} for row in read_history(f)] for f in self.files()]

    def done(self):
        """Finished intervals so far."""
        return list((self.directory / "results").rglob("search_*/*.json"))

    def messages(self):
        return self.log.read_text() if self.log.exists() else ""

    def arguments(self):
        searches = [part for name in NAMES for part in ("--search", name)]
        return ["search", "--config", self.config, "--log", self.log, "--workers", 2, *searches]


@pytest.fixture
def new_folder(write_config, searching, tmp_path, digits_directory):
    """(name, **knobs) -> a folder in which nothing is searched yet."""
    # Some hundred steps an interval: long enough to be killed in.
    searching["benchmarks"]["digits"]["recipe"] |= {"batch_size": 8}

    def new_folder(name, **knobs):
        directory = tmp_path / name
        write_config(directory, copy.deepcopy(searching), **knobs)
        data = directory / "results" / "mine" / "data"
        data.mkdir(parents=True)
        (data / "digits").symlink_to(digits_directory)
        return Folder(directory)

    return new_folder


@pytest.fixture(scope="session")
def _undisturbed():
    return {}


@pytest.fixture
def undisturbed(_undisturbed, new_folder, launch):
    """Histories and metadata of searches without any disturbance."""
    if not _undisturbed:
        folder = new_folder("undisturbed")
        job = launch(*folder.arguments(), folder=folder.directory, whole=True)
        assert job.wait(300) == 0, job.output + folder.messages()
        _undisturbed |= {
            "histories": folder.histories(),
            "metadata": [read_metadata(f) for f in folder.files()],
            "left": [f.name for f in folder.directory.rglob("*.ckpt")],
            "output": job.output,
        }
    return _undisturbed


def test_undisturbed(undisturbed):
    evolved, bandit = undisturbed["histories"]
    assert len(evolved) == 12 and len(bandit) == 9
    assert {r["epoch"] for r in evolved} == {2, 4, 5}
    assert all(r["parent"] is None and not r["copied"] for r in evolved if r["interval"] == 1)
    # N = 4, Q = 0.25: one copies in each of two rounds. N = 3, Q = 0.4: one, too (at most half).
    for history in (evolved, bandit):
        assert [sum(r["copied"] for r in history if r["interval"] == i) for i in (1, 2, 3)] == [0, 1, 1]
        for row in history:
            assert row["score"] == pytest.approx(sum(row["by_task"]) / 2)
            assert sum(row["weights"]) == pytest.approx(1, abs=1e-9)
            if row["copied"]:
                before = {r["member"]: r for r in history if r["interval"] == row["interval"] - 1}
                assert before[row["parent"]]["score"] >= before[row["member"]]["score"]
                # A common factor of all weights is no change.
                assert row["explored"] == (before[row["parent"]]["weights"] != pytest.approx(row["weights"], abs=1e-9))
    session = undisturbed["metadata"][0]["session"]
    assert session["workers"] == 2 and session["searches"] == list(NAMES)
    assert 0 < session["trained_seconds"] < 2 * session["seconds"]
    assert not undisturbed["left"]
    assert all(f"{name}: best score" in undisturbed["output"] for name in NAMES)


def workers_of(job):
    """Ray's processes that train, of the session of a job."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::Worker") and f"SESSION_OF_TEST={job}".encode() in environment:
            found.append(int(process.name))
    return found


def test_killed_stopped_and_with_workers_that_die(new_folder, launch, undisturbed, tmp_path):
    """SIGKILL at a random moment; then a worker dies and SIGTERM comes; then to the end."""
    folder = new_folder("work")
    draw = random.Random(4)

    def started():
        return launch(*folder.arguments(), folder=folder.directory, whole=True, SESSION_OF_TEST=str(tmp_path))

    job = started()
    job.wait_for(lambda: len(folder.done()) >= 3, seconds=200)
    time.sleep(draw.uniform(0, 0.3))
    job.send(signal.SIGKILL)
    assert job.wait(60) == -signal.SIGKILL
    while workers_of(tmp_path):
        time.sleep(0.1)  # Ray ends them when it sees that the job is gone
    kept = len(folder.done())

    job = started()
    job.wait_for(lambda: len(folder.done()) > kept, seconds=200)
    os.kill(workers_of(tmp_path)[0], signal.SIGKILL)
    job.wait_for(lambda: "failed, tried again" in folder.messages(), seconds=200)
    job.send(signal.SIGTERM)
    assert job.wait(60) == 75, job.output
    assert "received SIGTERM; finished intervals are kept" in job.output
    assert kept < len(folder.done()) < INTERVALS

    job = started()
    assert job.wait(300) == 0, job.output + folder.messages()
    assert folder.histories() == undisturbed["histories"]
    assert not list(folder.directory.rglob("*.ckpt"))


def test_two_copies_at_once(new_folder, launch, undisturbed):
    """One searches; the other one waits, and leaves what it finds then."""
    folder = new_folder("work")
    jobs = [launch(*folder.arguments(), folder=folder.directory, whole=True) for _ in range(2)]
    assert [job.wait(300) for job in jobs] == [0, 0], [job.output for job in jobs]
    said = jobs[0].output + jobs[1].output
    assert said.count("another process makes this search; waiting for it") == 1
    assert folder.histories() == undisturbed["histories"]
    assert all(read_metadata(file)["session"]["trained_seconds"] > 0 for file in folder.files())
    assert "made by another process" in folder.messages() and not list(folder.directory.rglob("*.part"))


def test_a_member_that_fails_again_and_again_is_named(new_folder, launch):
    folder = new_folder("work", device="cuda")
    job = launch(*folder.arguments(), folder=folder.directory, whole=True, CUDA_VISIBLE_DEVICES="")
    assert job.wait(300) == 2
    assert "evolved/vit_d2_w8: member" in job.output and "interval 1: failed 3 times" in job.output
    assert "What is finished is kept: mend it, run again" in job.output
    assert not folder.done()
