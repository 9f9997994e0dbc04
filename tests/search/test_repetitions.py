"""Searches that are repeated with several seeds: names, selection, provenance, and which run has which policy."""

import copy
import hashlib
import json

import populations
import pytest
from populations import SEARCH

from scalarization.errors import ConfigError, DataError
from scalarization.plan import fingerprints, packing
from scalarization.provenance import Provenance
from scalarization.reports.plan import estimate_table
from scalarization.reports.status import status
from scalarization.search import retraining
from scalarization.search.policies import NoPolicyError, resolve_policies
from scalarization.search.settings import initial_settings
from scalarization.storage import read_metadata, read_run_file
from scalarization.training.records import RunRecord

CELL = "digits/mnist+optdigits/vit_d2_w8/pbt/base"
FIRST, SECOND, THIRD = "evolved/vit_d2_w8", "evolved/vit_d2_w8.seed1", "evolved/vit_d2_w8.seed2"


@pytest.fixture
def repeated(make_plan, tiny, digits_directory):
    """(repetitions, runs=3, only=None, jobs=None, **changes of the search) -> plan, with the store in its place."""

    def repeated(repetitions, runs=3, only=None, jobs=None, **changes):
        preset = copy.deepcopy(tiny)
        preset["jobs"] |= jobs or {}
        preset["searches"] = {"evolved": SEARCH | {"epochs_ready": 1} | changes}
        if repetitions is not None:
            preset["searches"]["evolved"]["seeds"] = repetitions
        preset["experiments"]["searched"] = {
            "benchmark": "digits",
            "task_sets": SEARCH["task_set"],
            "architectures": SEARCH["architectures"],
            "methods": {"pbt": {"search": "evolved"}},
            "seeds": runs,
        }
        preset["artifacts"] |= {"figure_e": {"searches": ["evolved"]}}
        plan = make_plan(preset, **({"only": only} if only else {}))
        store = plan.paths.store_file("digits").parent
        if not store.exists():
            store.parent.mkdir(parents=True)
            store.symlink_to(digits_directory)
        return plan

    return repeated


@pytest.fixture
def own_store(prepare_store):
    """(plan) -> the plan, with a store that was prepared for it: it is current."""

    def own_store(plan):
        plan.paths.store_file("digits").parent.unlink()
        prepare_store(plan, "digits")
        return plan

    return own_store


def write_history(plan, name, weights, diverged=False):
    """Write a search whose policy is these constant weights."""
    search = plan.all_searches[name]
    score = float("-inf") if diverged else 50.0
    rows = populations.history(search, lambda interval, member: (weights, score))
    file = plan.paths.search_file(search)
    populations.write_history(file, search, rows, **Provenance(plan).origin(file))


# --- Plan ---


def digest(plan):
    """Of everything that a plan says of its cells and searches."""
    described = [
        [(name, cell.describe(), str(cell.runs)) for name, cell in plan.cells.items()],
        [(name, s.describe(), s.session, s.num_configurations) for name, s in plan.searches.items()],
        [(job.name, [shard.name for shard in job.shards]) for job in packing.training_jobs(plan)],
        [fingerprints.of_search(search) for search in plan.searches.values()],
        [fingerprints.of_shard(shard) for cell in plan.cells.values() for shard in plan.shards(cell)],
    ]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def test_one_repetition_changes_nothing(repeated):
    assert digest(repeated(1)) == digest(repeated(None))


def test_names_files_and_sessions(repeated):
    plan = repeated(3)
    assert list(plan.searches) == [FIRST, SECOND, THIRD]
    assert [search.seed for search in plan.searches.values()] == [0, 1, 2]
    assert [plan.paths.search_file(search).name for search in plan.searches.values()] == [
        *("vit_d2_w8.parquet", "vit_d2_w8.seed1.parquet", "vit_d2_w8.seed2.parquet"),
    ]
    assert {search.session for search in plan.searches.values()} == {"both"}
    sessions = [search.session for search in repeated(3, session=None).searches.values()]
    assert sessions == ["evolved_vit_d2_w8", "evolved_vit_d2_w8.seed1", "evolved_vit_d2_w8.seed2"]
    assert list(repeated(2, seed=7).searches) == [FIRST, "evolved/vit_d2_w8.seed8"]


def test_each_repetition_is_the_search_with_its_seed_alone(repeated):
    plan = repeated(3)
    for seed, name in enumerate((FIRST, SECOND, THIRD)):
        alone = repeated(1, seed=seed).search(FIRST)
        assert plan.search(name).describe() == alone.describe()
        assert initial_settings(plan.search(name)) == initial_settings(alone)
        assert fingerprints.of_search(plan.search(name)) == fingerprints.of_search(alone)
    assert len({weights for search in plan.searches.values() for weights in initial_settings(search)}) == 3 * 4


def test_a_run_uses_the_repetition_of_its_seed(repeated):
    plan = repeated(2)
    reference = plan.cell(CELL).specification.search
    assert [reference.of_seed(seed).name for seed in range(5)] == [FIRST, SECOND, FIRST, SECOND, FIRST]
    assert [search.name for search in plan.searches_of(plan.cell(CELL))] == [FIRST, SECOND]
    assert plan.search_of(plan.cell(CELL)).name == FIRST
    (job,) = (job for job in packing.training_jobs(plan) if job.shards[0].cell.name == CELL)
    files = [plan.paths.search_file(plan.search(name)) for name in (FIRST, SECOND)]
    assert packing.job_inputs(plan, job)[1:] == files
    # More repetitions than runs: the last one is searched, and no run uses it.
    plan = repeated(3, runs=2)
    assert [search.name for search in plan.searches_of(plan.cell(CELL))] == [FIRST, SECOND]
    assert list(plan.searches) == [FIRST, SECOND, THIRD]


def test_only_some_seeds_select_their_repetitions(repeated):
    assert list(repeated(3, only={"seeds": [1]}).searches) == [SECOND]
    assert list(repeated(2, only={"seeds": [0, 2]}).searches) == [FIRST]
    assert list(repeated(1, only={"seeds": [2]}).searches) == [FIRST]
    plan = repeated(3, only={"seeds": [1]})
    write_history(plan, SECOND, (0.2, 0.8))
    retraining.train(plan, [plan.shard(CELL)], None)
    assert {row["weights"][0] for row in read_run_file(plan.paths.run_file(plan.cell(CELL))).to_pylist()} == {0.2}


def test_estimates_count_every_repetition(repeated):
    def searched(plan):
        rows = [row for row in estimate_table(plan).to_pylist() if row["kind"] == "searches"]
        return [sum(row[key] for row in rows) for key in ("runs", "steps", "hours")]

    assert searched(repeated(3)) == pytest.approx([3 * value for value in searched(repeated(1))])


def test_mistakes(repeated, make_plan, tiny):
    for wrong in (0, 1001, 1.5):
        with pytest.raises(ConfigError, match=r"searches.evolved.seeds = "):
            repeated(wrong)
    with pytest.raises(ConfigError, match=r"searches.evolved: 500 searches x population 1,000 x 3 intervals"):
        repeated(500, population=1000)
    tiny["searches"] = {
        "evolved": SEARCH | {"seeds": 2, "epochs_ready": 1},
        "again": SEARCH | {"seed": 1, "epochs_ready": 1},
    }
    with pytest.raises(ConfigError, match=r"searches.again: would search the same as searches.evolved"):
        make_plan(tiny)


# --- Retraining ---


def rows_of(plan, cell=CELL):
    """(seed, first weight) -> values."""
    values = {}
    for row in read_run_file(plan.paths.run_file(plan.cell(cell))).to_pylist():
        key = tuple(row[k] for k in ("epoch", "split", "task", "metric"))
        values.setdefault((row["seed"], row["weights"][0]), {})[key] = row["value"]
    return values


def test_runs_are_trained_with_the_policies_of_their_seeds(repeated, monkeypatch):
    """Each run equals that of a preset with one search, whose policy all seeds use; no finished run trains again."""
    alone = {}
    for weight in (0.3, 0.8):
        plan = repeated(1)
        write_history(plan, FIRST, (weight, 1 - weight))
        retraining.train(plan, [plan.shard(CELL)], None)
        alone |= rows_of(plan)
    plan = repeated(2)
    write_history(plan, FIRST, (0.3, 0.7))
    write_history(plan, SECOND, (0.8, 0.2))
    trained = []
    train_epoch = "scalarization.training.loop.Trainer.train_epoch"
    from scalarization.training.loop import Trainer

    original = Trainer.train_epoch
    monkeypatch.setattr(train_epoch, lambda self, after: (trained.append(self.run.seed), original(self, after))[1])
    retraining.train(plan, [plan.shard(CELL)], None)
    assert rows_of(plan) == {(seed, w): alone[seed, w] for seed, w in ((0, 0.3), (1, 0.8), (2, 0.3))}
    # Seeds 0 and 2 have the first search, with which they were trained before.
    assert set(trained) == {1}
    metadata = read_metadata(plan.paths.run_file(plan.cell(CELL)))
    assert {seed: of["search"] for seed, of in metadata["specification"]["by_seed"].items()} == {
        **{"0": FIRST, "1": SECOND, "2": FIRST}
    }
    assert metadata["specification"]["by_seed"]["1"]["policy"] == [[0.8, 0.2]] * 3
    assert sorted(source for source in metadata["sources"] if source.startswith("searches")) == [
        f"searches/{name}.parquet" for name in (FIRST, SECOND)
    ]


def test_the_first_repetition_has_the_finished_runs_of_a_search_without_others(repeated):
    keys = []
    for repetitions in (1, 2):
        plan = repeated(repetitions)
        for name in plan.searches:
            write_history(plan, name, (0.3, 0.7))
        (shard,) = resolve_policies(plan, [plan.shard(CELL)])
        runs = {run.seed: run for run in shard.runs}
        root = plan.paths.checkpoints
        keys.append([RunRecord(root, shard.cell_of(run), run, "data", "code").key for run in runs.values()])
    assert keys[0][0] == keys[1][0] and keys[0][1] != keys[1][1] and keys[0][2] == keys[1][2]


def test_shards_of_a_cell_are_merged(repeated, own_store):
    """The last shard has another seed, and another search, than the first one."""
    from scalarization.training.merging import merge_shards

    plan = own_store(repeated(2, jobs={"runs_per_job": 2}))
    for name, weight in ((FIRST, 0.3), (SECOND, 0.8)):
        write_history(plan, name, (weight, 1 - weight))
    cell = plan.cell(CELL)
    assert len(plan.shards(cell)) == 2
    retraining.train(plan, plan.shards(cell), None)
    merge_shards(plan, cell)
    assert set(rows_of(plan)) == {(0, 0.3), (1, 0.8), (2, 0.3)}
    specification = read_metadata(plan.paths.run_file(cell))["specification"]
    assert list(specification["by_seed"]) == ["0", "1", "2"]
    assert Provenance(plan).problem(plan.paths.run_file(cell)) is None


def test_another_history_of_any_repetition_makes_the_runs_old(repeated, own_store):
    plan = own_store(repeated(2))
    for name in (FIRST, SECOND):
        write_history(plan, name, (0.3, 0.7))
    retraining.train(plan, [plan.shard(CELL)], None)
    file = plan.paths.run_file(plan.cell(CELL))
    assert Provenance(plan).problem(file) is None
    counts = status(plan).progress
    assert counts["digits", "searches"].states["done"] == 8 and counts["digits", "runs"].states["done"] == 3
    write_history(plan, SECOND, (0.4, 0.6))
    assert "vit_d2_w8.seed1.parquet as it was before" in str(Provenance(plan).problem(file))
    # The runs of the other search are known as finished. The other experiment has four runs.
    assert status(plan).progress["digits", "runs"].states == {"done": 2, "waiting": 1 + 4}


def test_a_repetition_that_is_missing_or_has_no_policy_is_named(repeated):
    plan = repeated(2)
    write_history(plan, FIRST, (0.3, 0.7))
    with pytest.raises(DataError, match=r"vit_d2_w8.seed1.parquet: "):
        retraining.train(plan, [plan.shard(CELL)], None)
    write_history(plan, SECOND, (0.3, 0.7), diverged=True)
    with pytest.raises(NoPolicyError, match=r"search evolved/vit_d2_w8.seed1: all members diverged"):
        retraining.train(plan, [plan.shard(CELL)], None)
