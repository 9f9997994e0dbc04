"""What the training loop calls on a method that acts on losses or gradients at every step.

A loss-based method turns the losses of a step into one scalar. A gradient-based method turns the tasks' gradients on
the shared parameters into one gradient. A feature-based method does so on the features that the backbone hands to the
heads. ``METHOD.build`` of a method's module returns an object of one of these three classes.

One task is plain training: a gradient- or feature-based method that gets one gradient returns it as it is.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from scalarization.methods.jacobian import Gradients, gramian, locate, weighted_sum

#: Attributes of a method that say how often its solver failed.
COUNTS = ("calls", "failures", "failure", "reported")
logger = logging.getLogger(__name__)


class Method(nn.Module, ABC):
    """Base class of all methods; an ``nn.Module``, so that learned parts are trained and saved with the network.

    Random numbers are drawn from torch's global state, which the training loop sets before every call.

    Attributes:
        lr_scale: Learning rate of the method's own parameters, as a fraction of the network's. They have no weight
            decay.
        calls: How often a solver was asked for weights.
        failures: How often it found none, so that the mean gradient was used.
        failure: Why it found none, the last time.
        reported: Whether it was logged that it found none.
    """

    lr_scale: float = 1.0
    calls: int = 0
    failures: int = 0
    failure: str = ""
    reported: bool = False

    def extra_state(self) -> dict[str, Any]:
        """State that a resumed run needs and :meth:`state_dict` lacks: tensors, numbers, and lists or dicts of them."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""

    def after_epoch(self) -> None:
        """Called at the end of every epoch."""

    def report(self, run: str) -> None:
        """Log that a solver failed, if one did and that was not logged before.

        Args:
            run: Name of the run.
        """
        if self.failures and not self.reported:
            self.reported = True
            message = "%s: the solver failed at %d of %d steps so far, which used the mean gradient: %s. %s"
            later = "Later failures are not logged; the run file counts them"
            logger.warning(message, run, self.failures, self.calls, self.failure, later, extra={"terminal": True})


class LossMethod(Method):
    """Loss-based: turns all losses into one scalar, whose gradient trains the network.

    Args:
        scalarizer: Module from losses [T] to a scalar. Its parameters [T] are trained by the network's optimiser.
    """

    def __init__(self, scalarizer: nn.Module) -> None:
        super().__init__()
        self.scalarizer = scalarizer

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar that is minimised.

        Args:
            losses: [T].
            absent: Mask [T] of the tasks to leave out: domains without an image in the batch, whose losses may be any
                number. None: no task is left out.
        """
        if absent is None:
            return self.scalarizer(losses)
        present = ~absent
        learned = {name: parameter[present] for name, parameter in self.scalarizer.named_parameters()}
        return torch.func.functional_call(self.scalarizer, learned, (losses[present],))

    @property
    def needs_losses_after(self) -> bool:
        """Whether :meth:`after_step` needs the losses of the same batch after the step."""
        return False

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        """Called after the optimiser's step.

        Args:
            losses: Computes the losses [T] of the same batch, without gradient.
        """


class RememberingLossMethod(LossMethod):
    """A loss-based method that compares losses over time. An absent task keeps the loss of its last batch.

    Args:
        scalarizer: See :class:`LossMethod`.
        num_tasks: Number of tasks.
    """

    last: Tensor

    def __init__(self, scalarizer: nn.Module, num_tasks: int) -> None:
        super().__init__(scalarizer)
        self.register_buffer("last", torch.ones(num_tasks))

    def complete(self, losses: Tensor, absent: Tensor | None) -> Tensor:
        """Losses [T], in which absent tasks have their last losses, as constants."""
        if absent is not None:
            losses = torch.where(absent, self.last.to(losses.dtype), losses)
        self.last.copy_(losses.detach())
        return losses

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar that is minimised; see :class:`LossMethod`."""
        return self.scalarizer(self.complete(losses, absent))


class GradientMethod(Method):
    """Gradient-based: turns the tasks' gradients into one gradient.

    Args:
        include_heads: Whether the gradients contain the heads' parameters (as in the code the paper measured with). If
            not, they contain the shared parameters only, and each head gets the gradient of its own task.
    """

    def __init__(self, include_heads: bool = False) -> None:
        super().__init__()
        self.include_heads = include_heads

    @abstractmethod
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] (row t is the gradient of L_t) to one gradient [P].

        The number of rows may be smaller than the number of tasks, because a domain without an image in the batch is
        left out. A single row is returned as it is, in new memory. Rows of 0 give a finite result. A row that is not
        finite gives a result that is not finite, so that the training loop notices a diverged run.

        Must be called outside autocast.
        """


class SolverError(ArithmeticError):
    """A method's solver found no solution; the message says why."""


class SolvedMethod(GradientMethod):
    """The result is a weighted sum of the task gradients, with weights that depend on their lengths and angles only.

    Lengths and angles are measured in float64 (:mod:`scalarization.methods.jacobian`). The weights are found on the
    CPU, and the sum is added in float64.

    The result is the mean over tasks, the step of uniform scalarization, in two cases: the gradients are all 0 or not
    finite, or the solver fails. Failures are counted, see :class:`Method`.

    Args:
        solve: From the gradients that are not 0 to coefficients [n] of their directions, float64. It raises
            :class:`SolverError` or LinAlgError if it fails; coefficients that are not finite are a failure, too.
        scale: Factor on the result.
        include_heads: See :class:`GradientMethod`.
    """

    def __init__(
        self, solve: Callable[[Gradients], np.ndarray], scale: float = 1.0, include_heads: bool = False
    ) -> None:
        super().__init__(include_heads)
        self.solve = solve
        self.scale = scale

    @torch.no_grad()
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] to one gradient [P]."""
        if len(jacobian) == 1:
            return jacobian[0].clone()
        weights = self.weights(jacobian)
        if weights is None:
            weights = torch.full((len(jacobian),), 1 / len(jacobian), dtype=torch.float64)
        return weighted_sum(weights, jacobian)

    def weights(self, jacobian: Tensor) -> Tensor | None:
        """From task gradients [T, P] to the weights of their sum, float64 [T] on the CPU; None: those of the mean."""
        gram = gramian(jacobian).to("cpu")
        if not gram.isfinite().all() or not gram.any():
            return None
        self.calls += 1
        try:
            gradients = locate(jacobian, gram)
            coefficients = self.solve(gradients)
        except (SolverError, np.linalg.LinAlgError, torch.linalg.LinAlgError) as error:
            self._fail(str(error))
            return None
        if not np.isfinite(coefficients).all():
            self._fail("weights that are not finite")
            return None
        weights = np.zeros(len(jacobian))
        weights[gradients.present] = self.scale * coefficients / gradients.norms
        return torch.from_numpy(weights)

    def _fail(self, reason: str) -> None:
        self.failures += 1
        self.failure = reason

    def extra_state(self) -> dict[str, Any]:
        """Numbers of calls and of failures, and the last reason."""
        return {name: getattr(self, name) for name in COUNTS}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""
        for name in COUNTS:
            setattr(self, name, state[name])


class FeatureMethod(Method):
    """Feature-based: acts on the shared features, N samples of m features each, that the backbone hands to the heads.

    A training step, with features ``z`` [N, m] of the backbone::

        rotations = method.rotations()
        rotated = method.rotate(z.detach(), rotations).requires_grad_()     # [T, N, m]; the input of head t: rotated[t]
        gradients, *at_heads = torch.autograd.grad(sum_of_task_losses, [rotated, *heads])
        z.backward(method.combine(gradients, rotations))                    # one pass through the backbone
        method.rotation_loss(gradients, rotations).backward()               # .grad of the method's own parameters

    In evaluation, the input of head t is ``method.rotate(z, method.rotations())[t]``. A task absent from a batch has
    gradient 0. :meth:`combine` and :meth:`rotation_loss` must be called outside autocast.
    """

    @abstractmethod
    def set_features(self, features: int) -> None:
        """Create the learned parts for ``features`` (m); called once, before the optimiser is built."""

    @abstractmethod
    def rotations(self) -> Tensor:
        """Current rotations [T, m, m]."""

    def rotate(self, features: Tensor, rotations: Tensor) -> Tensor:
        """From features [N, m] to the inputs of the heads [T, N, m].

        Rotations are constants here: the losses of tasks do not train them.
        """
        return features @ rotations.detach().mT.to(features.dtype)

    @abstractmethod
    def combine(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """From task gradients [T, N, m] on rotated features to one gradient [N, m] on features."""

    @abstractmethod
    def rotation_loss(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """Scalar whose gradient trains the rotations.

        Args:
            gradients: Task gradients [T, N, m] on rotated features.
            rotations: As :meth:`rotations` returned them.
        """


def reduction_scale(reduction: Literal["mean", "sum"]) -> Callable[[Any], Any]:
    """Factor, as a function of T (a number or a tensor), that turns a sum over tasks into a mean or leaves it a sum."""
    return {"mean": lambda count: 1 / count, "sum": lambda count: 1.0}[reduction]


@torch.no_grad()
def flatten(gradients: Sequence[Tensor], out: Tensor) -> None:
    """Write the gradients of several parameters, one after the other, into the vector ``out`` [P]."""
    offset = 0
    for gradient in gradients:
        out[offset : offset + gradient.numel()].copy_(gradient.reshape(-1))
        offset += gradient.numel()
