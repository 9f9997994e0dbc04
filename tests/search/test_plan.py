"""Searches of a preset: numbers by hand, and mistakes that are reported before anything runs."""

import pytest
from populations import SEARCH

from scalarization.errors import ConfigError
from scalarization.plan import fingerprints, packing


def test_numbers_of_a_search(search_of):
    """5 epochs in intervals of 2: ends at 2, 4, 5. N = 5, Q = 0.3: 2 members exploit, twice: 5 + 2 * 2 settings."""
    search = search_of(population=5, quantile=0.3)
    assert search.interval_ends == (2, 4, 5)
    assert (search.num_exploiting, search.num_configurations) == (2, 9)
    # optdigits, the reference, has 800 training images; half of them in batches of 200 are 2 steps.
    assert search.cell.specification.steps_per_epoch == 2
    assert search.cell.steps == 10


def test_paper_numbers_of_configurations(search_of):
    """N + ceil(N Q)(intervals - 1) as in appendix 3.6. CelebA: N = 12, E = 3, Q = 0.4, 50 epochs: 12 + 5 * 16."""
    search = search_of(population=12, epochs_ready=3, quantile=0.4, changes={"recipe": {"epochs": 50}})
    assert (len(search.interval_ends), search.num_configurations) == (17, 92)
    search = search_of(population=12, epochs_ready=5, quantile=0.25, changes={"recipe": {"epochs": 30}})
    assert search.num_configurations == 27


def test_constant_searches_try_one_setting_a_member(search_of):
    assert search_of(method="search_random", population=7).num_configurations == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task_set": {"t": ["mnist", "opt"]}},
            r"searches.evolved.task_set.t: 'opt' is not one of its benchmark's; known: mnist",
        ),
        ({"task_set": {"t": ["mnist"]}}, r"searches.evolved.task_set: a search needs at least two tasks"),
        ({"benchmark": "digit"}, r"searches.evolved.benchmark: 'digit' is not configured; did you mean 'digits'"),
        ({"epochs_ready": 5}, r"searches.evolved.epochs_ready: 5 of 5 epochs: there is no exploitation"),
        ({"quantile": 0.6}, r"searches.evolved.quantile = 0.6: expected at most 0.5"),
        ({"population": 1}, r"searches.evolved.population = 1: expected at least 2"),
        ({"perturbation_factor": [2]}, r"perturbation_factor = .*: unknown key, did you mean 'perturbation_factors'"),
        ({"method": "pb2"}, r"searched.pbt.search: 'evolved' is a search by pb2"),
        ({"architectures": {"family": "vit", "depth": [1], "width": [8]}}, r"'evolved/vit_d2_w8' is unknown; did you"),
    ],
)
def test_mistakes(make_plan, searching, changes, message):
    searching["searches"]["evolved"] = SEARCH | changes
    with pytest.raises(ConfigError, match=message):
        make_plan(searching)


def test_a_search_for_other_tasks(make_plan, searching):
    searching["benchmarks"]["digits"]["domains"].append("mfeat")
    searching["searches"]["evolved"] = SEARCH | {"task_set": {"other": ["mnist", "mfeat"]}}
    with pytest.raises(ConfigError, match="'evolved' is for digits mnist, mfeat, not digits mnist, optdigits"):
        make_plan(searching)


def test_a_session_is_of_one_benchmark(make_plan, searching, root):
    from scalarization.config import parse_value

    smoke = parse_value((root / "workflow" / "presets" / "smoke.yaml").read_text())
    searching["benchmarks"]["emoji_people"] = smoke["benchmarks"]["emoji_people"]
    searching["searches"]["people"] = SEARCH | {
        "benchmark": "emoji_people",
        "task_set": {"two": ["gender", "role"]},
        "architectures": {"family": "vit", "depth": [1], "width": [16]},
    }
    with pytest.raises(ConfigError, match=r"searches.people.session: 'both' is of benchmark digits"):
        make_plan(searching)


def test_what_a_retrained_cell_depends_on(make_plan, searching):
    """On the specification and the file of its own search; not on those of the other search."""

    def prints():
        plan = make_plan(searching)
        names = {c.method: c.name for c in plan.cells.values() if c.method in ("pbt", "pb2") and c.variant == "base"}
        cells = {method: fingerprints.of_shard(plan.shard(name)) for method, name in names.items()}
        searches = {key: fingerprints.of_search(plan.search(f"{key}/vit_d2_w8")) for key in ("evolved", "bandit")}
        return cells, searches

    (cells, searches), searching["searches"]["evolved"]["quantile"] = prints(), 0.5
    changed_cells, changed_searches = prints()
    assert changed_cells["pbt"] != cells["pbt"] and changed_cells["pb2"] == cells["pb2"]
    assert changed_searches["evolved"] != searches["evolved"] and changed_searches["bandit"] == searches["bandit"]
    plan = make_plan(searching)
    inputs = {
        plan.cell(s.cell.name).method: packing.job_inputs(plan, j)
        for j in packing.training_jobs(plan)
        for s in j.shards
    }
    assert inputs["grid"] == [plan.paths.store_file("digits")]
    assert [f.name for f in inputs["pbt"]] == ["dataset.json", "vit_d2_w8.parquet", "vit_d2_w8.parquet"]


def test_only_also_selects_the_searches_of_its_cells(make_plan, searching):
    searching["experiments"]["pair"]["architectures"]["depth"] = [1, 2]
    assert not make_plan(searching, only={"capacities": ["vit_d1_w8"]}).searches
    searching["experiments"]["searched"]["architectures"] = {"family": "vit", "depth": [1], "width": [8]}
    searching["experiments"]["searched"]["methods"] = {"pbt": {"search": "evolved", "search_on": "vit_d2_w8"}}
    plan = make_plan(searching, only={"capacities": ["vit_d1_w8"]})
    assert list(plan.searches) == ["evolved/vit_d2_w8"]
