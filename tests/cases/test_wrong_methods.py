"""A user's method that returns something else than it must: the message names the method and what is expected.

It used to be "The size of tensor a (11082) must match the size of tensor b (3)", and a traceback.
"""

import dataclasses
import traceback

import pytest
import torch

from scalarization import methods
from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.errors import UserError
from scalarization.methods.base import FeatureMethod, GradientMethod, LossMethod
from scalarization.specification import DomainOutputs
from scalarization.training.loop import Trainer

from ..conftest import recipe, train
from ..training.conftest import make_cell, uniform_run

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TASKS = ("mnist", "optdigits", "mfeat")
#: Kind of method -> one that is replaced.
REPLACED = {"gradient": "pcgrad", "loss": "uncertainty", "feature": "rotograd"}


def gradient_method(result):
    class Mine(GradientMethod):
        def forward(self, jacobian):
            return result(jacobian)

    return Mine()


def loss_method(result):
    class Mine(LossMethod):
        def forward(self, losses, absent=None):
            return result(losses)

    return Mine(torch.nn.Identity())


def feature_method(combine=None, rotations=None, rotation_loss=None):
    class Mine(FeatureMethod):
        def set_features(self, features):
            self.matrices = torch.nn.Parameter(torch.eye(features).expand(3, -1, -1).clone())

        def rotations(self):
            return rotations(self.matrices) if rotations else self.matrices

        def combine(self, gradients, rotations):
            return combine(gradients) if combine else gradients.sum(0)

        def rotation_loss(self, gradients, rotations):
            return rotation_loss(rotations) if rotation_loss else (rotations * 0).sum()

    return Mine()


#: What the method does -> kind, method, expected part of the message.
WRONG = {
    "a row for each task": ("gradient", gradient_method(lambda jacobian: jacobian), "returned torch.float32 [3, "),
    "one number": ("gradient", gradient_method(lambda jacobian: jacobian.mean()), "returned torch.float32 []"),
    "a weight for each task": ("gradient", gradient_method(lambda j: j.norm(dim=1)), "returned torch.float32 [3]"),
    "a row": ("gradient", gradient_method(lambda j: j.mean(0, keepdim=True)), "returned torch.float32 [1, "),
    "nothing": ("gradient", gradient_method(lambda jacobian: None), "returned NoneType"),
    "a list": ("gradient", gradient_method(lambda jacobian: jacobian.mean(0).tolist()), "returned list"),
    "NumPy": ("gradient", gradient_method(lambda jacobian: jacobian.mean(0).numpy()), "returned ndarray"),
    "integers": ("gradient", gradient_method(lambda jacobian: jacobian.mean(0).long()), "returned torch.int64"),
    "a loss for each task": ("loss", loss_method(lambda losses: losses), "returned torch.float32 [3]"),
    "a number": ("loss", loss_method(lambda losses: losses.sum().item()), "returned float"),
    "no combination": ("feature", feature_method(combine=lambda g: g), "returned torch.float32 [3, 24, 8]"),
    "one rotation": ("feature", feature_method(rotations=lambda m: m[0]), "returned torch.float32 [8, 8]"),
    "a loss for each rotation": ("feature", feature_method(rotation_loss=lambda r: r.sum((1, 2))), "[3]"),
}


@pytest.fixture
def trainer_of(monkeypatch, digits_data):
    """(kind, method) -> a trainer that uses it."""

    def trainer_of(kind, method):
        name = REPLACED[kind]
        info = dataclasses.replace(methods.load(name), build=lambda *_: method)
        monkeypatch.setattr(methods, "load", lambda name: info)
        options = ViTOptions(patch=8, heads=2, mlp_ratio=2, drop_path=0)
        cell = make_cell(TASKS, Architecture("vit", 1, 8), options, DomainOutputs(10, TASKS), recipe(), name)
        return Trainer(cell, uniform_run(cell), digits_data, CPU)

    return trainer_of


@pytest.mark.parametrize("case", WRONG)
def test_wrong_result_names_method_and_expected_shape(trainer_of, case):
    kind, method, given = WRONG[case]
    with pytest.raises(UserError) as caught:
        train(trainer_of(kind, method))
    message = str(caught.value)
    assert message.startswith(f"method '{REPLACED[kind]}', ") and given in message
    assert "expected floating-point numbers of shape [" in message and "\n" not in message


@pytest.mark.parametrize("kind", REPLACED)
def test_right_results_train(trainer_of, kind):
    method = {
        "gradient": lambda: gradient_method(lambda jacobian: jacobian.mean(0).double()),
        "loss": lambda: loss_method(lambda losses: losses.mean()),
        "feature": feature_method,
    }[kind]()
    assert train(trainer_of(kind, method)).diverged is None


def test_error_in_a_method_names_it(trainer_of):
    def fail(jacobian):
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing") as caught:
        train(trainer_of("gradient", gradient_method(fail)))
    assert "It was raised by method 'pcgrad', from task gradients [3, " in "".join(
        traceback.format_exception(caught.value)
    )


def test_solver_that_fails_on_nan_is_a_diverged_run(trainer_of):
    """Not an error of the method: whatever it raises, the gradients were not finite."""

    def fail(jacobian):
        raise RuntimeError("did not converge")

    trainer = trainer_of("gradient", gradient_method(fail))
    losses = trainer.objective.task_losses
    trainer.objective.task_losses = lambda *arguments: losses(*arguments) * torch.nan
    train(trainer)
    assert trainer.diverged.step == 1 and trainer.diverged.cause.startswith("the loss of task 'mnist' is not finite")
