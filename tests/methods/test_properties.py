"""Properties that all methods share, and those that some promise."""

import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from scalarization import methods

SOLVED = ["cagrad", "mgda", "imtl_g", "aligned_mtl", "upgrad", "nash_mtl"]
DRAWN = ["pcgrad", "graddrop"]
GRADIENT = SOLVED + DRAWN
LOSS = ["rlw", "uncertainty", "imtl_l", "dwa", "famo"]


def run(build, name, jacobian, seed=0, **options):
    torch.manual_seed(seed)
    return build(name, len(jacobian), **options)(jacobian)


def assert_close(actual, expected, tolerance):
    assert torch.linalg.vector_norm(actual - expected) <= tolerance * torch.linalg.vector_norm(expected)


def test_every_method_that_builds_something_is_tested():
    assert {n for n in methods.names() if hasattr(methods.load(n), "build")} == {*GRADIENT, *LOSS, "rotograd"}


def test_importing_methods_is_light():
    code = (
        "import sys; from scalarization import methods; [methods.load(n) for n in methods.names()];"
        "sys.exit(any(m in sys.modules for m in ('torch', 'torchjd', 'cvxpy', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", GRADIENT)
def test_heads_are_left_out_unless_asked_for(build, name):
    assert not build(name, 2).include_heads
    assert build(name, 2, include_heads=True).include_heads


@pytest.mark.parametrize("name", SOLVED)
@pytest.mark.parametrize("tasks", [2, 5])
def test_order_of_tasks_does_not_matter(build, random_jacobian, name, tasks):
    jacobian = random_jacobian(tasks, tasks)
    order = torch.randperm(tasks, generator=torch.Generator().manual_seed(0))
    # MGDA's solver stops within a percent, nearer or farther depending on the order.
    assert_close(run(build, name, jacobian[order]), run(build, name, jacobian), 2e-2 if name == "mgda" else 1e-3)


def test_order_of_tasks_does_not_matter_to_graddrop(build, random_jacobian):
    jacobian = random_jacobian(0, 4)
    assert_close(run(build, "graddrop", jacobian.flip(0)), run(build, "graddrop", jacobian), 1e-6)


def test_order_of_tasks_does_not_matter_to_the_outcomes_of_pcgrad(build, random_jacobian):
    jacobian = random_jacobian(0, 3, 2)

    def outcomes(rows):
        return {tuple((1e3 * run(build, "pcgrad", rows, seed)).round().int().tolist()) for seed in range(80)}

    found = outcomes(jacobian)
    # Each of three tasks goes through the other two in one order or the other.
    assert len(found) == 8
    assert outcomes(jacobian.flip(0)) == found


@pytest.mark.parametrize("name", [n for n in GRADIENT if n != "nash_mtl"])
@pytest.mark.parametrize("factor", [1e-6, 1000])
def test_scaling_all_gradients_scales_the_result(build, random_jacobian, name, factor):
    jacobian = random_jacobian(3, 4)
    assert_close(run(build, name, factor * jacobian), factor * run(build, name, jacobian), 1e-3)


@pytest.mark.parametrize("factor", [1e-6, 1000])
@pytest.mark.parametrize(("max_norm", "norm"), [(0.0, 2), (0.5, 0.5)])
def test_nash_mtl_has_a_norm_of_its_own(build, random_jacobian, factor, max_norm, norm):
    jacobian = random_jacobian(3, 4)
    result = run(build, "nash_mtl", factor * jacobian, max_norm=max_norm)
    assert_close(result, run(build, "nash_mtl", jacobian, max_norm=max_norm), 1e-4)
    assert torch.linalg.vector_norm(result).item() == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("name", ["upgrad", "mgda", "nash_mtl"])
@pytest.mark.parametrize("tasks", [2, 3, 6])
def test_promised_results_conflict_with_no_task(build, random_jacobian, name, tasks):
    for seed in range(2):
        jacobian = random_jacobian(seed, tasks, 8)
        result = run(build, name, jacobian)
        norms = torch.linalg.vector_norm(jacobian, dim=1) * torch.linalg.vector_norm(result)
        assert (jacobian @ result / norms).min() > -1e-2


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize("tasks", [1, 3])
def test_one_gradient_is_returned_as_it_is(build, random_jacobian, name, tasks):
    jacobian = random_jacobian(0, 3)[:1]
    result = build(name, tasks)(jacobian)
    assert torch.equal(result, jacobian[0])
    assert result.data_ptr() != jacobian.data_ptr()


@pytest.mark.parametrize(("name", "factor"), [("rlw", 1), ("uncertainty", 0.5), ("imtl_l", 1), ("dwa", 1), ("famo", 1)])
def test_one_loss_is_followed_up_to_a_factor(build, name, factor):
    loss = torch.tensor([0.7], requires_grad=True)
    (gradient,) = torch.autograd.grad(build(name, 1)(loss), loss)
    torch.testing.assert_close(gradient, torch.tensor([float(factor)]))


@pytest.mark.parametrize("name", GRADIENT)
def test_equal_gradients(build, random_jacobian, name):
    row = random_jacobian(0, 1)[0]
    result = run(build, name, row.expand(4, -1).clone())
    size = torch.linalg.vector_norm(result)
    # CAGrad goes to the border of its ball, Nash-MTL is bounded; all others give the gradient itself.
    expected = {"cagrad": 1.2 * torch.linalg.vector_norm(row), "nash_mtl": torch.tensor(1.0)}
    torch.testing.assert_close(size, expected.get(name, torch.linalg.vector_norm(row)), rtol=1e-3, atol=0)
    assert_close(result / size, row / torch.linalg.vector_norm(row), 1e-4)


@pytest.mark.parametrize("name", GRADIENT)
def test_gradients_of_zero(build, random_jacobian, name):
    jacobian = random_jacobian(0, 4)
    assert run(build, name, torch.zeros_like(jacobian)).tolist() == [0] * 40
    jacobian[1] = 0
    assert run(build, name, jacobian).isfinite().all()
    jacobian[:, :5] = 0
    result = run(build, name, jacobian)
    assert result.isfinite().all()
    assert not result[:5].any()
    # The squared norm of such a row is 0 in float32.
    jacobian[1] = -1e-25 * jacobian[0]
    assert run(build, name, jacobian).isfinite().all()


@pytest.mark.parametrize("name", GRADIENT)
def test_gradients_that_are_not_finite_are_handed_on(build, random_jacobian, name):
    jacobian = random_jacobian(0, 3)
    jacobian[1] = torch.nan
    assert run(build, name, jacobian).isnan().all()


@pytest.mark.parametrize("name", GRADIENT)
def test_number_of_gradients_may_change(build, random_jacobian, name):
    jacobian = random_jacobian(0, 4)
    method = build(name, 4)
    for rows in (jacobian, jacobian[:2], jacobian[[0, 2, 3]], jacobian[:1], jacobian):
        torch.manual_seed(0)
        assert_close(method(rows), run(build, name, rows), 1e-3)


@pytest.mark.parametrize("name", [*GRADIENT, *LOSS])
def test_draws_come_from_torch_only(build, random_jacobian, name):
    given = random_jacobian(0, 3) if name in GRADIENT else torch.tensor([1.0, 2.0, 4.0])
    states = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    first, again = (run(build, name, given, seed=1).tolist() for _ in range(2))
    assert first == again
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2])


@pytest.mark.parametrize("outcome", ["raises", "none", "nan"])
def test_mean_where_the_solver_of_cagrad_fails(build, random_jacobian, monkeypatch, caplog, outcome):
    method = build("cagrad", 3)
    from cvxpy.error import SolverError

    def forward(gramian):
        if outcome == "raises":
            raise SolverError("no luck")
        return torch.full((3,), torch.nan) if outcome == "nan" else np.ones((3, 3)) @ None

    monkeypatch.setattr(method.aggregator.gramian_weighting, "forward", forward)
    jacobian = random_jacobian(0, 3)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert_close(method(jacobian), jacobian.mean(0), 1e-6)
    assert len(caplog.records) == 1
    assert method.extra_state() == {"failed": 3}


def test_other_errors_are_not_taken_for_failures(build, random_jacobian, monkeypatch):
    method = build("mgda", 3)
    monkeypatch.setattr(method.aggregator.gramian_weighting, "forward", lambda gramian: gramian.no_such_thing)
    with pytest.raises(AttributeError):
        method(random_jacobian(0, 3))


@pytest.mark.parametrize("name", ["pcgrad", "graddrop", "dwa", "rotograd"])
def test_reduction_is_checked(build, name):
    from scalarization.errors import ConfigError

    with pytest.raises(ConfigError, match="median"):
        build(name, 2, reduction="median")
