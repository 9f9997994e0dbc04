"""How far a preset is, told from what real jobs leave behind."""

import json
import time

import pytest

from scalarization.cli import main
from scalarization.config import load_config
from scalarization.experiments import Plan
from scalarization.status import print_status, status

KEY = ("digits", "runs")


@pytest.fixture
def started(tiny, write_config, tmp_path, digits_directory):
    """Prepared data, and (key, value, ...) -> exit status of training all cells; configuration; () -> plan."""
    tiny["jobs"]["members_per_job"] = 1
    config = write_config(tmp_path, tiny, checkpoint_seconds=1000)

    def plan():
        return Plan(load_config(config))

    store = plan().store_file("digits").parent
    store.parent.mkdir(parents=True)
    store.symlink_to(digits_directory)

    def train(cells, *more):
        given = [part for name in cells for part in ("--cell", name)]
        log = plan().config.results / "logs" / "train_digits_0000.log"
        return main(["train", "--config", str(config), "--log", str(log), *given, *more])

    return config, plan, train


def names(plan):
    return [share.name for job in plan.jobs() for share in job.shares]


def test_nothing_has_begun(started):
    _, plan, _ = started
    found = status(plan())
    part = found.parts[KEY]
    # Two baselines and two weights.
    assert part.states == {"waiting": 4} and not found.failures and found.artifacts == {"figure_b": False}
    assert part.left == pytest.approx(sum(plan().seconds(c) * len(c.members) for c in plan().cells.values()))


def test_before_there_are_data(started):
    _, plan, _ = started
    plan().store_file("digits").parent.unlink()
    assert status(plan()).parts[KEY].states == {"waiting": 4}


def test_runs_from_the_first_step_to_the_last(started):
    _, plan, train = started
    first, *rest = names(plan())
    # A limit that has passed: it saves its state after the first step.
    assert train([first], "--time-limit", "0") == 75
    part = status(plan()).parts[KEY]
    assert part.states == {"running": 1, "waiting": 3}
    cells = plan().cells
    steps = cells[first].steps
    everything = sum(plan().seconds(c) * len(c.members) for c in cells.values())
    assert part.left == pytest.approx(everything - plan().seconds(cells[first]) / steps)
    # Nobody has written for a long time: it left, or was killed.
    assert status(plan(), time.time() + 2000).parts[KEY].states == {"waiting": 4}
    assert train([first]) == 0
    assert status(plan()).parts[KEY].states == {"done": 1, "waiting": 3}
    assert train(rest) == 0
    part = status(plan()).parts[KEY]
    assert part.states == {"done": 4} and part.left == 0


def test_time_left_follows_measured_time(started):
    """Finished runs of a cell whose file is not written yet took ten times the estimate: so will the others."""
    _, plan, train = started
    share = next(n for n in names(plan()) if "@" in n)
    assert train([share]) == 0
    plan().share_file(plan().share(share)).unlink()
    (finished,) = plan().config.results.glob("checkpoints/*/finished.json")
    cell = plan().share(share).cell
    content = json.loads(finished.read_text())
    content["timing"] |= {"images": plan().images(cell), "seconds": 10 * plan().seconds(cell)}
    finished.write_text(json.dumps(content))
    part = status(plan()).parts[KEY]
    assert part.states == {"done": 1, "waiting": 3}
    others = sum(plan().seconds(c) * len(c.members) for c in plan().cells.values()) - plan().seconds(cell)
    assert part.left == pytest.approx(10 * others)


def test_results_without_checkpoints_are_done(started):
    """As they are on a laptop."""
    _, plan, train = started
    assert train(names(plan())) == 0
    for finished in plan().config.results.glob("checkpoints/*/finished.json"):
        finished.unlink()
    plan().store_file("digits").parent.unlink()
    assert status(plan()).parts[KEY].states == {"done": 4}


def test_files_of_another_recipe_are_not_done(started, tiny, write_config, tmp_path):
    _, plan, train = started
    assert train(names(plan())) == 0
    tiny["benchmarks"]["digits"]["recipe"]["lr"] = 1e-3
    write_config(tmp_path, tiny)
    assert status(plan()).parts[KEY].states == {"waiting": 4}


def test_error_is_told_with_its_log(started, capsys):
    _, plan, train = started
    first = names(plan())[0]
    assert train([first], "--set", "device=cuda") == 2
    found = status(plan())
    assert found.parts[KEY].states["failed"] and "no CUDA device" in "".join(found.failures.values())
    print_status(plan())
    assert "train_digits_0000.log" in capsys.readouterr().out
    # Tried again, and left in time: no failure.
    assert train([first], "--time-limit", "0") == 75
    found = status(plan(), time.time() + 10000)
    assert not found.failures and not found.parts[KEY].states["failed"]


def test_looking_changes_nothing(started):
    _, plan, train = started
    train(names(plan())[:1], "--time-limit", "0")
    results = plan().config.results
    before = {f: f.stat().st_mtime_ns for f in results.rglob("*")}
    print_status(plan())
    assert {f: f.stat().st_mtime_ns for f in results.rglob("*")} == before
