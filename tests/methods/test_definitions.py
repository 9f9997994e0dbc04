"""Methods against their definitions.

Those of gradient-based methods are in definitions.py. The listed difficult Jacobians are in
tests/cases/test_methods_by_definition.py; here they are drawn. Those of loss-based methods are written out here, in
NumPy (float64).
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from . import definitions

#: Options with which a method is its definition, without rescaling or bounds.
PLAIN = {"cagrad": {"rescale": False}, "nash_mtl": {"max_norm": 0}}
SOLVED = ["mgda", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad"]


@st.composite
def jacobians(draw):
    """Independent gradients (P > T), of norms within a factor of 1e16, some of which conflict."""
    num_tasks = draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = rng.normal(size=(num_tasks, draw(st.sampled_from([6, 30])))) + draw(st.floats(-0.5, 0.5))
    exponents = draw(st.lists(st.floats(-8, 8), min_size=num_tasks, max_size=num_tasks))
    return rows * 10.0 ** np.array(exponents)[:, None]


def difference(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", SOLVED)
@given(jacobian=jacobians())
@settings(max_examples=25, deadline=None)
def test_solved_methods(build, name, jacobian):
    method = build(name, len(jacobian), **PLAIN.get(name, {}))
    actual = method(torch.tensor(jacobian)).numpy()
    assert method.failures == 0
    assert difference(actual, getattr(definitions, name)(jacobian)) < 1e-9
    # Rounded gradients are other gradients; theirs is the definition of the rounded ones.
    rounded = torch.tensor(jacobian, dtype=torch.float32)
    result = method(rounded)
    assert result.dtype == torch.float32
    assert difference(result.numpy().astype(float), getattr(definitions, name)(rounded.numpy())) < 1e-6


@given(jacobian=jacobians(), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_pcgrad(build, jacobian, seed):
    torch.manual_seed(seed)
    actual = build("pcgrad", len(jacobian))(torch.tensor(jacobian)).numpy()
    torch.manual_seed(seed)
    orders = [torch.randperm(len(jacobian)).tolist() for _ in jacobian]
    assert difference(actual, definitions.pcgrad(jacobian, orders)) < 1e-9


@given(jacobian=jacobians(), seed=st.integers(0, 10**6), dtype=st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=50, deadline=None)
def test_graddrop(build, jacobian, seed, dtype):
    given_ = torch.tensor(jacobian, dtype=dtype)
    torch.manual_seed(seed)
    actual = build("graddrop", len(jacobian))(given_).numpy()
    torch.manual_seed(seed)
    draws = torch.rand(jacobian.shape[1], dtype=dtype).numpy().astype(float)
    assert difference(actual, definitions.graddrop(given_.numpy(), draws)) < (1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("tasks", [8, 40])
def test_nash_mtl_of_many_tasks(build, random_jacobian, tasks):
    """The solution is the v with v = sum_t g_t / <g_t, v>, whatever the norms."""
    for seed in range(10):
        jacobian = random_jacobian(seed, tasks, 60).double().numpy()
        result = build("nash_mtl", tasks, max_norm=0)(torch.tensor(jacobian)).numpy()
        assert difference((1 / (jacobian @ result)) @ jacobian, result) < 1e-9
        assert np.linalg.norm(result) == pytest.approx(tasks**0.5)


@pytest.mark.parametrize("tasks", [8, 40])
@pytest.mark.parametrize("parameters", [5, 60])
def test_mgda_of_many_tasks(build, random_jacobian, tasks, parameters):
    """A convex combination v is the shortest one if <g_t, v> >= |v|^2 for all t. With few parameters it is often 0."""
    for seed in range(10):
        jacobian = random_jacobian(seed, tasks, parameters).double().numpy()
        result = build("mgda", tasks)(torch.tensor(jacobian)).numpy()
        scale = np.linalg.norm(jacobian, axis=1).max() ** 2
        assert (jacobian @ result).min() >= result @ result - 1e-14 * scale


@pytest.mark.parametrize("scale_mode", ["min", "median", "rmse"])
@pytest.mark.parametrize("tasks", [2, 3, 8, 40])
def test_scales_of_aligned_mtl(build, random_jacobian, scale_mode, tasks):
    jacobian = random_jacobian(tasks, tasks, 60).double().numpy()
    left, values, right = np.linalg.svd(jacobian, full_matrices=False)
    # Of an even number the lower one of the two in the middle, as in the authors' code.
    scales = {"min": values.min(), "median": np.sort(values)[(tasks - 1) // 2], "rmse": np.mean(values**2) ** 0.5}
    actual = build("aligned_mtl", tasks, scale_mode=scale_mode)(torch.tensor(jacobian)).numpy()
    assert difference(actual, (scales[scale_mode] * left @ right).mean(0)) < 1e-12


@pytest.mark.parametrize("every", [1, 3])
def test_nash_mtl_uses_weights_again(build, random_jacobian, every):
    """The weights are those of the gradients at which they were computed; ``max_norm`` bounds every result."""
    method = build("nash_mtl", 3, update_weights_every=every, max_norm=0)
    bounded = build("nash_mtl", 3, update_weights_every=every, max_norm=0.5)
    for step in range(7):
        jacobian = random_jacobian(step, 3).double()
        if step % every == 0:
            solution = definitions.nash_mtl(jacobian.numpy())
            weights = np.linalg.lstsq(jacobian.numpy().T, solution, rcond=None)[0]
        expected = weights @ jacobian.numpy()
        assert difference(method(jacobian).numpy(), expected) < 1e-9
        assert difference(bounded(jacobian).numpy(), expected * min(1, 0.5 / np.linalg.norm(expected))) < 1e-9


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
