"""Jobs that die, are stopped, or run out of disk space, and the calls that resume them."""

import random
import re
import shutil
import signal
import time

import pytest
import yaml

from scalarization.storage import read_metadata, read_run_file
from scalarization.training.records import KEEP

from .conftest import CELLS, GRID, SINGLE, STEPS


def leftovers(folder):
    return folder.files(".*.part") + folder.files("*.ckpt*") + folder.files("*.bad")


def test_undisturbed_job(undisturbed):
    values = undisturbed["values"]
    assert [{(r["weights"][0], r["seed"]) for r in rows} for rows in values] == [{(0.3, 0), (0.7, 0)}, {(1.0, 0)}]
    assert {r["epoch"] for rows in values for r in rows} == {2, 4, 6}
    # The log has the progress; the terminal gets a line per cell.
    progress = re.findall(
        r"run (\d)/3 .* epoch (\d)/6 \| loss \d\.\d+ \| [\d,]+ images/s \| \d+:\d\d left", undisturbed["messages"]
    )
    assert progress == [(str(run), str(epoch)) for run in (1, 2, 3) for epoch in (2, 4, 6)]
    lines = undisturbed["output"].splitlines()
    assert [line.split(":")[0] for line in lines] == list(CELLS)
    assert not [f for f in undisturbed["files"] if f.suffix in (".part", ".ckpt", ".bad")]


# --- SIGKILL ---


def test_killed_at_random_moments(folder, train, undisturbed):
    draw = random.Random(1)
    kills = 0
    for attempt in range(100):
        job = train(folder)
        # Each attempt gets more time, so that a slow machine also finishes.
        if job.wait(draw.uniform(0.1, 0.7 + 0.05 * attempt)) is not None:
            break
        job.send(signal.SIGKILL)
        kills += job.wait() == -signal.SIGKILL
    assert job.status == 0, job.output
    assert kills >= 2 and "resuming from step" in folder.messages
    assert folder.values() == undisturbed["values"]
    assert not [f for f in leftovers(folder) if "checkpoints" in f.parts]


def test_killed_while_writing(folder, train, undisturbed):
    """Killed as soon as the temporary file of a checkpoint, a finished run or a run file exists."""
    kills = 0
    for _ in range(8):
        job = train(folder)
        while not folder.files(".*.part") and job.poll() is None:
            time.sleep(0.001)
        job.send(signal.SIGKILL)
        kills += job.wait() == -signal.SIGKILL
    job = train(folder)
    assert job.wait() == 0, job.output
    assert kills
    assert folder.values() == undisturbed["values"]
    assert not [f for f in leftovers(folder) if "checkpoints" in f.parts]


# --- Asked to stop ---


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_asked_to_stop(name, folder, train, undisturbed):
    whole = name == "SIGTERM"  # once with a new interpreter
    job = train(folder, whole=whole)
    job.wait_for(folder.checkpoints)
    job.send(getattr(signal, name))
    assert job.wait() == 75, job.output
    stopped = re.search(rf"run (\d)/3 .*received {name}; state saved at step (\d+) of {STEPS}", job.output)
    assert stopped, job.output
    step = int(stopped[2])
    assert folder.checkpoints()[-1].name == f"step_{step:09d}.ckpt"
    assert not any(f.exists() for f in folder.run_files())

    job = train(folder)
    assert job.wait() == 0, job.output
    assert re.search(rf"run {stopped[1]}/3 .*resuming from step {step}\b", folder.messages)
    assert folder.values() == undisturbed["values"]
    assert not leftovers(folder)


def test_profile_asked_to_stop(write_config, root, tmp_path, launch):
    preset = yaml.safe_load((root / "workflow/presets/smoke.yaml").read_text())
    ((name, profile),) = preset["profiles"].items()
    profile["rounds"] = 10_000
    config = write_config(tmp_path, preset)
    assert launch("prepare", "--benchmark", "emoji_people", "--config", config, folder=tmp_path).wait() == 0
    log = tmp_path / "job.log"
    job = launch("profile", "--profile", name, "--config", config, "--log", log, folder=tmp_path)
    job.wait_for(lambda: "measuring steps with 2, 4 tasks" in log.read_text() if log.exists() else False)
    job.send(signal.SIGTERM)
    assert job.wait() == 75 and f"{name}: received SIGTERM" in job.output
    assert not list(tmp_path.glob("results/*/profiles/*"))


def test_time_limit(folder, train, undisturbed):
    for step in (1, 2, 3):  # the limit is always near, but every call still trains one step
        job = train(folder, "--time-limit", "0.01")
        assert job.wait() == 75, job.output
        assert f"the time limit is near; state saved at step {step} of {STEPS}" in job.output
    job = train(folder, "--time-limit", "10")
    assert job.wait() == 0, job.output
    assert "resuming from step 3" in folder.messages
    assert folder.values() == undisturbed["values"]


def test_finished_runs_are_not_trained_again(folder, train, undisturbed):
    shutil.copytree(undisturbed["checkpoints"], folder.results / "checkpoints")
    finished = {f: f.stat().st_mtime_ns for f in folder.files("finished.json")}
    for file in finished:  # as if killed after recording that the run is finished, before its checkpoints were removed
        file.with_name("step_000000040.ckpt").write_bytes(b"no longer needed")
        file.with_name(".step_000000048.ckpt.x.part").write_bytes(b"cut off")
    assert train(folder).wait() == 0
    assert not leftovers(folder)
    assert folder.values() == undisturbed["values"]
    assert "epoch" not in folder.messages
    assert finished == {f: f.stat().st_mtime_ns for f in folder.files("finished.json")} and len(finished) == 3


# --- No disk space ---


def test_no_room_for_checkpoints(folder, train, undisturbed):
    """A limit on the size of files makes writing fail midway, as a full disk does."""
    job = train(folder, "--set", "checkpoint_seconds=0.2", limit=30_000)
    assert job.wait() == 0, job.output
    assert re.search(
        r"checkpoint at step \d+ was not written, training continues: .*step_\d+\.ckpt: .*File too large", job.output
    )
    assert folder.values() == undisturbed["values"]
    assert not leftovers(folder)


def test_no_room_for_the_rows_of_a_run(folder, train, undisturbed):
    job = train(folder, "--set", "checkpoint_seconds=1000", limit=3_000)
    assert job.wait() == 2, job.output
    assert re.search(r"finished\.json: could not be written: .*File too large.*run again", job.output)
    assert "Traceback" not in job.output
    assert not leftovers(folder) and not folder.files("finished.json") and not folder.files("base.parquet")
    assert train(folder).wait() == 0
    assert folder.values() == undisturbed["values"]


def test_no_room_for_the_run_file(folder, train, undisturbed):
    shutil.copytree(undisturbed["checkpoints"], folder.results / "checkpoints")
    job = train(folder, limit=4_000)
    assert job.wait() == 2, job.output
    assert f"{GRID}.parquet: could not be written: " in job.output and "run again" in job.output
    assert not folder.files("base.parquet") and not leftovers(folder)
    assert train(folder).wait() == 0
    assert folder.values() == undisturbed["values"]
    assert "epoch" not in folder.messages  # everything is from the records of the finished runs

    content = [f.read_bytes() for f in folder.run_files()]
    assert train(folder, limit=4_000).wait() == 2
    assert [f.read_bytes() for f in folder.run_files()] == content  # the old files are unchanged


def test_no_room_for_the_log(folder, train, undisturbed):
    job = train(folder, "--log", "/dev/full")
    assert job.wait() == 0, job.output
    assert job.output.count("/dev/full: could not be written, the log ends here: [Errno 28] No space left") == 1
    assert "Traceback" not in job.output and "Logging error" not in job.output
    assert folder.values() == undisturbed["values"]


def test_folder_that_may_not_be_written(folder, train, undisturbed):
    shutil.copytree(undisturbed["checkpoints"], folder.results / "checkpoints")
    (folder.results / "runs").write_text("a file where a folder should be")
    job = train(folder)
    assert job.wait() == 2, job.output
    assert "base.parquet: could not be written" in job.output


# --- Damaged and foreign files ---


@pytest.fixture(scope="session")
def _stopped():
    return {}


@pytest.fixture
def stopped(_stopped, new_folder, train, tmp_path_factory, folder, undisturbed):
    """A folder whose first run was stopped when it had two checkpoints, and whose other runs are finished."""
    if not _stopped:
        source = new_folder("stopped")
        job = train(source)
        job.wait_for(lambda: len(source.checkpoints()) >= KEEP)
        job.send(signal.SIGTERM)
        assert job.wait() == 75
        _stopped["checkpoints"] = tmp_path_factory.mktemp("stopped") / "checkpoints"
        shutil.copytree(source.results / "checkpoints", _stopped["checkpoints"])
    (started,) = _stopped["checkpoints"].iterdir()
    shutil.copytree(undisturbed["checkpoints"], folder.results / "checkpoints")
    shutil.rmtree(folder.results / "checkpoints" / started.name)
    shutil.copytree(started, folder.results / "checkpoints" / started.name)
    assert len(folder.checkpoints()) == KEEP and len(folder.files("finished.json")) == 2
    return folder


def step_of(file):
    return int(file.name.removeprefix("step_").split(".")[0])


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE = {
    "flipped bit": flipped,
    "truncated": lambda c: c[: len(c) * 2 // 3],
    "cut in the header": lambda c: c[:40],
    "garbage": lambda c: random.Random(0).randbytes(len(c)),
    "empty": lambda c: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint(damage, stopped, train, undisturbed):
    older, newest = stopped.checkpoints()
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    job = train(stopped)
    assert job.wait() == 0, job.output
    assert re.search(rf"{newest}: .*quarantined as {newest.name}\.bad", job.output)
    assert newest.with_name(f"{newest.name}.bad").exists()
    assert f"resuming from step {step_of(older)}\n" in stopped.messages
    assert stopped.values() == undisturbed["values"]


def test_all_checkpoints_damaged(stopped, train, undisturbed):
    for file in stopped.checkpoints():
        file.write_bytes(flipped(file.read_bytes()))
    job = train(stopped)
    assert job.wait() == 0, job.output
    assert job.output.count("quarantined as") == KEEP and "resuming" not in stopped.messages
    assert stopped.values() == undisturbed["values"]


@pytest.fixture
def foreign(new_folder, train):
    """(depth=2) -> content of a checkpoint of another run, whose recipe differs."""

    def foreign(depth=2):
        other = new_folder("other", lr=0.5)
        preset = other.directory / "mine.yaml"
        assert preset.read_text().count("      - 2\n") == 1
        preset.write_text(preset.read_text().replace("      - 2\n", f"      - {depth}\n"))
        job = train(other, cells=[GRID.replace("d2", f"d{depth}")])
        job.wait_for(other.checkpoints)
        job.send(signal.SIGKILL)
        job.wait()
        return other.checkpoints()[-1].read_bytes()

    return foreign


@pytest.mark.parametrize("depth", [2, 3])
def test_foreign_checkpoint(depth, stopped, train, undisturbed, foreign):
    """Valid, but of another run: one whose network has the same shape, and one whose network is deeper."""
    older, newest = stopped.checkpoints()
    newest.write_bytes(foreign(depth))
    job = train(stopped)
    assert job.wait() == 0, job.output
    assert re.search(rf"{newest}: belongs to another run; quarantined as {newest.name}\.bad", job.output)
    assert f"resuming from step {step_of(older)}\n" in stopped.messages
    assert stopped.values() == undisturbed["values"]


def test_only_foreign_checkpoints(stopped, train, undisturbed, foreign):
    content = foreign(depth=3)
    for file in stopped.checkpoints():
        file.write_bytes(content)
    job = train(stopped)
    assert job.wait() == 0, job.output
    assert job.output.count("belongs to another run") == KEEP and "resuming" not in stopped.messages
    assert stopped.values() == undisturbed["values"]


FINISHED = {
    "truncated": lambda c, other: c[: len(c) // 2],
    "empty": lambda c, other: b"",
    "binary": lambda c, other: bytes(range(256)),
    "another run's": lambda c, other: other,
    "a list": lambda c, other: b"[]",
    "a value changed": lambda c, other: re.sub(rb'"value": (\d)', rb'"value": 1\1', c, count=1),
}


@pytest.mark.parametrize("damage", FINISHED)
def test_damaged_record_of_a_finished_run(damage, folder, train, undisturbed):
    shutil.copytree(undisturbed["checkpoints"], folder.results / "checkpoints")
    first, second, _ = folder.files("finished.json")
    first.write_bytes(FINISHED[damage](first.read_bytes(), second.read_bytes()))
    job = train(folder)
    assert job.wait() == 0, job.output
    assert re.search(rf"{first}: .*quarantined as finished\.json\.bad", job.output)
    assert len(re.findall(r"epoch 6/6", folder.messages)) == 1  # only that run was trained again
    assert folder.values() == undisturbed["values"]


# --- Two copies of one job ---


def test_two_copies_at_once(folder, train, undisturbed):
    first, second = train(folder), train(folder)
    assert (first.wait(), second.wait()) == (0, 0), first.output + second.output
    assert "another process trains this run; waiting for it" in first.output + second.output
    assert folder.values() == undisturbed["values"]
    assert folder.messages.count("epoch 6/6") == 3  # each run was trained once
    assert not leftovers(folder)


def test_survivor_resumes_where_the_other_copy_died(folder, train, undisturbed):
    first = train(folder)
    first.wait_for(folder.checkpoints)
    second = train(folder)
    second.wait_for(lambda: "waiting for it" in second.output and folder.checkpoints())
    first.send(signal.SIGKILL)
    assert second.wait() == 0, second.output
    assert "resuming from step" in folder.messages
    assert folder.values() == undisturbed["values"]


# --- The same values in any division into jobs ---


def test_shards_of_a_cell_are_merged(folder, launch, undisturbed):
    preset = folder.directory / "mine.yaml"
    preset.write_text(preset.read_text().replace("minutes: 100", "runs_per_job: 1"))
    assert [s.name for s in folder.plan().shards(folder.plan().cell(GRID))] == [f"{GRID}@0/2", f"{GRID}@1/2"]
    common = ["--config", folder.config, "--log", folder.log]
    for shard_index in (1, 0):
        assert launch("train", *common, "--cell", f"{GRID}@{shard_index}/2", folder=folder.directory).wait() == 0
    whole = folder.run_files()[0]
    assert not whole.exists()
    job = launch("merge", *common, "--cell", GRID, folder=folder.directory)
    assert job.wait() == 0, job.output
    assert read_run_file(whole).to_pylist() == undisturbed["values"][0]
    assert read_metadata(whole)["specification"] == folder.plan().cell(GRID).describe()


def test_seeds_trained_later_join_the_existing_ones(folder, train, undisturbed):
    shutil.copytree(undisturbed["checkpoints"], folder.results / "checkpoints")
    preset = folder.directory / "mine.yaml"
    preset.write_text(preset.read_text().replace("seeds: 1", "seeds: 2"))
    assert train(folder).wait() == 0
    assert [[r for r in rows if r["seed"] == 0] for rows in folder.values()] == undisturbed["values"]
    assert [{r["seed"] for r in rows} for rows in folder.values()] == [{0, 1}, {0, 1}]
    assert folder.messages.count("epoch 6/6") == 3  # one new seed of each of three weight settings


def test_run_file_has_specification_digests_and_environment(folder, train):
    assert train(folder, cells=[SINGLE]).wait() == 0
    metadata = read_metadata(folder.run_files()[1])
    assert metadata["specification"] == folder.plan().cell(SINGLE).describe()
    assert re.fullmatch("[0-9a-f]{16}", metadata["code"]) and re.fullmatch("[0-9a-f]{16}", metadata["data"])
    assert metadata["environment"]["device"] == "cpu"
    assert {"torch", "timm", "numpy"} <= set(metadata["environment"]["versions"])


def test_threads_are_part_of_a_run(new_folder, train):
    folder = new_folder("short", epochs=1, warmup_epochs=0, eval_every=1, batch_size=800)
    for threads in (1, 2):
        assert train(folder, "--set", f"threads={threads}", cells=[SINGLE]).wait() == 0
        metadata = read_metadata(folder.run_files()[1])
        assert metadata["specification"]["threads"] == metadata["environment"]["threads"] == threads
        assert len(folder.files("finished.json")) == threads  # with other threads it is another run


# --- What cannot be trained ---


def test_domain_that_is_not_in_the_store(folder, train, launch):
    (folder.results / "data" / "digits").unlink()
    job = launch("prepare", "--benchmark", "digits", "--config", folder.config, folder=folder.directory)
    assert job.wait() == 0, job.output
    preset = folder.directory / "mine.yaml"
    domains = "    - optdigits\n    reference"
    assert domains in preset.read_text()
    preset.write_text(preset.read_text().replace(domains, f"    - mfeat\n{domains}"))
    job = train(folder, cells=[SINGLE])
    assert job.wait() == 2, job.output
    assert "holds no domain mfeat" in job.output


def test_device_that_is_not_available(folder, train):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    job = train(folder, "--set", "device=cuda")
    assert job.wait() == 2, job.output
    assert "device = cuda" in job.output and "Traceback" not in job.output
