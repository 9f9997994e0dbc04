"""Shards of cells, and jobs of about equal length."""

from collections import Counter, defaultdict

import pytest

from scalarization.config import load_preset
from scalarization.errors import ConfigError
from scalarization.plan import estimates, packing


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100, None])
def test_shards_partition_the_runs(smoke, make_plan, limit):
    smoke["jobs"] = {"runs_per_job": limit}
    plan = make_plan(smoke)
    for cell in plan.cells.values():
        shards = plan.shards(cell)
        assert sorted((run.weight_setting, run.seed) for shard in shards for run in shard.runs) == [
            (run.weight_setting, run.seed) for run in cell.runs
        ]
        lengths = [len(shard.runs) for shard in shards]
        assert max(lengths) - min(lengths) <= 1 and (limit is None or max(lengths) <= limit)
        assert [plan.shard(shard.name) for shard in shards] == shards


def test_unknown_shards_are_named(smoke, make_plan):
    plan = make_plan(smoke)
    name = "digits/mnist+optdigits/vit_d1_w8/grid/base"
    assert [shard.name for shard in plan.shards(plan.cell(name))] == [f"{name}@0/2", f"{name}@1/2"]
    for other in (f"{name}@4/2", name):
        with pytest.raises(ConfigError, match=r"mine\.yaml: no shard digits/mnist.*; did you mean '.*/base@[01]/2'"):
            plan.shard(other)


@pytest.mark.parametrize("minutes", [0, 0.01, 0.05, 1000])
@pytest.mark.parametrize("limit", [3, None])
def test_jobs_train_every_shard_once(smoke, make_plan, minutes, limit):
    smoke["jobs"] = {"runs_per_job": limit, "minutes": minutes}
    plan = make_plan(smoke)
    jobs = packing.training_jobs(plan)
    trained = Counter(shard.name for job in jobs for shard in job.shards)
    assert set(trained.values()) == {1}
    assert set(trained) == {shard.name for cell in plan.cells.values() for shard in plan.shards(cell)}
    assert len({job.name for job in jobs}) == len(jobs)
    if minutes == 0:
        assert all(len(job.shards) == 1 for job in jobs)
    if minutes == 1000:
        assert len(jobs) == 1


@pytest.mark.parametrize("preset", ["smoke", "demo", "paper_tiny", "paper"])
@pytest.mark.parametrize("minutes", [None, 0.003, 0.3, 10])
def test_short_jobs_share_no_benchmark_and_no_search(shipped_plan, with_changed, preset, minutes):
    """Each job takes half of `minutes` at least, unless nothing else of its benchmark can begin at the same time."""
    plan = shipped_plan(preset)
    if minutes is not None:
        plan = with_changed(plan, "jobs", minutes=minutes)

    def waits_for(job):
        (session,) = {search and search.session for search in (plan.search_of(s.cell) for s in job.shards)}
        return job.benchmark, session

    group_of = {job: waits_for(job) for job in packing.training_jobs(plan)}
    group_of |= {job: job.benchmark for job in packing.conflict_jobs(plan)}
    num_jobs = Counter(group_of.values())
    for job, group in group_of.items():
        assert job.seconds >= plan.preset.jobs.minutes * 60 / 2 or num_jobs[group] == 1, job.name


@pytest.mark.parametrize("minutes", [0.7, 2, 5])
def test_experiments_with_little_to_train_are_trained_in_one_job(shipped_plan, with_changed, minutes):
    """So a figure that needs one of them trains at most one job's worth of what other figures need."""
    plan = with_changed(shipped_plan("demo"), "jobs", minutes=minutes)
    limit = minutes * 60
    names = {e: {cell.name for cell in cells} for e, cells in plan.experiments.items()}
    seconds, jobs = defaultdict(float), defaultdict(set)
    for job in packing.training_jobs(plan):
        for shard in job.shards:
            users = tuple(e for e, cells in names.items() if shard.cell.name in cells)
            search = plan.search_of(shard.cell)
            group = (job.benchmark, search and search.session, users)
            seconds[group] += len(shard.runs) * estimates.seconds(plan, shard.cell)
            jobs[group].add(job)
    small = [group for group in seconds if seconds[group] < limit / 2]
    assert len(small) > 3
    for group in small:
        (job,) = jobs[group]
        assert job.seconds < 1.5 * limit


def test_jobs_keep_benchmarks_apart(smoke, root, make_plan):
    paper = load_preset(root / "workflow/presets/paper.yaml")
    smoke["benchmarks"]["cifar_stl"] = paper.benchmarks["cifar_stl"].model_dump(exclude_unset=True)
    smoke["experiments"]["cifar_stl_pair"] = paper.experiments["cifar_stl_pair"].model_dump(exclude_unset=True)
    smoke["jobs"]["minutes"] = 10**6
    jobs = packing.training_jobs(make_plan(smoke))
    assert {job.benchmark for job in jobs} == {"digits", "cifar_stl"}
    assert all(shard.cell.benchmark == job.benchmark for job in jobs for shard in job.shards)


@pytest.mark.parametrize("minutes", [0, 1000])
def test_counting_jobs_take_every_cell_once(tiny, make_plan, with_conflicts, minutes):
    tiny["jobs"] = {"minutes": minutes, "runs_per_job": 1}
    architectures = {"family": "vit", "depth": [1, 2], "width": [8, 16]}
    plan = make_plan(with_conflicts(tiny, architectures=architectures, seeds=3))
    jobs = packing.conflict_jobs(plan)
    assert len(jobs) == (1 if minutes else 4)
    assert sorted(shard.name for job in jobs for shard in job.shards) == sorted(plan.counted)
    trained = {shard.cell.name for job in packing.training_jobs(plan) for shard in job.shards}
    assert trained == set(plan.cells) and not any(plan.cells[name].counts_conflicts for name in trained)


def test_jobs_wait_for_data_and_for_the_searches_of_their_cells(shipped_plan):
    plan = shipped_plan("smoke")
    waiting = 0
    for job in packing.training_jobs(plan):
        store, *searches = packing.job_inputs(plan, job)
        assert store == plan.paths.store_file(job.benchmark)
        needed = {plan.paths.search_file(s) for shard in job.shards if (s := plan.search_of(shard.cell))}
        assert set(searches) == needed and len(searches) == len(needed)
        waiting += bool(needed)
    assert waiting


def test_sessions_make_every_search_once(shipped_plan):
    plan = shipped_plan("paper")
    sessions = packing.search_sessions(plan)
    assert sorted(search.name for searches in sessions.values() for search in searches) == sorted(plan.searches)
    assert all({search.session for search in searches} == {name} for name, searches in sessions.items())
