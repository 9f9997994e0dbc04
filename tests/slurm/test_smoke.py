"""The shipped preset `smoke` from start to end with `--profile slurm`, and the shipped profile."""

import pyarrow.parquet as pq
import pytest
import yaml

from scalarization.config import load_config
from scalarization.plan import artifacts, load_plan, packing

#: Columns of a search's history that are measured.
MEASURED = ["seconds"]


@pytest.fixture(scope="module")
def smoke(make_checkout):
    """A checkout in which preset smoke was made on the cluster, its plan, and rule -> properties of its Slurm job."""
    checkout = make_checkout()
    before = set(checkout.slurm.jobs())
    checkout.finish(checkout.snakemake("--seconds-between-status-checks=2", "--config", "preset=smoke"))
    jobs = [properties for number, properties in checkout.slurm.jobs().items() if number not in before]
    places = {k: str(checkout.directory / k) for k in ("results", "reports")}
    plan = load_plan(load_config(checkout.directory / "config.yaml", {"preset": "smoke", **places}))
    return checkout, plan, {properties["Comment"].removeprefix("rule_"): properties for properties in jobs}


def test_everything_is_made_and_a_second_run_has_nothing_to_do(smoke):
    checkout, plan, _ = smoke
    for artifact in artifacts.selected(plan):
        files = [plan.paths.summary_file(artifact), *artifacts.files_of(plan, artifact).values()]
        assert all(file.stat().st_size for file in files)
    assert "Nothing to be done" in checkout.finish(checkout.snakemake("-n", "--config", "preset=smoke"))


def test_only_computing_jobs_were_submitted(smoke):
    _, plan, jobs = smoke
    expected = {f"train_{job.name}" for job in packing.training_jobs(plan)}
    expected |= {f"profile_{name}" for name in plan.profiles}
    expected |= {f"count_conflicts_{job.name}" for job in packing.conflict_jobs(plan)}
    expected |= {f"search_{session}" for session in packing.search_sessions(plan)}
    assert set(jobs) == expected and {job["JobState"] for job in jobs.values()} == {"COMPLETED"}


def test_requests_to_slurm_are_those_of_the_plan(smoke):
    """Numbers by hand: half a minute or less of training, three times that, and ten minutes; 1.5 GB of memory.

    Images add little: 10,000 of 16 x 16 bytes, 6,000 of 32 x 32 x 3. A profile requests twice the memory, and a search
    with one worker half as much again.
    """
    _, _, jobs = smoke
    memory = {"profile_people_costs": 3000, "search_people": 2250}
    for name, job in jobs.items():
        assert "gpu:1" in job["TresPerJob"] and job["CPUs/Task"] == "1" and job["Requeue"] == "1"
        assert 0 <= int(job["MinMemoryNode"].removesuffix("M")) - memory.get(name, 1500) < 100
        assert job["TimeLimit"] == ("01:00:00" if name == "profile_people_costs" else "00:11:00")


def test_values_are_those_of_a_local_run(smoke):
    checkout, plan, _ = smoke
    searches = [
        (*(part for search in session for part in ("--search", search.name)), "--workers", 1)
        for session in packing.search_sessions(plan).values()
    ]
    commands = []
    for benchmark in plan.benchmarks:
        for verb, jobs in (("train", packing.training_jobs(plan)), ("conflicts", packing.conflict_jobs(plan))):
            shards = [shard for job in jobs if job.benchmark == benchmark for shard in job.shards]
            if shards:
                commands.append((verb, *(part for shard in shards for part in ("--cell", shard.name))))
            split = {shard.cell.name for shard in shards if shard.num_shards > 1}
            commands += [("merge", "--cell", name) for name in sorted(split)]
    local = checkout.locally("smoke", *commands, searches=searches)
    files = [plan.paths.run_file(cell) for cell in (*plan.cells.values(), *plan.counted.values())]
    for file in files:
        expected = pq.read_table(local / file.relative_to(plan.paths.results))
        assert expected.num_rows and pq.read_table(file).equals(expected), file
    for file in map(plan.paths.search_file, plan.searches.values()):
        expected, made = (pq.read_table(f) for f in (local / file.relative_to(plan.paths.results), file))
        assert expected.num_rows and made.drop_columns(MEASURED).equals(expected.drop_columns(MEASURED)), file


def test_profile_runs_the_preset_paper(make_checkout):
    checkout = make_checkout()
    output = checkout.finish(checkout.start("snakemake", "--cores", "all", "--profile", "slurm", "-n"))
    assert "train_cifar_stl_0000" in output and "results/paper" in output
    profile = yaml.safe_load((checkout.directory / "slurm" / "config.yaml").read_text())
    assert profile["retries"] > 0 and "retries" not in (checkout.directory / "workflow/rules/train.smk").read_text()
