"""Gradients at which methods gave something else than their definition, silently.

CAGrad returned 0, Nash-MTL wrong directions, MGDA stopped percents away, IMTL-G lost all digits, rounding trained the
rotations of RotoGrad, and a solver that failed was mentioned nowhere but in a log, without the run's name.
"""

import dataclasses

import numpy as np
import pytest
import scipy.optimize
import torch

from scalarization import analysis, methods, storage, tables
from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.specification import DomainOutputs
from scalarization.training.job import train_shards
from scalarization.training.loop import Trainer
from scalarization.training.merging import merge_shards

from ..conftest import recipe, train
from ..methods import definitions
from ..training.conftest import make_cell, parameters, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
#: Options with which a method is its definition, without rescaling or bounds.
PLAIN = {"cagrad": {"rescale": False}, "nash_mtl": {"max_norm": 0}}
SOLVED = ["mgda", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad", "pcgrad"]
#: With 40 tasks in arithmetic of 80 digits the others take too long; tests/methods/test_definitions.py has them.
QUICK = ["mgda", "cagrad", "imtl_g"]


def build(name, tasks, **options):
    return methods.load(name).build(methods.parse(name, options | PLAIN.get(name, {})), tasks)


def with_rows(rows, **changes):
    """The rows, some of them replaced: ``first=f`` replaces row 0 by f(row 1)."""
    rows = rows.copy()
    rows[0] = changes["first"](rows[1])
    return rows


def near_stationary(rows, distance):
    """Gradients with a convex combination of norm about `distance`."""
    weights = np.linspace(1, 2, len(rows))
    rows = rows.copy()
    rows[-1] = -(weights[:-1] @ rows[:-1]) / weights[-1] + distance * rows[-1]
    return rows


def all_near_a_plane(rows, distance):
    """Gradients near a hyperplane in which they cancel, all at the same side of it."""
    normal = rows.mean(0) / np.linalg.norm(rows.mean(0))
    rows = rows - rows.mean(0)
    return rows - np.outer(rows @ normal, normal) + distance * normal


KINDS = {
    "usual": lambda rows: rows,
    "zero": lambda rows: with_rows(rows, first=np.zeros_like),
    "parallel": lambda rows: with_rows(rows, first=lambda row: 2 * row),
    "opposite": lambda rows: with_rows(rows, first=lambda row: -2 * row),
    "a ten-thousandth": lambda rows: with_rows(rows, first=lambda row: 1e-4 * row[::-1]),
    "tiny": lambda rows: with_rows(rows, first=lambda row: 1e-12 * row[::-1]),
    "all 1e-8": lambda rows: 1e-8 * rows,
    "all 1e8": lambda rows: 1e8 * rows,
    "norms from 1e-4 to 1e4": lambda rows: rows * np.logspace(-4, 4, len(rows))[:, None],
    "norms from 1e-8 to 1e8": lambda rows: rows * np.logspace(8, -8, len(rows))[:, None],
    "stationary up to 1e-2": lambda rows: near_stationary(rows, 1e-2),
    "stationary up to 1e-4": lambda rows: near_stationary(rows, 1e-4),
    "stationary up to 1e-6": lambda rows: near_stationary(rows, 1e-6),
    "plane up to 1e-4": lambda rows: all_near_a_plane(rows, 1e-4),
    "plane up to 1e-6": lambda rows: all_near_a_plane(rows, 1e-6),
}


def jacobian_of(kind, tasks, parameters=50):
    rng = np.random.default_rng(tasks)
    return KINDS[kind](rng.normal(size=(tasks, parameters)) + 0.2 * rng.normal(size=parameters))


def check(name, jacobian):
    """Compare a method with its definition."""
    method = build(name, len(jacobian))
    torch.manual_seed(0)
    actual = method(torch.tensor(jacobian)).numpy()
    torch.manual_seed(0)
    orders = [[torch.randperm(len(jacobian)).tolist() for _ in jacobian]] if name == "pcgrad" else []
    expected = getattr(definitions, name)(jacobian, *orders)
    longest = np.linalg.norm(jacobian, axis=1).max()
    if expected is None:
        return WITHOUT_ONE_SOLUTION[name](jacobian, actual, method)
    assert method.failures == 0
    if np.linalg.norm(expected) < 1e-30 * longest:
        return np.testing.assert_allclose(actual, 0, atol=1e-13 * longest)
    error = np.linalg.norm(actual - expected) / np.linalg.norm(expected)
    assert error < 1e-6
    return None


def mean_and_a_failure(jacobian, actual, method):
    assert method.failures == 1
    np.testing.assert_allclose(actual, jacobian.mean(0))


def conditions_of_cagrad(jacobian, actual, method, c=0.5):
    """d - g_0 is a combination of the least improved gradients, at the border of the ball.

    Or nothing improves all tasks (a Pareto-stationary point), and d worsens none.
    """
    assert method.failures == 0
    mean, lengths = jacobian.mean(0), np.linalg.norm(jacobian, axis=1)
    rows, lengths = jacobian[lengths > 0], lengths[lengths > 0]
    offset, radius, rounding = actual - mean, c * np.linalg.norm(mean), 1e-9 * np.linalg.norm(actual)
    assert np.linalg.norm(offset) <= radius * (1 + 1e-9)
    products = rows @ actual
    if np.linalg.norm(offset) < radius * (1 - 1e-9):
        assert (products / lengths).min() >= -rounding
        return
    least = (products - products.min()) / lengths <= rounding
    _, remainder = scipy.optimize.nnls((rows[least] / lengths[least, None]).T, offset)
    assert remainder <= rounding


def equal_projections(jacobian, actual, method):
    """The direction is unique, the weights are not."""
    assert method.failures == 0
    projections = jacobian @ actual / np.linalg.norm(jacobian, axis=1)
    np.testing.assert_allclose(projections, projections[0], rtol=1e-9)
    assert projections[0] > 0


#: Method -> what must hold where it has no solution, or several.
WITHOUT_ONE_SOLUTION = {
    "nash_mtl": mean_and_a_failure,
    "cagrad": conditions_of_cagrad,
    "imtl_g": equal_projections,
}


@pytest.mark.parametrize("tasks", [2, 3, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SOLVED)
def test_definition(name, kind, tasks):
    check(name, jacobian_of(kind, tasks))


@pytest.mark.parametrize("kind", ["usual", "norms from 1e-8 to 1e8", "stationary up to 1e-4"])
@pytest.mark.parametrize("name", QUICK)
def test_definition_with_forty_tasks(name, kind):
    check(name, jacobian_of(kind, 40))


@pytest.mark.parametrize("kind", ["usual", "zero", "norms from 1e-8 to 1e8"])
@pytest.mark.parametrize("name", ["mgda", "cagrad", "upgrad"])
def test_more_tasks_than_parameters(name, kind):
    check(name, jacobian_of(kind, 8, parameters=5))


def test_cagrad_is_within_its_ball_and_never_zero():
    """d lies within c |g_0| of g_0, so it is not 0: three tasks, one 1e-4 as long as the others, one of 0."""
    for kind in ("zero", "a ten-thousandth", "stationary up to 1e-6"):
        jacobian = jacobian_of(kind, 3)
        mean = jacobian.mean(0)
        result = build("cagrad", 3)(torch.tensor(jacobian, dtype=torch.float32)).numpy()
        assert np.linalg.norm(result - mean) == pytest.approx(0.5 * np.linalg.norm(mean), rel=1e-5)


def test_first_directions_of_nash_mtl():
    """alpha (G alpha) = 1 at the first call, norms within a factor of 10; of TorchJD 35 to 43 percent were off."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        jacobian = torch.tensor(rng.normal(size=(8, 50)) * 10 ** rng.uniform(0, 1, (8, 1)), dtype=torch.float32)
        result = build("nash_mtl", 8)(jacobian).double()
        alpha = torch.linalg.lstsq(jacobian.double().T, result[:, None]).solution[:, 0]
        gramian = jacobian.double() @ jacobian.double().T
        torch.testing.assert_close(alpha * (gramian @ alpha), torch.ones(8, dtype=torch.float64), rtol=0, atol=1e-4)


@pytest.fixture
def digits_cell():
    """(method, **options) -> a cell that trains three domains, none of which shares an image with another."""

    def digits_cell(method, **options):
        outputs = DomainOutputs(10, ("mnist", "optdigits", "mfeat"))
        model = ViTOptions(patch=8, heads=2, mlp_ratio=2, drop_path=0.0)
        settings = recipe(lr=3e-3, warmup_epochs=0, eval_every=2, augmentation={"crop_padding": 0})
        cell = make_cell(outputs.evaluated, Architecture("vit", 2, 8), model, outputs, settings, method, 20)
        options = methods.parse(method, options)
        return dataclasses.replace(cell, specification=dataclasses.replace(cell.specification, method_options=options))

    return digits_cell


def test_domains_train_no_rotation_of_rotograd(digits_cell, digits_data):
    """Each image has one domain, so the gradient of the rotations is 0; they were 0.07 degrees off after 80 steps."""
    trained, frozen = (
        train(Trainer(cell, uniform_run(cell), digits_data, CPU))
        for cell in (digits_cell("rotograd"), digits_cell("rotograd", rotation_lr=0))
    )
    size = trained.method.generator.shape[-1]
    assert torch.equal(trained.method.rotations(), torch.eye(size).expand(3, size, size))
    assert torch.equal(parameters(trained), parameters(frozen))


def test_failures_of_a_solver_are_in_log_run_file_and_table(make_plan, tiny, prepare_store, caplog):
    """One Newton step is not enough. Both seeds are trained by jobs of their own."""
    domains = tiny["benchmarks"]["digits"]["domains"] = ["mnist", "optdigits", "mfeat"]
    changes = {"seeds": 2, "task_sets": {"all": domains}, "methods": {"single": {}, "nash_mtl": {"optim_niter": 1}}}
    tiny["experiments"]["pair"] |= changes
    tiny["jobs"]["runs_per_job"] = 1
    tiny["artifacts"] = {"table_methods": {"experiment": "pair"}}
    plan = make_plan(tiny)
    prepare_store(plan, "digits")
    for cell in plan.cells.values():
        shards = plan.shards(cell)
        train_shards(plan, shards, None)
        if len(shards) > 1:
            merge_shards(plan, cell)
    cell = next(cell for cell in plan.cells.values() if cell.method == "nash_mtl")
    failures = storage.read_metadata(plan.paths.run_file(cell))["solver_failures"]
    assert failures == [
        {"weight_setting": 0, "seed": seed, "failures": cell.steps, "steps": cell.steps} for seed in (0, 1)
    ]
    warnings = [r.getMessage() for r in caplog.records if "the solver failed" in r.getMessage()]
    assert len(warnings) == 2
    assert all(warning.startswith(cell.name) and "no bargaining solution" in warning for warning in warnings)
    assert "seed 0" in warnings[0] and "seed 1" in warnings[1]
    others = [cell for cell in plan.cells.values() if cell.method == "single"]
    assert all(storage.read_metadata(plan.paths.run_file(cell))["solver_failures"] == [] for cell in others)

    summary = analysis.summarize(plan, "table_methods")
    assert set(summary["solver_failures"].dropna()) == {2 * cell.steps}
    _, files = tables.draw("table_methods", summary, analysis.metadata(plan, "table_methods"))
    note = f"Nash-MTL: the solver failed at {2 * cell.steps} of {2 * cell.steps} steps of the runs concerned"
    assert note in files["md"] and note in files["tex"]
