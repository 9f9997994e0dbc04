"""Status of a preset, from the files of real jobs."""

import time

import pytest

from scalarization.cli import main
from scalarization.config import load_config
from scalarization.plan import estimates, load_plan, packing
from scalarization.reports.status import print_status, status
from scalarization.storage import read_json, write_json

KEY = ("digits", "runs")


@pytest.fixture
def started(tiny, write_config, tmp_path, digits_directory):
    """A folder with prepared data: its configuration; () -> its plan; (cells, ...) -> exit status of training them."""
    tiny["jobs"]["runs_per_job"] = 1
    config = write_config(tmp_path, tiny, checkpoint_seconds=1000)

    def plan():
        return load_plan(load_config(config))

    store = plan().paths.store_file("digits").parent
    store.parent.mkdir(parents=True)
    store.symlink_to(digits_directory)

    def train(cells, *more):
        given = [part for name in cells for part in ("--cell", name)]
        log = plan().paths.log_file("train_digits_0000")
        return main(["train", "--config", str(config), "--log", str(log), *given, *more])

    return config, plan, train


def names(plan):
    return [shard.name for job in packing.training_jobs(plan) for shard in job.shards]


def seconds(plan):
    """Estimated training time of all runs."""
    return sum(estimates.seconds(plan, cell) * len(cell.runs) for cell in plan.cells.values())


def test_nothing_has_started(started):
    _, plan, _ = started
    current = status(plan())
    progress = current.progress[KEY]
    # Two baselines, and two weight settings of the grid.
    assert progress.states == {"waiting": 4} and not current.failures and current.artifacts == {"figure_b": False}
    assert not current.has_page
    assert progress.remaining == pytest.approx(seconds(plan()))


def test_without_prepared_data(started):
    _, plan, _ = started
    plan().paths.store_file("digits").parent.unlink()
    assert status(plan()).progress[KEY].states == {"waiting": 4}


def test_runs_from_the_first_step_to_the_last(started):
    _, plan, train = started
    first, *rest = names(plan())
    # The limit has passed already: the job saves its state after the first step.
    assert train([first], "--time-limit", "0.01") == 75
    progress = status(plan()).progress[KEY]
    assert progress.states == {"running": 1, "waiting": 3}
    cells = plan().cells
    one_step = estimates.seconds(plan(), cells[first]) / cells[first].steps
    assert progress.remaining == pytest.approx(seconds(plan()) - one_step)
    # Nothing was written for a long time: the job has exited, or was killed.
    assert status(plan(), time.time() + 2000).progress[KEY].states == {"waiting": 4}
    assert train([first]) == 0
    assert status(plan()).progress[KEY].states == {"done": 1, "waiting": 3}
    assert train(rest) == 0
    progress = status(plan()).progress[KEY]
    assert progress.states == {"done": 4} and progress.remaining == 0


def test_remaining_time_follows_measured_time(started):
    """A finished run of a cell without a run file took ten times its estimate; the same is expected of the others."""
    _, plan, train = started
    name = next(n for n in names(plan()) if "@" in n)
    assert train([name]) == 0
    plan().paths.shard_file(plan().shard(name)).unlink()
    (finished,) = plan().paths.checkpoints.glob("*/finished.json")
    cell = plan().shard(name).cell
    content = read_json(finished)
    content["timing"] |= {"images": estimates.images(cell), "seconds": 10 * estimates.seconds(plan(), cell)}
    write_json(finished, content)
    progress = status(plan()).progress[KEY]
    assert progress.states == {"done": 1, "waiting": 3}
    others = seconds(plan()) - estimates.seconds(plan(), cell)
    assert progress.remaining == pytest.approx(10 * others)


def test_results_without_checkpoints_are_done(started):
    """Results may be copied to another machine without checkpoints and data."""
    _, plan, train = started
    assert train(names(plan())) == 0
    for finished in plan().paths.checkpoints.glob("*/finished.json"):
        finished.unlink()
    plan().paths.store_file("digits").parent.unlink()
    assert status(plan()).progress[KEY].states == {"done": 4}


def test_files_of_another_recipe_are_not_done(started, tiny, write_config, tmp_path):
    _, plan, train = started
    assert train(names(plan())) == 0
    tiny["benchmarks"]["digits"]["recipe"]["lr"] = 1e-3
    write_config(tmp_path, tiny)
    assert status(plan()).progress[KEY].states == {"waiting": 4}


def test_an_error_is_printed_with_its_log(started, capsys):
    _, plan, train = started
    first = names(plan())[0]
    assert train([first], "--set", "device=cuda") == 2
    current = status(plan())
    assert current.progress[KEY].states["failed"] and "no CUDA device" in "".join(current.failures.values())
    print_status(plan())
    assert "train_digits_0000.log" in capsys.readouterr().out
    # The job was started again and exited in time: this is no failure.
    assert train([first], "--time-limit", "0.01") == 75
    current = status(plan(), time.time() + 10000)
    assert not current.failures and not current.progress[KEY].states["failed"]


def test_status_changes_no_file(started):
    _, plan, train = started
    train(names(plan())[:1], "--time-limit", "0.01")
    results = plan().paths.results
    before = {f: f.stat().st_mtime_ns for f in results.rglob("*")}
    print_status(plan())
    assert {f: f.stat().st_mtime_ns for f in results.rglob("*")} == before
