"""Fixtures of the tests of methods."""

import pytest

#: What TorchJD needs beside itself; in envs/requirements.txt.
SOLVERS = {"cagrad": "cvxpy", "nash_mtl": "cvxpy", "upgrad": "quadprog"}


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """All tensors here are small."""


@pytest.fixture(scope="session")
def build():
    """(name, number of tasks, **options) -> the method, skipped where its solver is not installed."""
    from scalarization import methods

    def make(name, tasks, **options):
        if name in SOLVERS:
            pytest.importorskip(SOLVERS[name], reason=f"{name} needs an extra of TorchJD, see envs/requirements.txt")
        return methods.load(name).build(methods.with_defaults(name, options), tasks)

    return make


@pytest.fixture(scope="session")
def random_jacobian():
    """(seed, tasks, parameters) -> task gradients with conflicts and unequal norms, float32 [T, P]."""
    import numpy as np
    import torch

    def make(seed, tasks, parameters=40):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(tasks, parameters)) * np.exp(rng.normal(size=(tasks, 1)) / 2)
        return torch.tensor(rows + 0.2 * rng.normal(size=parameters), dtype=torch.float32)

    return make
