"""The shipped preset `smoke` from start to end with `--profile slurm`, and the profile as it is written."""

import pyarrow.parquet as pq
import pytest
import yaml

from scalarization.config import load_config
from scalarization.experiments import Plan

#: What of a search's history is measured.
MEASURED = ["seconds"]


@pytest.fixture(scope="module")
def smoke(make_checkout):
    """A checkout in which all of preset smoke was made on the cluster, its plan, and Slurm's jobs."""
    checkout = make_checkout()
    before = set(checkout.slurm.jobs())
    checkout.finish(checkout.snakemake("--seconds-between-status-checks=2", "--config", "preset=smoke"))
    jobs = [facts for number, facts in checkout.slurm.jobs().items() if number not in before]
    places = {k: str(checkout.directory / k) for k in ("results", "reports")}
    plan = Plan(load_config(checkout.directory / "config.yaml", {"preset": "smoke", **places}))
    return checkout, plan, {facts["Comment"].removeprefix("rule_"): facts for facts in jobs}


def test_everything_is_there_and_nothing_is_left_to_do(smoke):
    checkout, plan, _ = smoke
    for artifact in plan.artifacts():
        assert all(
            file.stat().st_size for file in [plan.summary_file(artifact), *plan.artifact_files(artifact).values()]
        )
    assert "Nothing to be done" in checkout.finish(checkout.snakemake("-n", "--config", "preset=smoke"))


def test_only_what_computes_was_sent_to_the_cluster(smoke):
    _, plan, jobs = smoke
    expected = {f"train_{job.name}" for job in plan.jobs()} | {f"bench_{name}" for name in plan.costs()}
    expected |= {f"conflicts_{job.name}" for job in plan.conflict_jobs()}
    expected |= {f"search_{session}" for session in plan.search_sessions()}
    assert set(jobs) == expected and {facts["JobState"] for facts in jobs.values()} == {"COMPLETED"}


def test_slurm_was_asked_for_what_the_plan_says(smoke):
    """Numbers by hand: half a minute or less of training, three times that, and ten minutes; 1.5 GB of memory.

    Images add little: 10,000 of 16 x 16 bytes, 6,000 of 32 x 32 x 3. A measurement asks for twice as much, and a search
    of one worker for half as much again.
    """
    _, _, jobs = smoke
    memory = {"bench_people_costs": 3000, "search_people": 2250}
    for name, facts in jobs.items():
        assert "gpu:1" in facts["TresPerJob"] and facts["CPUs/Task"] == "1" and facts["Requeue"] == "1"
        assert 0 <= int(facts["MinMemoryNode"].removesuffix("M")) - memory.get(name, 1500) < 100
        assert facts["TimeLimit"] == ("01:00:00" if name == "bench_people_costs" else "00:11:00")


def test_values_are_those_of_a_local_run(smoke):
    checkout, plan, _ = smoke
    searches = [
        (*(part for search in session for part in ("--search", search.name)), "--workers", 1)
        for session in plan.search_sessions().values()
    ]
    commands = []
    for benchmark in plan.benchmarks():
        for verb, jobs in (("train", plan.jobs()), ("conflicts", plan.conflict_jobs())):
            shares = [s for job in jobs if job.benchmark == benchmark for s in job.shares]
            if shares:
                commands.append((verb, *(part for share in shares for part in ("--cell", share.name))))
            parted = {s.cell.name for s in shares if s.parts > 1}
            commands += [("merge", "--cell", name) for name in sorted(parted)]
    local = checkout.locally("smoke", *commands, searches=searches)
    files = [plan.run_file(cell) for cell in (*plan.cells.values(), *plan.counted.values())]
    for file in files:
        expected = pq.read_table(local / file.relative_to(plan.config.results))
        assert expected.num_rows and pq.read_table(file).equals(expected), file
    for file in map(plan.search_file, plan.searches.values()):
        expected, found = (pq.read_table(f) for f in (local / file.relative_to(plan.config.results), file))
        assert expected.num_rows and found.drop_columns(MEASURED).equals(expected.drop_columns(MEASURED)), file


def test_profile_runs_the_preset_paper(make_checkout):
    checkout = make_checkout()
    said = checkout.finish(checkout.start("snakemake", "--cores", "all", "--profile", "slurm", "-n"))
    assert "train_cifar_stl_0000" in said and "results/paper" in said
    profile = yaml.safe_load((checkout.directory / "slurm" / "config.yaml").read_text())
    assert profile["retries"] > 0 and "retries" not in (checkout.directory / "workflow/rules/train.smk").read_text()
