"""Fixtures of the tests of methods."""

import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """All tensors of these tests are small, so one thread is fastest."""


@pytest.fixture(scope="session")
def build():
    """(name, number of tasks, **options) -> the method."""
    from scalarization import methods

    def make(name, num_tasks, **options):
        return methods.load(name).build(methods.parse(name, options), num_tasks)

    return make


@pytest.fixture(scope="session")
def random_jacobian():
    """(seed, number of tasks, number of parameters) -> conflicting gradients of unequal norms, float32 [T, P]."""
    import numpy as np
    import torch

    def make(seed, num_tasks, parameters=40):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(num_tasks, parameters)) * np.exp(rng.normal(size=(num_tasks, 1)) / 2)
        return torch.tensor(rows + 0.2 * rng.normal(size=parameters), dtype=torch.float32)

    return make
