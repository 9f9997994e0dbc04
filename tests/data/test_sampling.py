"""Batches of multi-domain training: domains follow p, images come in whole passes, epochs can be computed alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalarization.data.sampling import DomainSampler


def several_epochs(sampler, weights, epochs, steps):
    consumed = [0] * len(sampler.sizes)
    for epoch in range(epochs):
        before = list(consumed)
        domains, rows, consumed = sampler.epoch(epoch, steps, weights, consumed)
        yield domains, rows, before, consumed


def weight_vectors(tasks):
    parts = st.lists(st.integers(0, 20), min_size=tasks, max_size=tasks).filter(any)
    return parts.map(lambda p: tuple(x / sum(p) for x in p))


@pytest.mark.parametrize("weights", [(1.0,), (0.1, 0.9), (0.5, 0.5), (0.2, 0.3, 0.5), (1 / 11, 10 / 11)])
@pytest.mark.parametrize("seed", [0, 1])
def test_domains_follow_the_weights(weights, seed):
    sampler = DomainSampler(tuple(50 * (t + 1) for t in range(len(weights))), 64, root=0, seed=seed)
    domains = np.concatenate([d.ravel() for d, *_ in several_epochs(sampler, weights, 20, 25)])
    assert len(domains) == 20 * 25 * 64
    for domain, p in enumerate(weights):
        # Four standard deviations of a binomial proportion, with fixed seeds.
        deviation = math.sqrt(p * (1 - p) / len(domains))
        assert abs((domains == domain).mean() - p) <= 4 * deviation


@given(weights=st.integers(1, 4).flatmap(weight_vectors), seed=st.integers(0, 3), steps=st.integers(1, 20))
@settings(max_examples=60)
def test_number_of_images_does_not_depend_on_the_weights(weights, seed, steps):
    sizes = tuple(7 + 5 * t for t in range(len(weights)))
    sampler = DomainSampler(sizes, 8, root=0, seed=seed)
    domains, rows, after = sampler.epoch(3, steps, weights, [5] * len(weights))
    assert domains.shape == rows.shape == (steps, 8)
    assert sum(after) - 5 * len(weights) == steps * 8
    for domain, (size, p) in enumerate(zip(sizes, weights, strict=True)):
        drawn = rows[domains == domain]
        assert ((drawn >= 0) & (drawn < size)).all()
        assert len(drawn) == after[domain] - 5
        if p == 0:
            assert len(drawn) == 0


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.4, 0.6), (0.4, 0.0, 0.6), (0.4, 0.6, 0.0)])
def test_domain_of_weight_zero_is_never_drawn(weights):
    sampler = DomainSampler((100,) * len(weights), 100, root=0, seed=0)
    drawn = {d for domains, *_ in several_epochs(sampler, weights, 10, 10) for d in domains.ravel().tolist()}
    assert drawn == {d for d, p in enumerate(weights) if p > 0}


def test_draws_next_to_one_belong_to_a_domain(monkeypatch):
    """The sum of the weights is rounded below one, and draws lie above it."""
    weights = (0.1,) * 10
    assert np.cumsum(weights)[-1] < 1

    class Edges:
        def random(self, shape):
            return np.resize([0.0, np.nextafter(1, 0)], shape)

        def permutation(self, size):
            return np.arange(size)

    monkeypatch.setattr("scalarization.seeds.generator", lambda *_: Edges())
    domains, _, _ = DomainSampler((5,) * 10, 4, 0, 0).epoch(0, 1, weights, [0] * 10)
    assert domains.ravel().tolist() == [0, 9, 0, 9]


@pytest.mark.parametrize("weights", [(1.0,), (0.3, 0.7)])
def test_every_image_is_drawn_once_per_pass(weights):
    sizes = (37, 90)[: len(weights)]
    sampler = DomainSampler(sizes, 16, root=5, seed=1)
    streams = [[] for _ in sizes]
    for domains, rows, *_ in several_epochs(sampler, weights, 12, 6):
        for domain, stream in enumerate(streams):
            stream.extend(rows[domains == domain].tolist())
    for size, stream in zip(sizes, streams, strict=True):
        passes = [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)]
        assert len(passes) > 3
        assert all(sorted(p) == list(range(size)) for p in passes)
        assert len({tuple(p) for p in passes}) == len(passes)  # each pass has another order


def test_epoch_may_have_many_passes():
    sampler = DomainSampler((3,), 10, root=0, seed=0)
    _, rows, after = sampler.epoch(0, 4, (1.0,), [0])
    assert after == [40]
    assert sorted(np.bincount(rows.ravel())) == [13, 13, 14]  # thirteen passes and one more image


@given(weights=weight_vectors(3), seed=st.integers(0, 5))
@settings(max_examples=20)
def test_epoch_computed_alone_equals_epoch_in_sequence(weights, seed):
    sizes = (40, 13, 7)
    in_sequence = list(several_epochs(DomainSampler(sizes, 16, 0, seed), weights, 5, 4))
    for epoch in (4, 2, 0):
        domains, rows, before, after = in_sequence[epoch]
        alone = DomainSampler(sizes, 16, 0, seed).epoch(epoch, 4, weights, before)
        assert np.array_equal(alone[0], domains) and np.array_equal(alone[1], rows) and alone[2] == after


def test_epoch_does_not_change_its_arguments():
    consumed = [3, 4]
    DomainSampler((10, 10), 8, 0, 0).epoch(0, 2, (0.5, 0.5), consumed)
    assert consumed == [3, 4]


def test_seeds_epochs_and_roots_draw_differently():
    def first(root, seed, epoch):
        return DomainSampler((1000,), 32, root, seed).epoch(epoch, 2, (1.0,), [0])[1].tobytes()

    domains = [DomainSampler((9, 9), 64, 0, s).epoch(e, 2, (0.5, 0.5), [0, 0])[0].tobytes() for s, e in
               ((0, 0), (0, 1), (1, 0))]  # fmt: skip
    assert len(set(domains)) == 3
    assert first(0, 0, 0) == first(0, 0, 0)
    assert len({first(0, 0, 0), first(0, 1, 0), first(1, 0, 0)}) == 3


@given(p=st.floats(0, 1), q=st.floats(0, 1), seed=st.integers(0, 3))
@settings(max_examples=30)
def test_weights_are_compared_on_paired_draws(p, q, seed):
    """A domain with a larger weight keeps every position that it has with a smaller one."""
    p, q = sorted((p, q))
    sampler = DomainSampler((50, 50), 32, 0, seed)
    fewer, more = (sampler.epoch(0, 4, (w, 1 - w), [0, 0])[0] == 0 for w in (p, q))
    assert not (fewer & ~more).any()
