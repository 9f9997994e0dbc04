"""Searches: members that diverged, draws that searches had in common, members that were trained in vain.

Public reports: ray 8671, 11670 and 57160 (members without a score are never replaced, and may be best).
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # importlib mode adds no directory to the path

import populations

from scalarization.search.history import History
from scalarization.search.intervals import Result
from scalarization.search.policies import backtrack, read_search
from scalarization.search.settings import initial_settings
from scalarization.storage import read_metadata

EXPLOITING = ("pbt", "pb2")
METHODS = (*EXPLOITING, "search_random", "search_grid", "search_lr")


@pytest.fixture
def search(shipped_plan):
    """A search of three members and two intervals on two domains."""
    shipped = next(s for s in shipped_plan("demo").searches.values() if s.key == "digits_pbt")
    architecture = replace(shipped.cell.architecture, depth=1)
    specification = replace(shipped.cell.specification, epochs=2)
    cell = replace(shipped.cell, architecture=architecture, specification=specification)
    return replace(shipped, cell=cell, population=3, epochs_ready=1, quantile=0.4)


def rows_of(search, rounds, scores):
    """The history that a session makes of these rounds; `scores`: (interval, member) -> score."""
    history = History([search], lambda search, row: None)
    for (interval, member), (lineage, parent) in rounds.items():
        score = scores(interval, member)
        score = score if math.isfinite(score) else -math.inf
        result = Result(score, [score] * 2, "accuracy", 1, 1.0, "" if math.isfinite(score) else "step 1", {}, "")
        history.add(search.name, member, lineage, result, parent)
    return history.table(search.name).to_pylist()


# --- A diverged member passes for a good one ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_nan_50_62(search, method, bad):
    """The best is 62, and the next round of exploitation replaces the first member, by nobody but the other two."""
    search = replace(search, method=method)

    def scores(interval, member):
        return [bad, 50.0, 62.0][member]

    rounds = populations.evolve(search, scores)
    rows = rows_of(search, rounds, scores)
    policy = backtrack(rows)
    assert (policy.member, policy.score) == (2, 62.0)
    _, parent = rounds[2, 0]
    assert (parent is not None) == (method in EXPLOITING)
    assert parent is None or parent[0] in (1, 2)
    assert [row["score"] for row in rows if row["member"] == 0] == [-math.inf] * 2


@pytest.mark.parametrize("method", EXPLOITING)
def test_more_members_diverged_than_the_quantile_has(search, method):
    """All of them copy the only member that is left, each with weights of its own."""
    search = replace(search, method=method, population=5, quantile=0.2)
    rounds = populations.evolve(search, lambda interval, member: 50.0 if member == 3 else math.nan)
    parents = {member: rounds[2, member][1] for member in range(5)}
    assert [member for member, parent in parents.items() if parent is None] == [3]
    assert all(parent[0] == 3 for parent in parents.values() if parent)
    assert len({rounds[2, member][0][-1] for member in range(5)}) == 5


@pytest.mark.parametrize("method", METHODS)
def test_all_members_diverged(search, method):
    """Nobody is copied, and there is no policy."""
    search = replace(search, method=method)
    rounds = populations.evolve(search, lambda interval, member: math.nan)
    assert all(parent is None for _, parent in rounds.values())
    assert backtrack(rows_of(search, rounds, lambda interval, member: math.nan)) is None


def test_a_learning_rate_of_1e30(tiny, write_config, tmp_path, launch):
    """Searched and trained for real: the search says that all members diverged; only its cells are refused."""
    preset = populations.searching(tiny)
    preset["searches"]["evolved"]["changes"] = {"recipe": {"lr": 1e30}}
    del preset["searches"]["bandit"], preset["experiments"]["searched"]["methods"]["pb2"]
    config = write_config(tmp_path, preset)

    def run(*arguments):
        job = launch(arguments[0], "--config", config, *arguments[1:], folder=tmp_path, whole=arguments[0] == "search")
        job.wait(300)
        return job

    assert run("prepare", "--benchmark", "digits").status == 0
    job = run("search", "--search", "evolved/vit_d2_w8", "--workers", 2)
    assert job.status == 0, job.output
    assert "evolved/vit_d2_w8: all members diverged" in job.output and "Traceback" not in job.output
    assert "member 0, interval 1: diverged (step " in job.output and "learning rate is too high" in job.output

    from scalarization.config import load_config
    from scalarization.plan import load_plan

    plan = load_plan(load_config(config))
    searched = plan.searches["evolved/vit_d2_w8"]
    file = plan.paths.search_file(searched)
    rows, policy = read_search(file, searched)
    assert policy is None and {row["score"] for row in rows} == {-math.inf}
    # After the first interval nothing is trained.
    assert {row["interval"] for row in rows if row["steps"]} == {1}
    assert [(d["interval"], d["member"]) for d in read_metadata(file)["diverged"]] == [(1, m) for m in range(4)]

    cells = [c.name for c in plan.cells.values() if c.method in ("pbt", "grid")]
    assert len(cells) == 3
    job = run("train", *(part for cell in cells for part in ("--cell", cell)))
    assert job.status == 2 and "Traceback" not in job.output
    assert job.output.count("search evolved/vit_d2_w8: all members diverged, so it has no policy") == 1
    written = {cell: plan.paths.run_file(plan.cells[cell]).exists() for cell in cells}
    assert written == {cell: "/grid/" in cell for cell in cells}


# --- Searches of one seed share first members and draws ---


def test_first_members_of_one_seed(search):
    """PBT at d1 w48, d2 w48 and d2 w24, PB2 and random search started from the same vectors, digit for digit."""
    architecture = search.cell.architecture
    capacities = [
        replace(search.cell, architecture=replace(architecture, depth=depth, width=width))
        for depth, width in ((1, 48), (2, 48), (2, 24))
    ]
    searches = [replace(search, cell=cell, method=m) for cell in capacities for m in ("pbt", "pb2", "search_random")]
    drawn = [weights for each in searches for weights in initial_settings(each)]
    assert len({*drawn}) == 9 * 3

    def explored(each):
        rounds = populations.evolve(replace(each, population=6, quantile=0.5), lambda interval, member: float(member))
        # Relative to the copied weights: which factors were drawn, and which weights anew.
        return [tuple(np.divide(lineage[-1], parent[1])) for lineage, parent in rounds.values() if parent]

    changes = [explored(each) for each in searches if each.method == "pbt"]
    assert len(changes[0]) == 3 and len({tuple(c) for c in changes}) == 3


def test_replicates_of_a_search(search):
    """A search of another seed is a replicate: it draws anew, and its history is another file's."""
    replicates = [replace(search, seed=seed) for seed in range(3)]
    assert len({weights for each in replicates for weights in initial_settings(each)}) == 9
    assert len({str(each.describe()) for each in replicates}) == 3


def test_a_preset_with_several_search_seeds(tiny, make_plan):
    preset = populations.searching(tiny)
    preset["searches"]["evolved_seed1"] = preset["searches"]["evolved"] | {"seed": 1}
    preset["experiments"]["searched"] |= {
        "methods": {"pbt": {"search": "evolved"}},
        "variants": {"base": {}, "seed1": {"search": "evolved_seed1"}},
    }
    del preset["searches"]["bandit"]
    plan = make_plan(preset)
    cells = [cell for cell in plan.cells.values() if cell.method == "pbt"]
    assert [plan.search_of(cell).seed for cell in cells] == [0, 1]
    assert len({plan.paths.search_file(each) for each in plan.searches.values()}) == 2


# --- Members that were trained in vain ---


@pytest.mark.parametrize("factors", [(1.2, 0.8), (2.0, 0.5), (1.0,), (3.0,)])
def test_equal_factors_cancel(search, factors):
    """Of two tasks one half of all copies had the weights of the copied member, and repeated its training."""
    for seed in range(30):
        each = replace(
            search, population=4, quantile=0.5, seed=seed, perturbation_factors=factors, resample_probability=0.0
        )
        rounds = populations.evolve(each, lambda interval, member: float(member))
        weights = np.array([rounds[2, member][0][-1] for member in range(4)])
        assert np.diff(np.sort(weights[:, 0])).min() > 1e-9


def test_the_first_round_of_pb2(search):
    """Without data for the Gaussian process two of four members were doubled."""
    for seed in range(10):
        each = replace(search, method="pb2", population=4, quantile=0.5, seed=seed)
        rounds = populations.evolve(each, lambda interval, member: float(member))
        assert len({rounds[2, member][0][-1] for member in range(4)}) == 4
        for lineage, parent in rounds.values():
            assert parent is None or lineage[-1] != parent[1]
