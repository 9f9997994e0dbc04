"""From a batch to the gradient of one training step: one class per kind of method.

With accumulation the batch is cut into micro-batches; every mean is taken over all of them together, so that constant
weights give the whole batch's gradient.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from scalarization import methods, models
from scalarization.config import MethodOptions, Recipe
from scalarization.errors import UserError
from scalarization.methods.base import FeatureMethod, GradientMethod, LossMethod, Method
from scalarization.training.divergence import Watched, all_finite, largest
from scalarization.training.gradients import Batch, TaskGradients, add_to_grad
from scalarization.training.objectives import Objective
from scalarization.training.objectives.base import Network
from scalarization.training.randomness import forked, seed_global_state


class MethodStep(ABC):
    """Puts the gradient of one batch into the parameters' ``.grad``, as the run's method determines it.

    Args:
        network: The network, with parameters on ``device``.
        forward: The network or its compiled form: makes the predictions of training passes.
        objective: Losses.
        method: The run's method; None for constant weights.
        recipe: Number of micro-batches, and how gradient-based methods treat them.
        device: Where to train.
        autocast: Makes the context of forward passes.
        name: Name of the method, for messages.

    Attributes:
        watched: What the numbers that :meth:`numbers` returns are.
    """

    method: Any

    def __init__(
        self,
        network: nn.Module,
        forward: Network,
        objective: Objective,
        method: Method | None,
        recipe: Recipe,
        device: torch.device,
        autocast: Callable[[], contextlib.AbstractContextManager],
        name: str = "",
    ) -> None:
        self.network, self.forward, self.objective, self.method = network, forward, objective, method
        self.device, self.autocast, self.name = device, autocast, name
        self.num_tasks = len(objective.tasks)
        self.num_micro_batches = recipe.accumulate
        self.watched = self._watched()
        #: What :meth:`numbers` returns, but the gradient.
        self._numbers: Sequence[Tensor] = ()
        # Whatever is not finite on the way back from the losses arrives here, at the parameters nearest to the images.
        self._first_parameter = next(network.parameters())

    @abstractmethod
    def __call__(self, batch: Batch, weights: Sequence[float], index: int, seed: int) -> Tensor:
        """Add the gradient of a batch to the parameters' ``.grad``.

        Args:
            batch: The images.
            weights: Scalarization weights of the epoch, one per task.
            index: Number of the step within its epoch, from 0.
            seed: Seed of the method's draws.

        Returns:
            The loss that is reported: scalarized for constant weights, else the mean over tasks.
        """

    def _watched(self) -> list[Watched]:
        """See :attr:`watched`; in the order in which they are computed."""
        return [Watched(f"the loss of task '{task}'") for task in self.objective.tasks] + [Watched("the gradient")]

    def numbers(self) -> Tensor:
        """Numbers of the step that was just called, which must be finite; on the device.

        Called before the optimiser's step. The gradient's number is its largest on the network's first parameter.
        """
        gradient = cast("Tensor", self._first_parameter.grad)
        return torch.cat([n.detach().reshape(-1).float() for n in (*self._numbers, largest(gradient))])

    def after_step(self, batch: Batch) -> None:  # noqa: B027 - most kinds need nothing
        """Called after the optimiser's step on ``batch``."""

    def evaluated_network(self, domain: str) -> Network:
        """What makes the predictions for images of a domain in evaluation."""
        return self.network

    def state(self) -> dict[str, Any]:
        """What a resumed run needs: names -> tensors, numbers, lists and dicts of them."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` returned.

        Raises:
            KeyError: Something is missing.
            ValueError: It is of another kind of run.
        """
        if state:
            raise ValueError("the state is of another kind of run")

    def _task_losses(self, part: Batch) -> Tensor:
        with self.autocast():
            logits = self.forward(part.images)
            return self.objective.task_losses(logits, part.labels, part.domains, part.counts)

    def _ask(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], shape: Sequence[int], doing: str
    ) -> Tensor:
        """What a function of the method returns; NaN if it fails because the run has diverged.

        Args:
            function: One of the method's.
            inputs: What it gets.
            shape: Shape of what it must return.
            doing: What it does, for messages.

        Raises:
            UserError: It returns something else.
        """
        try:
            result = function(*inputs)
        except Exception as error:
            # Solvers fail in their own ways on NaN. Waiting for the device here costs nothing in a healthy run.
            learned = [p for p in self.method.parameters() if p.requires_grad]
            known = [*inputs, *learned, *self.method.buffers()]
            if all_finite(known):
                error.add_note(f"It was raised by method '{self.name}', {doing}.")
                raise
            graph = sum(t.sum() for t in known if t.requires_grad)
            return torch.full(tuple(shape), torch.nan, device=self.device) + graph * torch.nan
        if not isinstance(result, Tensor) or result.shape != torch.Size(shape) or not result.is_floating_point():
            given = f"{result.dtype} {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            raise UserError(
                f"method '{self.name}', {doing}, returned {given}; expected floating-point numbers of shape "
                f"{list(shape)}. Correct the method's module, see docs/extending.md"
            )
        return result

    @contextlib.contextmanager
    def _draws(self, seed: int) -> Iterator[None]:
        """The method draws from a random state of its own, so that it changes nothing about the network's draws."""
        with forked(self.device):
            seed_global_state(self.device, seed)
            yield


class ConstantStep(MethodStep):
    """Constant weights, or weights of a search: the gradient of the scalarized loss."""

    def _watched(self) -> list[Watched]:
        return [Watched("the loss"), Watched("the gradient")]

    def __call__(self, batch: Batch, weights: Sequence[float], index: int, seed: int) -> Tensor:
        """Add the gradient of a batch; returns the scalarized loss."""
        total = torch.zeros((), device=self.device)
        for part in batch.micro_batches(self.num_micro_batches):
            with self.autocast():
                fraction = len(part.images) / len(batch.images)
                logits = self.predict(part.images)
                loss = self.objective.part_loss(logits, part.labels, weights, part.counts, fraction)
            self.before_backward(part, logits)
            loss.backward()
            total += loss.detach()
        self._numbers = (total,)
        return total

    def predict(self, images: Tensor) -> Any:
        """The network's predictions in training."""
        return self.forward(images)

    def before_backward(self, part: Batch, logits: Any) -> None:
        """Called before the backward pass of every (micro-)batch, while its graph exists."""


class LossStep(MethodStep):
    """Loss-based methods: the gradient of one scalar of all losses."""

    method: LossMethod

    def _watched(self) -> list[Watched]:
        *losses, gradient = super()._watched()
        return [*losses, Watched("the scalarized loss", self.name), gradient]

    def __call__(self, batch: Batch, weights: Sequence[float], index: int, seed: int) -> Tensor:
        """Add the gradient of a batch; returns the mean loss over tasks that have something in it."""
        parts = batch.micro_batches(self.num_micro_batches)
        absent = self.objective.absent(batch.counts)
        total = torch.zeros(self.num_tasks, device=self.device)
        scalars = []
        for number, part in enumerate(parts):
            losses = self._task_losses(part)
            with self._draws(seed + number):
                # A micro-batch adds 1/k of each mean; the method sees it at the size of a whole batch's loss.
                method = functools.partial(self.method, absent=absent if absent.any() else None)
                scalar = self._ask(method, [losses * len(parts)], (), f"from {self.num_tasks} losses to a scalar")
            (scalar / len(parts)).backward()
            total += losses.detach()
            scalars.append(scalar.detach())
        self._numbers = (total, torch.stack(scalars).sum())
        return total[~absent].mean()

    def after_step(self, batch: Batch) -> None:
        """Give the losses after the optimiser's step to a method that needs them."""
        if self.method.needs_losses_after:
            self.method.after_step(lambda: self._task_losses(batch).detach())


class FeatureStep(MethodStep):
    """Feature-based methods: task gradients are combined where backbone and heads meet, in every micro-batch."""

    method: FeatureMethod

    def _watched(self) -> list[Watched]:
        *losses, _ = super()._watched()
        gradients = [Watched(f"the gradient of task '{task}' on the features") for task in self.objective.tasks]
        return [*losses, *gradients, Watched("the gradient", self.name)]

    def __call__(self, batch: Batch, weights: Sequence[float], index: int, seed: int) -> Tensor:
        """Add the gradient of a batch; returns the mean loss over tasks that have something in it."""
        head = models.head(self.network)
        absent = self.objective.absent(batch.counts)
        total = torch.zeros(self.num_tasks, device=self.device)
        at_features = torch.zeros(self.num_tasks, device=self.device)
        for part in batch.micro_batches(self.num_micro_batches):
            rotations = self._rotations()
            with self.autocast():
                features = models.features(self.network, part.images)
                rotated = self.method.rotate(features.detach(), rotations).requires_grad_()
                logits = self.objective.select(head(rotated), part.domains)
                losses = self.objective.task_losses(logits, part.labels, part.domains, part.counts)
            parameters = list(head.parameters())
            gradients, *at_head = torch.autograd.grad(losses.sum(), [rotated, *parameters])
            add_to_grad(parameters, at_head, len(losses))
            doing = f"from task gradients {list(gradients.shape)} on the features to one"
            combined = self._ask(self.method.combine, [gradients, rotations], features.shape, doing)
            features.backward(combined.detach().to(features.dtype))
            doing = "from task gradients on the features to a scalar for the rotations"
            self._ask(self.method.rotation_loss, [gradients, rotations], (), doing).backward()
            total += losses.detach()
            at_features = torch.maximum(at_features, gradients.abs().amax((1, 2)))
        self._numbers = (total, at_features)
        return total[~absent].mean()

    def _rotations(self) -> Tensor:
        size = cast("int", models.head(self.network).in_features)
        return self._ask(self.method.rotations, [], (self.num_tasks, size, size), "for the rotations of the features")

    def evaluated_network(self, domain: str) -> Network:
        """The network with the features of a domain's tasks rotated."""
        return functools.partial(self._rotated_logits, number=self.objective.domains.index(domain))

    def _rotated_logits(self, images: Tensor, number: int) -> Any:
        rotated = self.method.rotate(models.features(self.network, images), self._rotations())
        domains = torch.full((len(images),), number, device=self.device)
        return self.objective.select(models.head(self.network)(rotated), domains)


class GradientStep(MethodStep):
    """Gradient-based methods: the tasks' gradients on the shared parameters become one.

    With accumulation conflicts are resolved after it (``resolve: after``: one Jacobian of the whole batch is kept) or
    in every micro-batch (``micro``: noisier, appendix 5.1).

    Args:
        network: See :class:`MethodStep`, as for the others.
        forward: Not used: task gradients are computed through the network itself.
        objective: Losses.
        method: The run's method.
        recipe: Number of micro-batches, and where conflicts are resolved.
        device: Where to train.
        autocast: Makes the context of forward passes.
        name: Name of the method.
    """

    method: GradientMethod

    def __init__(
        self,
        network: nn.Module,
        forward: Network,
        objective: Objective,
        method: GradientMethod,
        recipe: Recipe,
        device: torch.device,
        autocast: Callable[[], contextlib.AbstractContextManager],
        name: str = "",
    ) -> None:
        super().__init__(network, forward, objective, method, recipe, device, autocast, name)
        self.task_gradients = TaskGradients(
            network, objective, autocast, method.include_heads, recipe.gradients_at_once
        )
        self._resolve = recipe.resolve
        self._jacobian = torch.zeros(self.num_tasks, self.task_gradients.size, device=device)
        self._losses = torch.zeros(self.num_tasks, device=device)

    def _watched(self) -> list[Watched]:
        *losses, _ = super()._watched()
        return [
            *losses,
            *(Watched(f"the gradient of task '{task}'") for task in self.objective.tasks),
            Watched("the gradient", self.name),
        ]

    def __call__(self, batch: Batch, weights: Sequence[float], index: int, seed: int) -> Tensor:
        """Set the gradient of a batch; returns the mean loss over tasks that have something in it."""
        parts = batch.micro_batches(self.num_micro_batches)
        self._losses.zero_()
        combined = torch.zeros_like(self._jacobian[0])
        at_first_layer = torch.zeros(self.num_tasks, device=self.device)
        groups = [[p] for p in parts] if self._resolve == "micro" else [parts]
        for number, group in enumerate(groups):
            self._jacobian.zero_()
            for part in group:
                self.task_gradients.add(part, self._jacobian, self._losses)
            at_first_layer = torch.maximum(at_first_layer, self.task_gradients.at_first_layer(self._jacobian))
            # A task that has nothing in these images has no gradient, which is not a gradient of 0: zero is the point
            # of smallest norm in any hull that contains it.
            counts = self.objective.counts(part.labels, part.domains) if self._resolve == "micro" else batch.counts
            with self._draws(seed + number):
                combined += self._combined(self._jacobian[~self.objective.absent(counts)])
        offset = 0
        for parameter in self.task_gradients.shared:
            parameter.grad = combined[offset : offset + parameter.numel()].view_as(parameter)
            offset += parameter.numel()
        self._numbers = (self._losses, at_first_layer)
        return self._losses[~self.objective.absent(batch.counts)].mean()

    def _combined(self, jacobian: Tensor) -> Tensor:
        doing = f"from task gradients {list(jacobian.shape)} to one gradient"
        return self._ask(self.method, [jacobian], jacobian.shape[1:], doing).detach()


#: Kind of a method, as it declares it -> its step.
STEPS: dict[str, type[MethodStep]] = {
    "constant": ConstantStep,
    "searched": ConstantStep,
    "loss": LossStep,
    "gradient": GradientStep,
    "feature": FeatureStep,
}


def build_method(
    name: str, options: MethodOptions | None, num_tasks: int, network: nn.Module, device: torch.device
) -> Method | None:
    """The method of a run, on the device; None if it only sets weights.

    Args:
        name: Name of the method.
        options: Its options.
        num_tasks: Number of tasks.
        network: The network that it is for.
        device: Where to train.
    """
    info = methods.load(name)
    if info.build is None:
        return None
    method = info.build(options, num_tasks)
    if info.kind == "feature":
        cast("FeatureMethod", method).set_features(cast("int", models.head(network).in_features))
    return method.to(device)
