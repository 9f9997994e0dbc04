"""Which members exploit which, and how weights change: Ray's decisions against the definition (appendix 5)."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalarization.search.initial_weights import initial_weights, normalised
from scalarization.search.schedulers import Population, weight_keys

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


#: A search by PB2 in four intervals: in one round two members only exploit, in two rounds they also explore.
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
    drawn = np.array([scheduler._hyperparam_mutations[weight_keys(scheduler.search)[0]]() for _ in range(4000)])
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


def test_pb2_explores_from_its_second_round_on(three, play):
    """It needs the difference of two scores under the same weights, which does not exist after the first interval."""
    rounds = play(three(**BANDIT), score)
    changed = {i: [r.parent[1] != r.weights for r in by_interval(rounds, i).values() if r.parent] for i in (2, 3, 4)}
    assert changed == {2: [False] * 2, 3: [True] * 2, 4: [True] * 2}


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


# --- Initial weights ---


def test_initial_weights_are_uniform_on_the_simplex(three):
    weights = np.array(initial_weights(three(population=4000)))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.02)
    # The part of the triangle with w_0 < t has the area 1 - (1 - t)^2.
    for t in (0.1, 0.3, 0.6):
        assert abs((weights[:, 0] < t).mean() - (1 - (1 - t) ** 2)) < 0.03


def test_a_larger_population_starts_like_a_smaller_one(three):
    small, large = initial_weights(three(population=3)), initial_weights(three(population=8))
    assert large[:3] == small


@pytest.mark.parametrize(("population", "parts"), [(2, 3), (3, 4), (5, 4), (6, 5), (12, 6), (15, 7)])
def test_a_grid_has_no_more_points_than_the_population(three, population, parts):
    """Interior points of the triangle in steps of 1/k: (k-1)(k-2)/2, that is 1, 3, 6, 10, 15 for k = 3 to 7."""
    expected = {
        (a / parts, b / parts, c / parts)
        for a, b, c in itertools.product(range(1, parts), repeat=3)
        if a + b + c == parts
    }
    weights = initial_weights(three(method="search_grid", population=population))
    assert len(weights) == len(expected) == (parts - 1) * (parts - 2) // 2
    assert {tuple(np.round(w, 12)) for w in weights} == {tuple(np.round(w, 12)) for w in expected}


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_normalised(weights):
    result = normalised(weights)
    assert sum(result) == pytest.approx(1) and min(result) >= 0
    if sum(weights) > 1e-6:
        np.testing.assert_allclose(np.array(result) * sum(weights), weights, rtol=1e-9, atol=1e-12)
