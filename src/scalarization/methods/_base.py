"""What a method beside scalarization is to the training loop: from task losses to gradients.

A loss-based method turns the losses of a step into one scalar; a gradient-based one turns the tasks' gradients on the
shared parameters into one; a feature-based one does that where backbone and heads meet. A method's module has
``build(options, tasks)`` that returns one of the three; modules of constant weights have none.

One task is plain training: a gradient- or feature-based method that sees one gradient returns it as it is.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scalarization.errors import ConfigError

log = logging.getLogger(__name__)


class Method(nn.Module, ABC):
    """Common to all kinds; an ``nn.Module``, so that learned parts are trained and saved with the network.

    Random draws are taken from torch's global state, which the training loop sets before every call.
    """

    def extra_state(self) -> dict[str, Any]:
        """What :meth:`state_dict` does not hold and a resumed run needs: tensors, numbers, lists and dicts of them."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`extra_state` returned."""

    def after_epoch(self) -> None:
        """Called at the end of every epoch."""


class LossMethod(Method):
    """Loss-based: one scalar of all losses, whose gradient is taken as usual.

    Args:
        scalarizer: Module from losses [T] to a scalar; its parameters [T] are learned with the network's optimiser,
            without weight decay.
    """

    def __init__(self, scalarizer: nn.Module) -> None:
        super().__init__()
        self.scalarizer = scalarizer

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar to be minimised.

        Args:
            losses: [T].
            absent: Which tasks to leave out [T] (domains without an image in the batch; their losses may be any
                number); None: none.
        """
        if absent is None:
            return self.scalarizer(losses)
        present = ~absent
        learned = {name: parameter[present] for name, parameter in self.scalarizer.named_parameters()}
        return torch.func.functional_call(self.scalarizer, learned, (losses[present],))

    @property
    def needs_losses_after(self) -> bool:
        """Whether :meth:`after_step` wants the losses of the same batch once more."""
        return False

    def after_step(self, losses: Callable[[], Tensor]) -> None:
        """Called after the optimiser's step; ``losses()`` computes those [T] of the same batch, without gradient."""


class RememberingLossMethod(LossMethod):
    """A loss-based method that compares losses over time: for a task that is absent it sees the last loss again.

    Args:
        scalarizer: See :class:`LossMethod`.
        tasks: Number of tasks.
    """

    def __init__(self, scalarizer: nn.Module, tasks: int) -> None:
        super().__init__(scalarizer)
        self.register_buffer("last", torch.ones(tasks))

    def complete(self, losses: Tensor, absent: Tensor | None) -> Tensor:
        """Losses [T] with the last ones seen, as constants, in place of those of absent tasks."""
        if absent is not None:
            losses = torch.where(absent, self.last.to(losses.dtype), losses)
        self.last.copy_(losses.detach())
        return losses

    def forward(self, losses: Tensor, absent: Tensor | None = None) -> Tensor:
        """From losses [T] to the scalar to be minimised; see :class:`LossMethod`."""
        return self.scalarizer(self.complete(losses, absent))


class GradientMethod(Method):
    """Gradient-based: one gradient of the tasks' gradients.

    Args:
        include_heads: Whether the parameters of the heads are flattened in as well (as in the code the paper measured
            with); by default only shared parameters are, and heads get their own task's gradient.
    """

    def __init__(self, include_heads: bool = False) -> None:
        super().__init__()
        self.include_heads = include_heads

    @abstractmethod
    def forward(self, jacobian: Tensor) -> Tensor:
        """From task gradients [T, P] (row t is the gradient of L_t) to one gradient [P].

        There may be fewer rows than tasks (a domain absent from the batch is left out); a single row is returned as
        it is. Call it outside autocast.
        """


class Aggregated(GradientMethod):
    """A TorchJD aggregator as a method.

    An aggregator that weights the rows by their Gramian is given the Gramian only: on the CPU in float64 (it is T x T,
    and the solvers run there anyway) and divided by its trace. None of these weights depends on the common scale of
    the gradients, but TorchJD's thresholds do: below a summed squared norm of 1e-4 its CAGrad returns 0, and training
    would stop. Where there is nothing to weight (all rows 0, or something not finite) or where a solver fails (logged
    once, counted in :attr:`failed`), the result is the mean over tasks, uniform scalarization's step.

    Args:
        aggregator: Module from [T, P] to [P].
        scale: Factor on its result as a function of T (``1 / T`` turns a sum over tasks into a mean, which makes a
            step comparable with uniform scalarization's).
        include_heads: See :class:`GradientMethod`.
        failures: What the aggregator raises when its solver fails.
    """

    def __init__(
        self,
        aggregator: nn.Module,
        scale: Callable[[int], float] = lambda tasks: 1.0,
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
        if hasattr(self.aggregator, "gramian_weighting"):
            return self.weights(jacobian @ jacobian.T) @ jacobian
        return self.aggregator(jacobian) * self.scale(len(jacobian))

    @torch.no_grad()
    def weights(self, gramian: Tensor) -> Tensor:
        """From the Gramian [T, T] of task gradients to the weights [T] of their sum, for aggregators that have such."""
        tasks = len(gramian)
        small = gramian.to("cpu", torch.float64)
        trace = small.trace()
        weights = torch.full((tasks,), 1 / tasks, dtype=torch.float64)
        if 0 < trace < torch.inf:
            try:
                found = self.aggregator.gramian_weighting(small / trace) * self.scale(tasks)
            except self.failures as error:
                self._fail(repr(error))
            else:
                if found.isfinite().all():
                    weights = found
                else:
                    self._fail(f"weights {found.tolist()}")
        return weights.to(gramian)

    def _fail(self, reason: str) -> None:
        if not self.failed:
            log.warning("%s failed, the mean is taken instead (said once): %s", self.aggregator, reason)
        self.failed += 1

    def extra_state(self) -> dict[str, Any]:
        """Number of failures."""
        return {"failed": self.failed}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`extra_state` returned."""
        self.failed = state["failed"]


class FeatureMethod(Method):
    """Feature-based: works on the shared features, N samples of m features each, that the heads get from the backbone.

    A training step, with ``z`` [N, m] of the backbone::

        rotations = method.rotations()
        rotated = method.rotate(z.detach(), rotations).requires_grad_()     # [T, N, m]; head t sees rotated[t]
        gradients, *at_heads = torch.autograd.grad(sum_of_task_losses, [rotated, *heads])
        z.backward(method.combine(gradients, rotations))                    # one pass through the backbone
        method.rotation_loss(gradients, rotations).backward()               # .grad of the method's own parameters

    In evaluation head t sees ``method.rotate(z, method.rotations())[t]``. A task absent from a batch has gradient 0.
    Call :meth:`combine` and :meth:`rotation_loss` outside autocast.

    Attributes:
        rate: Learning rate of the method's own parameters (without weight decay), as a fraction of the network's.
    """

    rate: float

    @abstractmethod
    def set_features(self, features: int) -> None:
        """Make the learned parts for ``features`` (m); called once, before the optimiser is built."""

    @abstractmethod
    def rotations(self) -> Tensor:
        """Current rotations [T, m, m]."""

    def rotate(self, features: Tensor, rotations: Tensor) -> Tensor:
        """What the heads see: features [N, m] to [T, N, m].

        Rotations are constants here: losses of tasks never reach them.
        """
        return features @ rotations.detach().mT.to(features.dtype)

    @abstractmethod
    def combine(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """From task gradients [T, N, m] on rotated features to the one gradient [N, m] on features."""

    @abstractmethod
    def rotation_loss(self, gradients: Tensor, rotations: Tensor) -> Tensor:
        """Scalar whose gradient trains the rotations.

        Args:
            gradients: Task gradients [T, N, m] on rotated features.
            rotations: As :meth:`rotations` returned them.
        """


def reduction_scale(reduction: str) -> Callable[[int], float]:
    """Factor, as a function of T, that makes a sum over tasks a ``mean`` or leaves it a ``sum``.

    Raises:
        ConfigError: It is neither.
    """
    if reduction not in ("mean", "sum"):
        raise ConfigError(f"reduction = {reduction}: must be mean or sum")
    return (lambda tasks: 1 / tasks) if reduction == "mean" else (lambda tasks: 1.0)


@torch.no_grad()
def flatten(gradients: list[Tensor], out: Tensor) -> None:
    """Write gradients of several parameters one after the other into the vector ``out`` [P]."""
    offset = 0
    for gradient in gradients:
        out[offset : offset + gradient.numel()].copy_(gradient.reshape(-1))
        offset += gradient.numel()
