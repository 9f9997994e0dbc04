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
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torchjd.aggregation import Aggregator, GramianWeightedAggregator

log = logging.getLogger(__name__)


class Method(nn.Module, ABC):
    """Base class of all methods; an ``nn.Module``, so that learned parts are trained and saved with the network.

    Random numbers are drawn from torch's global state, which the training loop sets before every call.

    Attributes:
        lr_scale: Learning rate of the method's own parameters, as a fraction of the network's. They have no weight
            decay.
    """

    lr_scale: float = 1.0

    def extra_state(self) -> dict[str, Any]:
        """State that a resumed run needs and :meth:`state_dict` lacks: tensors, numbers, and lists or dicts of them."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""

    def after_epoch(self) -> None:
        """Called at the end of every epoch."""


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


class Aggregated(GradientMethod):
    """A TorchJD aggregator as a method.

    Args:
        aggregator: Module from [T, P] to [P].
        scale: Factor on its result as a function of T (``1 / T`` turns a sum over tasks into a mean, which makes a
            step comparable with a step of uniform scalarization).
        include_heads: See :class:`GradientMethod`.
    """

    def __init__(
        self, aggregator: Aggregator, scale: Callable[[int], float] = lambda count: 1.0, include_heads: bool = False
    ) -> None:
        super().__init__(include_heads)
        self.aggregator = aggregator
        self.scale = scale

    @torch.no_grad()
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] to one gradient [P]."""
        if len(jacobian) == 1:
            return jacobian[0].clone()
        return self.aggregator(jacobian) * self.scale(len(jacobian))


class GramianAggregated(GradientMethod):
    """A TorchJD aggregator as a method whose result is a weighted sum of the rows, with weights from their Gramian.

    The aggregator gets the Gramian only: on the CPU in float64 (it is T x T, and the solvers run there anyway) and
    divided by its trace. The weights of these aggregators do not depend on the common scale of the gradients, but
    TorchJD's thresholds do: below a summed squared norm of 1e-4 its CAGrad returns 0, and training would stop.

    The result is the mean over tasks, the step of uniform scalarization, in two cases: the Gramian is 0 or not finite,
    or the solver fails. Failures are counted in :attr:`failed`, and the first failure is logged.

    Args:
        aggregator: Module from [T, P] to [P].
        scale: Factor on its weights, see :class:`Aggregated`.
        include_heads: See :class:`GradientMethod`.
        failures: Exceptions that the aggregator raises when its solver fails.
    """

    def __init__(
        self,
        aggregator: GramianWeightedAggregator,
        scale: Callable[[int], float] = lambda count: 1.0,
        include_heads: bool = False,
        failures: tuple[type[Exception], ...] = (),
    ) -> None:
        super().__init__(include_heads)
        self.aggregator = aggregator
        self.scale = scale
        self.failures = failures
        self.failed = 0

    @torch.no_grad()
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] to one gradient [P]."""
        if len(jacobian) == 1:
            return jacobian[0].clone()
        return self.weights(jacobian @ jacobian.T) @ jacobian

    @torch.no_grad()
    def weights(self, gramian: Tensor) -> Tensor:
        """From the Gramian [T, T] of task gradients to the weights [T] of their sum."""
        count = len(gramian)
        small = gramian.to("cpu", torch.float64)
        trace = small.trace()
        weights = torch.full((count,), 1 / count, dtype=torch.float64)
        if 0 < trace < torch.inf:
            try:
                solution = self.aggregator.gramian_weighting(small / trace) * self.scale(count)
            except self.failures as error:
                self._fail(repr(error))
            else:
                if solution.isfinite().all():
                    weights = solution
                else:
                    self._fail(f"weights {solution.tolist()}")
        return weights.to(gramian)

    def _fail(self, reason: str) -> None:
        if not self.failed:
            log.warning(
                "%s failed, so this step uses the mean gradient; later failures are not logged: %s",
                self.aggregator,
                reason,
            )
        self.failed += 1

    def extra_state(self) -> dict[str, Any]:
        """Number of failures."""
        return {"failed": self.failed}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned."""
        self.failed = state["failed"]


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
