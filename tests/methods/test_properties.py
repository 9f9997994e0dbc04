"""Properties of methods.

The first part holds for every registered method: it is what the training loop relies on (methods/base.py). The second
part holds for the methods that it lists.
"""

import logging
import random

import numpy as np
import pytest
import torch

from scalarization import methods

LOSS = [m.name for m in methods.all_methods() if m.kind == "loss"]
GRADIENT = [m.name for m in methods.all_methods() if m.kind == "gradient"]
FEATURE = [m.name for m in methods.all_methods() if m.kind == "feature"]


def run(build, name, jacobian, seed=0, **options):
    torch.manual_seed(seed)
    return build(name, len(jacobian), **options)(jacobian)


def loss_and_gradient(method, losses, absent=None, seed=0):
    losses = torch.tensor(losses, requires_grad=True)
    torch.manual_seed(seed)
    value = method(losses, absent)
    (gradient,) = torch.autograd.grad(value, losses)
    return value.detach(), gradient


def assert_close(actual, expected, tolerance):
    assert torch.linalg.vector_norm(actual - expected) <= tolerance * torch.linalg.vector_norm(expected)


# --- Every registered method ---


@pytest.mark.parametrize("name", [*LOSS, *GRADIENT, *FEATURE])
def test_the_class_fits_the_kind(build, name):
    from scalarization.methods import base

    classes = {"loss": base.LossMethod, "gradient": base.GradientMethod, "feature": base.FeatureMethod}
    method = build(name, 2)
    assert isinstance(method, classes[methods.load(name).kind])
    assert method.lr_scale >= 0


@pytest.mark.parametrize("name", GRADIENT)
def test_heads_are_left_out_by_default(build, name):
    assert not build(name, 2).include_heads
    assert build(name, 2, include_heads=True).include_heads


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize("num_tasks", [1, 3])
def test_one_gradient_is_returned_as_it_is(build, random_jacobian, name, num_tasks):
    jacobian = random_jacobian(0, 3)[:1]
    result = build(name, num_tasks)(jacobian)
    assert torch.equal(result, jacobian[0])
    assert result.data_ptr() != jacobian.data_ptr()


@pytest.mark.parametrize("name", GRADIENT)
def test_the_number_of_gradients_may_change(build, random_jacobian, name):
    jacobian = random_jacobian(0, 4)
    method = build(name, 4)
    for rows in (jacobian, jacobian[:2], jacobian[[0, 2, 3]], jacobian[:1], jacobian):
        before = rows.clone()
        result = method(rows)
        assert result.shape == (40,) and result.dtype == torch.float32
        assert result.isfinite().all()
        assert torch.equal(rows, before)


@pytest.mark.parametrize("name", GRADIENT)
def test_gradients_of_zero_give_a_finite_result(build, random_jacobian, name):
    jacobian = random_jacobian(0, 4)
    assert run(build, name, torch.zeros_like(jacobian)).isfinite().all()
    jacobian[1] = 0
    assert run(build, name, jacobian).isfinite().all()
    jacobian[:, :5] = 0
    assert run(build, name, jacobian).isfinite().all()
    # The squared norm of such a row is 0 in float32.
    jacobian[1] = -1e-25 * jacobian[0]
    assert run(build, name, jacobian).isfinite().all()


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_gradients_that_are_not_finite_give_a_result_that_is_not_finite(build, random_jacobian, name, value):
    jacobian = random_jacobian(0, 3)
    jacobian[1] = value
    assert not run(build, name, jacobian).isfinite().all()


@pytest.mark.parametrize("name", LOSS)
def test_losses_give_a_scalar_with_a_gradient(build, name):
    method = build(name, 3)
    value, gradient = loss_and_gradient(method, [1.0, 2.0, 4.0])
    assert value.shape == () and value.isfinite()
    assert gradient.isfinite().all() and gradient.any()
    # TorchJD's learned parts are one number per task; methods/base.py leaves out those of absent tasks.
    assert all(parameter.shape == (3,) for parameter in method.parameters())


@pytest.mark.parametrize("name", LOSS)
def test_the_loss_of_an_absent_task_has_no_effect(build, name):
    absent = torch.tensor([False, True, False])
    results = [loss_and_gradient(build(name, 3), [1.0, number, 4.0], absent) for number in (0.3, 1e6)]
    assert torch.equal(results[0][0], results[1][0])
    for value, gradient in results:
        assert value.isfinite() and gradient.isfinite().all()
        assert gradient[1] == 0
        assert gradient[[0, 2]].any()


@pytest.mark.parametrize("name", [*GRADIENT, *LOSS])
def test_draws_come_from_torch_only(build, random_jacobian, name):
    given = random_jacobian(0, 3) if name in GRADIENT else torch.tensor([1.0, 2.0, 4.0])
    states = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    first, again = (run(build, name, given, seed=1).tolist() for _ in range(2))
    assert first == again
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2])


@pytest.mark.parametrize("name", FEATURE)
def test_features_get_one_gradient_and_one_task_is_plain_training(build, name):
    gradients = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    for num_tasks in (3, 1):
        method = build(name, num_tasks)
        method.set_features(4)
        rotations = method.rotations()
        assert rotations.shape == (num_tasks, 4, 4)
        combined = method.combine(gradients[:num_tasks], rotations)
        assert combined.shape == (6, 4) and combined.isfinite().all()
        loss = method.rotation_loss(gradients[:num_tasks], rotations)
        assert loss.shape == () and loss.isfinite()
    assert torch.equal(combined, gradients[0])


# --- Listed methods ---

SOLVED = ["cagrad", "mgda", "imtl_g", "aligned_mtl", "upgrad", "nash_mtl"]
DRAWN = ["pcgrad", "graddrop"]


@pytest.mark.parametrize("name", SOLVED)
@pytest.mark.parametrize("num_tasks", [2, 5])
def test_order_of_tasks_does_not_matter(build, random_jacobian, name, num_tasks):
    jacobian = random_jacobian(num_tasks, num_tasks)
    order = torch.randperm(num_tasks, generator=torch.Generator().manual_seed(0))
    assert_close(run(build, name, jacobian[order]), run(build, name, jacobian), 1e-6)


def test_order_of_tasks_does_not_matter_to_graddrop(build, random_jacobian):
    jacobian = random_jacobian(0, 4)
    assert_close(run(build, "graddrop", jacobian.flip(0)), run(build, "graddrop", jacobian), 1e-6)


def test_order_of_tasks_does_not_matter_to_the_outcomes_of_pcgrad(build, random_jacobian):
    jacobian = random_jacobian(0, 3, 2)

    def outcomes(rows):
        return {tuple((1e3 * run(build, "pcgrad", rows, seed)).round().int().tolist()) for seed in range(80)}

    result = outcomes(jacobian)
    # Each of three tasks visits the other two in one of two orders.
    assert len(result) == 8
    assert outcomes(jacobian.flip(0)) == result


@pytest.mark.parametrize("name", [n for n in SOLVED + DRAWN if n != "nash_mtl"])
@pytest.mark.parametrize("factor", [1e-6, 1000])
def test_scaling_all_gradients_scales_the_result(build, random_jacobian, name, factor):
    jacobian = random_jacobian(3, 4)
    assert_close(run(build, name, factor * jacobian), factor * run(build, name, jacobian), 1e-6)


@pytest.mark.parametrize("factor", [1e-6, 1000])
@pytest.mark.parametrize(("max_norm", "norm"), [(0.0, 2), (0.5, 0.5)])
def test_the_norm_of_nash_mtl_does_not_depend_on_the_gradients(build, random_jacobian, factor, max_norm, norm):
    jacobian = random_jacobian(3, 4)
    result = run(build, "nash_mtl", factor * jacobian, max_norm=max_norm)
    assert_close(result, run(build, "nash_mtl", jacobian, max_norm=max_norm), 1e-6)
    assert torch.linalg.vector_norm(result).item() == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("name", ["upgrad", "mgda", "nash_mtl"])
@pytest.mark.parametrize("num_tasks", [2, 3, 6])
def test_promised_results_conflict_with_no_task(build, random_jacobian, name, num_tasks):
    for seed in range(2):
        jacobian = random_jacobian(seed, num_tasks, 8)
        result = run(build, name, jacobian)
        norms = torch.linalg.vector_norm(jacobian, dim=1) * torch.linalg.vector_norm(result)
        assert (jacobian @ result / norms).min() > -1e-6


@pytest.mark.parametrize(("name", "factor"), [("rlw", 1), ("uncertainty", 0.5), ("imtl_l", 1), ("dwa", 1), ("famo", 1)])
def test_one_loss_is_followed_up_to_a_factor(build, name, factor):
    _, gradient = loss_and_gradient(build(name, 1), [0.7])
    torch.testing.assert_close(gradient, torch.tensor([float(factor)]))


@pytest.mark.parametrize("name", SOLVED + DRAWN)
def test_equal_gradients(build, random_jacobian, name):
    row = random_jacobian(0, 1)[0]
    result = run(build, name, row.expand(4, -1).clone())
    norm = torch.linalg.vector_norm(result)
    # CAGrad goes to the border of its ball, Nash-MTL is bounded; all others give the gradient itself.
    expected = {"cagrad": 1.2 * torch.linalg.vector_norm(row), "nash_mtl": torch.tensor(1.0)}
    torch.testing.assert_close(norm, expected.get(name, torch.linalg.vector_norm(row)), rtol=1e-5, atol=0)
    assert_close(result / norm, row / torch.linalg.vector_norm(row), 1e-4)


@pytest.mark.parametrize("name", SOLVED + DRAWN)
def test_a_coordinate_with_no_gradient_stays_as_it_is(build, random_jacobian, name):
    jacobian = random_jacobian(0, 4)
    assert run(build, name, torch.zeros_like(jacobian)).tolist() == [0] * 40
    jacobian[1] = 0
    jacobian[:, :5] = 0
    assert not run(build, name, jacobian)[:5].any()


@pytest.mark.parametrize("name", SOLVED + DRAWN)
def test_a_gradient_of_nan_gives_nan_everywhere(build, random_jacobian, name):
    jacobian = random_jacobian(0, 3)
    jacobian[1] = torch.nan
    assert run(build, name, jacobian).isnan().all()


@pytest.mark.parametrize("name", SOLVED + DRAWN)
def test_earlier_steps_do_not_matter(build, random_jacobian, name):
    jacobian = random_jacobian(0, 4)
    method = build(name, 4)
    for rows in (jacobian, jacobian[:2], jacobian[[0, 2, 3]], jacobian[:1], jacobian):
        torch.manual_seed(0)
        assert_close(method(rows), run(build, name, rows), 1e-6)


def failing(build, random_jacobian):
    """A method whose solver fails, and gradients at which it does: Newton's method needs more than one step."""
    return build("nash_mtl", 3, optim_niter=1), random_jacobian(0, 3)


def test_a_failure_of_the_solver_gives_the_mean_and_is_counted(build, random_jacobian):
    method, jacobian = failing(build, random_jacobian)
    mean = jacobian.mean(0)
    for _ in range(3):
        assert_close(method(jacobian), mean / torch.linalg.vector_norm(mean).clamp(min=1), 1e-6)
    assert (method.calls, method.failures) == (3, 3)
    method(jacobian * torch.nan)
    method(jacobian * 0)
    # Neither asks the solver; the first is for the training loop to notice.
    assert (method.calls, method.failures) == (3, 3)


def test_a_failure_is_logged_once_with_the_name_of_the_run(build, random_jacobian, caplog):
    method, jacobian = failing(build, random_jacobian)
    method.report("some run")
    assert not caplog.records
    for _ in range(2):
        method(jacobian)
        method.report("some run")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("some run: the solver failed at 1 of 1 steps so far")
    assert "no bargaining solution after 1 Newton steps" in record.getMessage()
    resumed = build("nash_mtl", 3, optim_niter=1)
    resumed.load_extra_state(method.extra_state())
    resumed.report("some run")
    assert len(caplog.records) == 1
    assert (resumed.calls, resumed.failures) == (2, 2)


@pytest.mark.parametrize("name", SOLVED)
def test_solvers_do_not_fail_on_usual_gradients(build, random_jacobian, name):
    for seed in range(20):
        method = build(name, 5)
        method(random_jacobian(seed, 5))
        assert (method.calls, method.failures) == (1, 0)


def test_other_errors_are_raised(build, random_jacobian):
    method = build("mgda", 3)
    method.solve = lambda gradients: gradients.no_such_thing
    with pytest.raises(AttributeError):
        method(random_jacobian(0, 3))
