"""Which members exploit which, and how weights change: Ray's decisions against the definition (appendix 5)."""

import itertools
import math
import random
import re
from dataclasses import replace

import numpy as np
import populations
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from populations import evolve

from scalarization.search import draws
from scalarization.search.schedulers import Population, setting_keys
from scalarization.search.settings import initial_settings, normalised

THREE = {"task_set": {"three": ["mnist", "optdigits", "mfeat"]}}


@pytest.fixture
def three(searching, search_of):
    """(**changes) -> a search over three domains."""
    searching["benchmarks"]["digits"]["domains"] = ["mnist", "optdigits", "mfeat"]
    return lambda name="evolved", **changes: search_of(name, **THREE, **changes)


def score(lineage):
    """Some smooth function of all weights so far, with a best point that differs from uniform."""
    return sum(-((w[0] - 0.2) ** 2) - (w[1] - 0.5) ** 2 for w in lineage) + 0.01 * len(lineage)


def by_interval(rounds, interval):
    return {member: r for (i, member), r in rounds.items() if i == interval}


#: A search by PB2 in four intervals: two members exploit in each of three rounds.
BANDIT = {"method": "pb2", "population": 5, "quantile": 0.4, "epochs_ready": 1, "changes": {"recipe": {"epochs": 4}}}


@pytest.mark.parametrize(
    ("method", "population", "quantile"),
    [("pbt", 4, 0.25), ("pbt", 5, 0.4), ("pbt", 6, 0.5), ("pbt", 3, 0.5), ("pb2", 5, 0.4)],
)
def test_only_the_worst_members_exploit_and_only_the_best(three, play, method, population, quantile):
    search = three(**BANDIT | {"method": method, "population": population, "quantile": quantile})
    rounds = play(search, score)
    count = min(math.ceil(population * quantile), population // 2)
    assert search.num_exploiting == count
    for interval in range(2, len(search.interval_ends) + 1):
        before, after = by_interval(rounds, interval - 1), by_interval(rounds, interval)
        # Of two members with equal scores, the one with the lower number counts as worse, as in Ray.
        ranked = sorted(sorted(before), key=lambda m: before[m].score)
        for member, this in after.items():
            if member in ranked[:count]:
                parent, weights = this.parent
                assert parent in ranked[-count:]
                assert weights == before[parent].weights
                assert this.lineage[:-1] == before[parent].lineage
            else:
                assert this.parent is None
                assert this.lineage == (*before[member].lineage, before[member].weights)


def factors_of(this):
    """Change of each weight relative to that of the parent, up to a common factor."""
    _, before = this.parent
    return np.array(this.weights) / np.array(before)


def test_pbt_multiplies_each_weight_by_a_factor(three, play):
    search = three(resample_probability=0, perturbation_factors=[1.5, 0.5], epochs_ready=1, population=6, quantile=0.5)
    rounds = [r for r in play(search, score).values() if r.parent]
    seen = set()
    for this in rounds:
        ratios = factors_of(this)
        # 1.5 / 0.5: renormalising divides all by one number.
        pattern = ratios / ratios.min()
        assert np.all(np.isclose(pattern, 1) | np.isclose(pattern, 3))
        raw = np.where(np.isclose(pattern, 3), 1.5, 0.5) * np.array(this.parent[1])
        if len(set(pattern.round(6))) == 2:
            np.testing.assert_allclose(this.weights, raw / raw.sum(), rtol=1e-12)
        seen.add(tuple(pattern.round(3)))
    assert len(rounds) == 3 * (len(search.interval_ends) - 1) and len(seen) > 2


def test_pbt_draws_weights_anew(three, play):
    search = three(resample_probability=1, epochs_ready=1, population=6, quantile=0.5)
    for this in play(search, score).values():
        if this.parent:
            assert len(set(factors_of(this).round(6))) == 3


def test_resampled_weights_have_the_marginal_of_the_simplex(three):
    """Each weight of Dirichlet(1, 1, 1) is Beta(1, 2): mean 1/3, P(w < 1/2) = 3/4."""
    scheduler = Population(three())._scheduler
    random.seed(0)
    drawn = np.array([scheduler._hyperparam_mutations[setting_keys(scheduler.search)[0]]() for _ in range(4000)])
    assert abs(drawn.mean() - 1 / 3) < 0.02
    assert abs((drawn < 0.5).mean() - 0.75) < 0.03


@pytest.mark.parametrize("method", ["pbt", "pb2", "search_random", "search_grid"])
def test_weights_stay_on_the_simplex(three, play, method):
    search = three(**BANDIT | {"method": method})
    for this in play(search, score).values():
        assert min(this.weights) >= 0
        assert sum(this.weights) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("method", ["pbt", "pb2"])
def test_the_order_of_reports_changes_nothing(three, play, method):
    """Two workers race; the decisions must follow from the scores alone, to the last bit."""
    search = three(**BANDIT | {"method": method})
    first = play(search, score, order=0)
    for order in (1, 2, 3) if method == "pbt" else (1,):
        random.seed(order)
        np.random.seed(order)
        again = play(search, score, order=order)
        assert {k: (r.lineage, r.parent) for k, r in again.items()} == {
            k: (r.lineage, r.parent) for k, r in first.items()
        }


def test_another_seed_decides_otherwise(three, play):
    first, other = (play(three(seed=seed, epochs_ready=1), score) for seed in (0, 1))
    assert {k: r.lineage for k, r in first.items()} != {k: r.lineage for k, r in other.items()}


def test_global_random_states_are_left_alone(three, play):
    random.seed(5)
    np.random.seed(5)
    python, numpy = random.getstate(), np.random.get_state()
    play(three(epochs_ready=1), score)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))


def test_grid_and_random_search_have_no_exploitation(three, play):
    for method in ("search_grid", "search_random"):
        rounds = play(three(method=method, epochs_ready=1), score)
        assert all(r.parent is None and len(set(r.lineage)) == 1 for r in rounds.values())


def test_pb2_explores_in_every_round(three, play):
    """The Gaussian process needs the difference of two scores under the same weights: it proposes nothing at first.

    Ray then copies without exploring, so that a member repeats what another one does.
    """
    rounds = play(three(**BANDIT), score)
    changed = {i: [r.parent[1] != r.weights for r in by_interval(rounds, i).values() if r.parent] for i in (2, 3, 4)}
    assert changed == {i: [True] * 2 for i in (2, 3, 4)}
    # In the first round as PBT does: each weight is multiplied by 1.2 or 0.8, or drawn anew.
    for this in by_interval(rounds, 2).values():
        if this.parent:
            factors = np.multiply.outer(factors_of(this), factors_of(this) ** -1).round(9)
            assert {1.0, round(1.2 / 0.8, 9), round(0.8 / 1.2, 9)} & {*factors[np.triu_indices(3, 1)]}


def test_pb2_learns_from_the_weights_that_were_trained(three, play):
    """The data of the Gaussian process must have the weights with which a copy was trained, at two times.

    Ray records explored weights before they are renormalised, and does not record a copy that does not explore; PB2
    would learn from neither.
    """
    # After the last interval nothing is decided, so nothing is recorded.
    copied = [r for (i, _), r in play(three(**BANDIT), score).items() if r.parent and i < 4]
    assert copied
    for this in copied:
        # At the time of the copy, and at the end of the interval: PB2 learns the difference of the scores.
        assert {len(this.lineage) - 1, len(this.lineage)} <= set(this.recorded)


def test_pb2_improves_on_its_initial_weights(three, play):
    """With a smooth score, explored weights are better on average than the initial weights."""
    changes = {"changes": {"recipe": {"epochs": 6}}, "population": 4, "quantile": 0.5}
    search = three(**BANDIT | changes)
    rounds = play(search, score)

    def distance(interval):
        return np.mean(
            [(r.weights[0] - 0.2) ** 2 + (r.weights[1] - 0.5) ** 2 for r in by_interval(rounds, interval).values()]
        )

    assert distance(6) < distance(1) / 2


# --- All members are different, whatever they score ---


#: Of a member that diverged the score is not finite.
SCORES = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([50.0, 62.0, 3e38, -3e38]), st.sampled_from([np.nan, np.inf, -np.inf])
)


def check(search, rounds, scores):
    """Whom members exploit, and that no two have the same weights."""
    members = sorted({member for _, member in rounds})
    for interval in range(1, len(search.interval_ends) + 1):
        weights = np.array([rounds[interval, member][0][-1] for member in members])
        assert weights.min() >= 0 and weights.max() <= 1
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-9)
        differences = np.abs(weights[:, None] - weights[None]).max(axis=2) + np.eye(len(members))
        assert differences.min() > 1e-9
    for (interval, member), (lineage, parent) in rounds.items():
        if interval == 1:
            assert parent is None
            continue
        before = {m: scores[interval - 1, m] for m in members}
        healthy = [m for m in members if np.isfinite(before[m])]
        if parent is None:
            # Nobody could be copied, or the member is not among the worst.
            assert not healthy or np.isfinite(before[member])
            assert lineage[:-1] == rounds[interval - 1, member][0] and lineage[-1] == lineage[-2]
        else:
            assert parent[0] in healthy and lineage[:-1] == rounds[interval - 1, parent[0]][0]
            assert not np.isfinite(before[member]) or before[member] <= before[parent[0]]
        replaced = [m for m in members if rounds[interval, m][1]]
        assert len(replaced) == (max(search.num_exploiting, len(members) - len(healthy)) if healthy else 0)


@given(st.data())
@settings(max_examples=60)
def test_members_of_pbt(plain_search, data):
    search = populations.like(
        plain_search,
        data.draw(st.sampled_from([2, 2, 3, 8])),
        population=data.draw(st.integers(2, 9)),
        quantile=data.draw(st.sampled_from([0.01, 0.25, 0.4, 0.5])),
        perturbation_factors=tuple(data.draw(st.sampled_from([(1.2, 0.8), (2.0, 2.0), (1.0,), (1.0, 1 + 1e-12)]))),
        resample_probability=data.draw(st.sampled_from([0, 0.25, 1])),
        seed=data.draw(st.integers(0, 5)),
    )
    scores = {(i, m): data.draw(SCORES) for i in range(1, 4) for m in range(search.population)}
    check(search, evolve(search, lambda interval, member: scores[interval, member]), scores)


@given(st.data())
@settings(max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking would take minutes
def test_members_of_pb2(plain_search, data):
    search = populations.like(
        plain_search,
        data.draw(st.sampled_from([2, 3])),
        method="pb2",
        population=data.draw(st.integers(2, 6)),
        quantile=data.draw(st.sampled_from([0.25, 0.5])),
        seed=data.draw(st.integers(0, 5)),
    )
    scores = {(i, m): data.draw(SCORES) for i in range(1, 4) for m in range(search.population)}
    check(search, evolve(search, lambda interval, member: scores[interval, member]), scores)


@pytest.mark.parametrize("method", ["pbt", "pb2"])
def test_members_at_a_corner(plain_search, method):
    """No factor changes the weights (1, 0): they are drawn anew."""
    search = populations.like(plain_search, method=method, resample_probability=0.0)
    population = Population(search)
    for number, trial in enumerate(population.get_trials()):
        trial.config |= {"p0": float(number % 2), "p1": 1.0 - number % 2}
    for number in range(4):
        member, lineage = population.start()
        population.report(member, lineage, float(number))
    weights = [population.start()[1][-1] for _ in range(4)]
    assert sum(w in [(0, 1), (1, 0)] for w in weights) == 3


def test_what_the_gaussian_process_learns_from(plain_search):
    """No score of a member that diverged is among its data."""
    search = populations.like(plain_search, 3, method="pb2", population=5, quantile=0.4)
    population = Population(search)
    while not population.finished:
        started = []
        while (next_one := population.start()) is not None:
            started.append(next_one)
        for member, lineage in started:
            population.report(member, lineage, np.nan if member % 2 else float(member))
            data = population._scheduler.data
            assert np.isfinite(data[["Time", "Reward", *setting_keys(search)]].to_numpy(float)).all()
    # Every replaced member has the reward of the one it copied, at the time of the copy.
    assert {*data["Time"]} == {1, 2} and len(data) == 3 * 2 + 2 * 2


# --- Draws of one seed ---


def test_searches_draw_by_benchmark_tasks_architecture_and_method(plain_search):
    """What the figures compare must not be alike because of common draws."""
    base, cell = plain_search, plain_search.cell
    others = [
        replace(base, method="pb2"),
        replace(base, method="search_random"),
        replace(base, seed=1),
        replace(base, cell=replace(cell, architecture=replace(cell.architecture, depth=2))),
        replace(base, cell=replace(cell, architecture=replace(cell.architecture, width=16))),
        replace(base, cell=replace(cell, benchmark="other")),
        replace(base, cell=replace(cell, tasks=tuple(reversed(cell.tasks)))),
    ]
    drawn = [w for search in (base, *others) for w in initial_settings(search)]
    assert len({*drawn}) == len(drawn) == 4 * 8
    rounds = [draws.of_round(search, interval, 2) for search in (base, *others) for interval in (1, 2)]
    assert len({number for pair in rounds for number in pair}) == 2 * len(rounds)
    # The paired design: searches that differ only in what a study of them varies, and not in their seed.
    paired = replace(base, population=6, epochs_ready=1, quantile=0.5)
    assert initial_settings(paired)[:4] == initial_settings(base)
    assert draws.of_round(paired, 1, 2) == draws.of_round(base, 1, 2)


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_shipped_searches_share_no_member(shipped_plan, preset):
    """But those of the population study: its searches differ in N and E alone, and the larger begin as the smaller."""
    owners, study = {}, {}
    for search in shipped_plan(preset).searches.values():
        if search.method != "search_grid":
            drawn = initial_settings(search)
            for weights in drawn:
                owners.setdefault(weights, set()).add((search.key, search.seed))
            if re.search(r"_n\d+_e\d$", search.key):
                study.setdefault(search.seed, []).append(drawn)
    shared = [of for of in owners.values() if len(of) > 1]
    assert shared and all(len({seed for _, seed in of}) == 1 for of in shared)
    assert all(re.search(r"_n\d+_e\d$", key) for of in shared for key, _ in of)
    for searches in study.values():
        largest = max(searches, key=len)
        assert len({len(drawn) for drawn in searches}) > 1
        assert all(drawn == largest[: len(drawn)] for drawn in searches)


# --- Initial weights ---


def test_initial_weights_are_uniform_on_the_simplex(three):
    weights = np.array(initial_settings(three(population=4000)))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.02)
    # The part of the triangle with w_0 < t has the area 1 - (1 - t)^2.
    for t in (0.1, 0.3, 0.6):
        assert abs((weights[:, 0] < t).mean() - (1 - (1 - t) ** 2)) < 0.03


def test_a_larger_population_starts_like_a_smaller_one(three):
    small, large = initial_settings(three(population=3)), initial_settings(three(population=8))
    assert large[:3] == small


@pytest.mark.parametrize(("population", "parts"), [(2, 3), (3, 4), (5, 4), (6, 5), (12, 6), (15, 7)])
def test_a_grid_has_no_more_points_than_the_population(three, population, parts):
    """Interior points of the triangle in steps of 1/k: (k-1)(k-2)/2, that is 1, 3, 6, 10, 15 for k = 3 to 7."""
    expected = {
        (a / parts, b / parts, c / parts)
        for a, b, c in itertools.product(range(1, parts), repeat=3)
        if a + b + c == parts
    }
    weights = initial_settings(three(method="search_grid", population=population))
    assert len(weights) == len(expected) == (parts - 1) * (parts - 2) // 2
    assert {tuple(np.round(w, 12)) for w in weights} == {tuple(np.round(w, 12)) for w in expected}


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_normalised(weights):
    result = normalised(weights)
    assert sum(result) == pytest.approx(1) and min(result) >= 0
    if sum(weights) > 1e-6:
        np.testing.assert_allclose(np.array(result) * sum(weights), weights, rtol=1e-9, atol=1e-12)
