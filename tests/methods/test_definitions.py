"""Methods against their definitions, written out in NumPy (float64)."""

import numpy as np
import pytest
import scipy.optimize
import torch

CASES = [(seed, tasks) for seed, tasks in enumerate((2, 2, 3, 4, 6))]


def pcgrad(j, draw):
    result = np.zeros(j.shape[1])
    for i in range(len(j)):
        g = j[i].copy()
        for k in draw.permutation(len(j)):
            if k != i and g @ j[k] < 0:
                g -= g @ j[k] / (j[k] @ j[k]) * j[k]
        result += g
    return result / len(j)


def graddrop(j, draw):
    purity = (1 + j.sum(0) / np.abs(j).sum(0)) / 2
    keep_positive = purity > draw.uniform(j.shape[1])
    return np.where(keep_positive, np.where(j > 0, j, 0).sum(0), np.where(j < 0, j, 0).sum(0)) / len(j)


def on_simplex(objective, tasks):
    """The point of the simplex at which a function is least."""
    result = scipy.optimize.minimize(
        objective,
        np.full(tasks, 1 / tasks),
        bounds=[(0, 1)] * tasks,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert result.success, result.message
    return result.x


def cagrad(j, draw, c=0.5):
    mean = j.mean(0)
    radius = c * np.linalg.norm(mean)
    scale = np.mean(j**2)
    w = on_simplex(lambda w: ((w @ j) @ mean + radius * np.linalg.norm(w @ j)) / scale, len(j))
    return (mean + radius * (w @ j) / np.linalg.norm(w @ j)) / (1 + c**2)


def mgda(j, draw):
    if len(j) == 2:
        first, second = j
        weight = np.clip((second - first) @ second / ((second - first) @ (second - first)), 0, 1)
        return weight * first + (1 - weight) * second
    return on_simplex(lambda w: (w @ j) @ (w @ j) / np.mean(j**2), len(j)) @ j


def imtl_g(j, draw):
    # The unknowns are the weights and the common projection.
    tasks = len(j)
    system = np.zeros((tasks + 1, tasks + 1))
    system[:tasks, :tasks] = j @ j.T / np.linalg.norm(j, axis=1)[:, None]
    system[:tasks, tasks] = -1
    system[tasks, :tasks] = 1
    return np.linalg.solve(system, np.eye(tasks + 1)[tasks])[:tasks] @ j


def upgrad(j, draw):
    # The projection of g onto {x: J x >= 0} is g + J^T y with y >= 0 of least norm.
    return np.mean([g + j.T @ scipy.optimize.nnls(j.T, -g)[0] for g in j], 0)


def aligned_mtl(j, draw):
    u, singular, v = np.linalg.svd(j, full_matrices=False)
    return (singular.min() * u @ v).mean(0)


def nash_mtl(j, draw):
    gramian = j @ j.T
    # This convex function is least at the a with G a = 1 / a.
    minimum = scipy.optimize.minimize(
        lambda log_a: np.exp(log_a) @ gramian @ np.exp(log_a) / 2 - log_a.sum(), np.zeros(len(j)), tol=1e-12
    )
    alpha = np.exp(minimum.x)
    np.testing.assert_allclose(gramian @ alpha, 1 / alpha, rtol=1e-4)
    result = alpha @ j
    np.testing.assert_allclose(np.linalg.norm(result), len(j) ** 0.5, rtol=1e-4)
    return result / max(1, np.linalg.norm(result))


#: Definition of each method, and the largest difference relative to the norm: of float32 or of an approximate solver.
DEFINITIONS = [
    (pcgrad, 1e-5),
    (graddrop, 1e-6),
    (cagrad, 1e-3),
    (mgda, 2e-3),
    (imtl_g, 1e-4),
    (upgrad, 1e-2),
    (aligned_mtl, 1e-5),
    (nash_mtl, 2e-3),
]


#: Options with which the solver takes enough steps for this tolerance.
OPTIONS = {"mgda": {"max_iters": 2000, "epsilon": 1e-6}}


class Draws:
    """The numbers that a method drew from torch's global state, drawn again."""

    def permutation(self, size):
        return torch.randperm(size).tolist()

    def uniform(self, size):
        return torch.rand(size).numpy().astype(float)


@pytest.mark.parametrize(("seed", "tasks"), CASES)
@pytest.mark.parametrize(("definition", "tolerance"), DEFINITIONS, ids=lambda d: getattr(d, "__name__", ""))
def test_gradient_methods(build, random_jacobian, definition, tolerance, seed, tasks):
    jacobian = random_jacobian(seed, tasks)
    torch.manual_seed(seed)
    name = definition.__name__
    actual = build(name, tasks, **OPTIONS.get(name, {}))(jacobian)
    torch.manual_seed(seed)
    expected = definition(jacobian.numpy().astype(float), Draws())
    assert actual.dtype == torch.float32
    assert np.linalg.norm(actual.numpy() - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("seed", range(3))
def test_two_tasks_of_mgda_are_exact(build, random_jacobian, seed):
    jacobian = random_jacobian(seed, 2)
    np.testing.assert_allclose(build("mgda", 2)(jacobian), mgda(jacobian.numpy().astype(float), None), atol=1e-5)


def value_and_gradients(method, losses):
    losses = torch.tensor(losses, requires_grad=True)
    value = method(losses)
    gradients = torch.autograd.grad(value, [losses, *method.parameters()], allow_unused=True)
    return value.item(), *(None if g is None else g.numpy() for g in gradients)


def uncertainty(s, losses):
    weights = np.exp(-s) / 2
    return (weights * losses + s / 2).sum(), weights, -weights * losses + 0.5


def imtl_l(s, losses):
    weights = np.exp(s)
    return (weights * losses - s).sum(), weights, weights * losses - 1


@pytest.mark.parametrize("definition", [uncertainty, imtl_l])
@pytest.mark.parametrize("seed", range(3))
def test_learned_weights(build, definition, seed):
    rng = np.random.default_rng(seed)
    s, losses = rng.normal(size=4), rng.uniform(0.1, 3, 4)
    method = build(definition.__name__, 4)
    (parameter,) = method.parameters()
    parameter.data = torch.tensor(s)
    for actual, expected in zip(value_and_gradients(method, losses), definition(s, losses), strict=True):
        np.testing.assert_allclose(actual, expected)
    # The method ignores an absent task.
    absent = torch.tensor([False, True, False, False])
    present = [0, 2, 3]
    value = method(torch.tensor(losses), absent)
    np.testing.assert_allclose(value.item(), definition(s[present], losses[present])[0])
    (gradient,) = torch.autograd.grad(value, [parameter])
    np.testing.assert_allclose(gradient[present], definition(s[present], losses[present])[2])
    assert gradient[1] == 0


@pytest.mark.parametrize("seed", range(3))
def test_rlw(build, seed):
    losses = [0.5, 1.0, 3.0]
    torch.manual_seed(seed)
    value, weights = value_and_gradients(build("rlw", 3), losses)
    torch.manual_seed(seed)
    draw = np.exp(torch.randn(3).numpy().astype(float))
    np.testing.assert_allclose(weights, draw / draw.sum(), rtol=1e-6)
    np.testing.assert_allclose(value, weights @ losses, rtol=1e-6)


def test_rlw_without_an_absent_task(build):
    absent = torch.tensor([True, False, False])
    torch.manual_seed(0)
    value = build("rlw", 3)(torch.ones(3), absent).item()
    assert value == pytest.approx(1)


@pytest.mark.parametrize(("reduction", "factor"), [("mean", 1), ("sum", 3)])
def test_dwa(build, reduction, factor):
    rng = np.random.default_rng(0)
    method = build("dwa", 3, reduction=reduction, temperature=1.5)
    averages = []
    for epoch in range(5):
        losses = rng.uniform(0.1, 3, (4, 3))
        weights = np.ones(3) / 3
        if epoch >= 2:
            weights = np.exp(averages[-1] / averages[-2] / 1.5)
            weights /= weights.sum()
        for batch in losses:
            value, gradient = value_and_gradients(method, batch)[:2]
            np.testing.assert_allclose(gradient, factor * weights, rtol=1e-6)
            np.testing.assert_allclose(value, factor * weights @ batch, rtol=1e-6)
        method.after_epoch()
        averages.append(losses.mean(0))


def test_dwa_of_losses_that_vanish(build):
    method = build("dwa", 2)
    for _ in range(3):
        method(torch.zeros(2))
        method.after_epoch()
    assert method(torch.tensor([2.0, 4.0])).item() == 3


@pytest.mark.parametrize("calls", [1, 2])
def test_famo(build, calls):
    """Weights and their Adam, which adds the weight decay to the gradient; ``calls``: number of micro-batches."""
    rng = np.random.default_rng(0)
    method = build("famo", 3)
    logits, first, second = np.zeros(3), np.zeros(3), np.zeros(3)
    for step in range(1, 6):
        before = rng.uniform(0.1, 3, (calls, 3))
        after = before.mean(0) * rng.uniform(0.8, 1.1, 3)
        weights = np.exp(logits) / np.exp(logits).sum()
        for losses in before:
            value, gradient, of_logits = value_and_gradients(method, losses)
            c = 1 / (weights / losses).sum()
            np.testing.assert_allclose(gradient, c * weights / losses, rtol=1e-5)
            np.testing.assert_allclose(gradient.sum(), 1, rtol=1e-5)
            np.testing.assert_allclose(value, c * weights @ np.log(losses), rtol=1e-4, atol=1e-6)
            assert of_logits is None
        assert method.needs_losses_after
        method.after_step(lambda after=after: torch.tensor(after))
        assert [p.grad for p in method.parameters()] == [None]
        fall = np.log(before.mean(0)) - np.log(after)
        slope = weights * (fall - weights @ fall) + 1e-3 * logits
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        logits = logits - 0.025 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def test_famo_without_an_absent_task(build):
    method = build("famo", 2)
    for absent in (None, torch.tensor([False, True])):
        losses = torch.tensor([1.0, 2.0], requires_grad=True)
        (gradient,) = torch.autograd.grad(method(losses, absent), losses)
        assert (gradient[1] == 0) == (absent is not None)
        method.after_step(lambda: torch.tensor([1.0, 2.0]))
        # No loss fell, so no weight changes. The number in place of an absent loss must not count as a fall.
        assert method.scalarizer._w.tolist() == [0, 0]
        method(torch.tensor([1.0, 0.0]), absent)
        method.after_step(lambda: torch.tensor([1.0, 0.0]))
        method.scalarizer._w.data.zero_()
