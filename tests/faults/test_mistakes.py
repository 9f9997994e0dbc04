"""Calls that cannot work end at once, with exit status 2 and one message that names the mistake."""

import pytest

from scalarization.storage import read_table

from .conftest import GRID


@pytest.fixture
def fails(launch, folder):
    """(*arguments) -> output of the call."""

    def fails(*arguments):
        job = launch(*arguments, "--config", folder.config, folder=folder.directory, whole=True)
        assert job.wait() == 2, job.output
        assert "Traceback" not in job.output
        return job.output

    return fails


def test_unknown_cell(fails):
    output = fails("train", "--cell", GRID.replace("w8", "w9"))
    assert "vit_d2_w9" in output and f"did you mean '{GRID}'" in output


def test_no_prepared_store(fails, folder):
    (folder.results / "data" / "digits").unlink()
    output = fails("train", "--cell", GRID)
    assert "data/digits/dataset.json: no prepared data" in output and "snakemake" in output


def test_setting_that_does_not_exist(fails):
    assert "--set threads" in fails("plan", "--set", "threads")
    assert "thread = 2: unknown key" in fails("plan", "--set", "thread=2")


@pytest.mark.parametrize("log", ["", "config.yaml/job.log"])
def test_log_that_cannot_be_made(fails, folder, log):
    """A folder in its place, and a file in the place of its folder."""
    log = folder.directory / log
    assert f"{log}: could not be written: " in fails("plan", "--log", log)


def test_bad_preset(fails, folder):
    preset = folder.directory / "mine.yaml"
    preset.write_text(preset.read_text().replace("seeds: 1", "seeds: 0"))
    assert f"{preset}: experiments.pair.seeds = 0" in fails("train", "--cell", GRID)


def test_damaged_shard_of_a_cell(fails, folder):
    preset = folder.directory / "mine.yaml"
    preset.write_text(preset.read_text().replace("minutes: 100", "runs_per_job: 1"))
    plan = folder.plan()
    first = plan.paths.shard_file(plan.shards(plan.cell(GRID))[0])
    assert f"{first}: missing" in fails("merge", "--cell", GRID)
    first.parent.mkdir(parents=True)
    first.write_bytes(b"PAR1 and no more")
    assert f"{first}: damaged or foreign: it has no checksum of this program" in fails("merge", "--cell", GRID)


def test_plan_prints_every_cell_and_its_estimate(folder, launch):
    job = launch("plan", "--config", folder.config, folder=folder.directory, whole=True)
    assert job.wait() == 0, job.output
    printed = "".join(job.output.split())
    # 2 baselines and 2 weights, 48 steps of 100 images each
    assert "inall4runsin" in printed and "│4│192│19,200│" in printed
    table = read_table(folder.results / "plan.parquet").to_pylist()
    assert [r["runs"] for r in table if r["cell"] == GRID] == [2]
    assert sum(r["steps"] for r in table) == 4 * 48 and sum(r["images"] for r in table) == 4 * 48 * 100
    assert all(r["hours"] > 0 and not r["done"] for r in table)
