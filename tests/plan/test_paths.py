"""Where files lie: no two things share one."""

import itertools
from pathlib import Path

import pytest

from scalarization.plan import artifacts, packing
from scalarization.plan.cells import Shard
from scalarization.plan.paths import Paths


@pytest.mark.parametrize("limit", [1, 3, None])
def test_only_shards_of_a_split_cell_have_files_of_their_own(smoke, make_plan, limit):
    smoke["jobs"] = {"runs_per_job": limit}
    plan = make_plan(smoke)
    for cell in plan.cells.values():
        shards = plan.shards(cell)
        files = [plan.paths.shard_file(shard) for shard in shards]
        assert len(set(files)) == len(shards)
        assert (plan.paths.run_file(cell) in files) == (len(shards) == 1)


def test_dense_cells_have_files_of_predictions(dense, make_plan):
    name = "motorcycle/set/dense26_w16_shr5/grid/base"
    plan = make_plan(dense)
    (shard,) = plan.shards(plan.cell(name))
    assert [file.parent.parts[-5:-4] for file in plan.paths.shard_outputs(shard)] == [("runs",), ("examples",)]
    dense["jobs"] = {"runs_per_job": 1}
    plan = make_plan(dense)
    outputs = [file for shard in plan.shards(plan.cell(name)) for file in plan.paths.shard_outputs(shard)]
    assert len(set(outputs)) == 4


@pytest.mark.parametrize("preset", ["smoke", "paper"])
def test_no_two_outputs_share_a_file(shipped_plan, preset):
    plan = shipped_plan(preset)
    paths, cells = plan.paths, [*plan.cells.values(), *plan.counted.values()]
    shards = [shard for job in packing.training_jobs(plan) for shard in job.shards]
    shards += [shard for job in packing.conflict_jobs(plan) for shard in job.shards]
    split = [shard for shard in shards if shard.num_shards > 1]
    files = [
        *(paths.run_file(cell) for cell in cells),
        *(file for cell in plan.cells.values() if (file := paths.examples_file(Shard(cell)))),
        *itertools.chain.from_iterable(map(paths.shard_outputs, split)),
        *map(paths.timings_file, shards),
        *map(paths.search_file, plan.searches.values()),
        *map(paths.profile_file, plan.profiles),
        *itertools.chain.from_iterable((paths.store_file(b), paths.manifest(b)) for b in plan.benchmarks),
        *map(paths.summary_file, artifacts.selected(plan)),
        *itertools.chain.from_iterable(artifacts.files_of(plan, a).values() for a in artifacts.selected(plan)),
        paths.plan_file,
    ]
    assert split and len(set(files)) == len(files)
    places = (paths.results, paths.reports)
    assert all(any(file.is_relative_to(place) for place in places) for file in files)
    # Not two names that differ in nothing but upper and lower case: some file systems take them for one.
    assert len({str(file).lower() for file in files}) == len(files)


def test_originals_are_shared_by_presets():
    paths = Paths(Path("results/mine"), Path("reports/mine"), None)
    assert paths.downloads == Path("results/downloads") and paths.records == Path("results/downloads/records")
    paths = Paths(Path("results/mine"), Path("reports/mine"), Path("/originals"))
    assert paths.downloads == Path("/originals") and paths.records == Path("results/downloads/records")


def test_figures_and_tables_have_their_formats(shipped_plan):
    plan = shipped_plan("smoke")
    for artifact in artifacts.selected(plan):
        kind, files = artifacts.kind_of(plan, artifact), artifacts.files_of(plan, artifact)
        formats = {"figure": ["pdf", "png"], "table": ["pdf", "png", "md", "tex"]}[kind.output]
        assert list(files) == formats
        for form, file in files.items():
            assert file == plan.paths.reports / f"{kind.output}s" / f"{artifact}.{form}"
