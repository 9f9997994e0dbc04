"""Counting of gradient conflicts while a model trains with uniform weights (paper A 3).

Two task gradients on the shared parameters conflict if and only if their cosine is strictly negative (PCGrad's
definition). They are taken at every counted step on the batch that the step trains on, at the parameters at which its
own gradient is taken, through the same stochastic depth:

- Multi-task learning, and multi-domain learning with BatchNorm: T backward passes through the graph of the training
  step's own forward pass, (3 + 2 T) / 3 steps in all. Nothing is forwarded twice, so running statistics stay as they
  are.
- Multi-domain learning without BatchNorm: one gradient per domain, from the images of that domain in the batch, since
  these are what is trained on and no other image need be drawn. The batch is split by domain, which costs about one
  step more, whatever T is.

With accumulation a task's gradient is that of the whole batch, the sum over micro-batches: conflicts in a micro-batch
would be those of another batch size, and uniform weights resolve nothing, so that ``resolve`` does not matter here.

The network's parameters, their ``.grad`` and the random state come out as without counting, bit for bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from scalarization import models
from scalarization.data.device import DeviceData
from scalarization.experiments import Cell, Member
from scalarization.storage import QUALITY
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.loop import GradientStep, Trainer

#: Columns of the Jacobian that are held in float64 at once.
COLUMNS = 1 << 14


def gramian(jacobian: Tensor) -> Tensor:
    """Scalar products of task gradients, summed in float64: [T, P] -> float64 [T, T]."""
    total = torch.zeros(len(jacobian), len(jacobian), dtype=torch.float64, device=jacobian.device)
    for part in jacobian.split(COLUMNS, dim=1):
        part = part.double()
        total.addmm_(part, part.T)
    return total


class ConflictCounts:
    """What was counted since the beginning of an epoch.

    Args:
        tasks: Number of tasks T.
        device: Where the gradients are; nothing is moved from it before :meth:`row`.
    """

    def __init__(self, tasks: int, device: torch.device) -> None:
        integers = {"dtype": torch.int64, "device": device}
        reals = {"dtype": torch.float64, "device": device}
        #: Times that both gradients of a pair were there and conflicted, that both were there, sum of their cosines.
        self.conflicts = torch.zeros(tasks, tasks, **integers)
        self.steps = torch.zeros(tasks, tasks, **integers)
        self.cosine = torch.zeros(tasks, tasks, **reals)
        #: Times that a task's gradient was there, and sum of its norms.
        self.present = torch.zeros(tasks, **integers)
        self.norm = torch.zeros(tasks, **reals)
        #: Counted steps.
        self.counted = torch.zeros((), **integers)

    def add(self, gram: Tensor) -> None:
        """Count one step.

        A gradient that is zero (its domain is absent from the batch) or not finite has no cosine: its pairs neither
        conflict nor agree.

        Args:
            gram: Scalar products of the tasks' gradients, float64 [T, T].
        """
        norm = gram.diagonal().sqrt()
        there = norm.isfinite() & (norm > 0)
        both = there[:, None] & there
        self.conflicts += both & (gram < 0)
        self.steps += both
        self.cosine += torch.where(both, gram / (norm[:, None] * norm), 0.0)
        self.present += there
        self.norm += torch.where(there, norm, 0.0)
        self.counted += 1

    def row(self) -> dict[str, Any]:
        """Lists, those of pairs in the order (0, 1), (0, 2), ..., (1, 2), ...

        Returns:
            By pair ``conflicts``; ``steps``, those in which both gradients were there; ``zero``, those in which one
            was not; ``mean_cosine`` over ``steps``, None if there are none. By task ``norm``, the mean over steps in
            which it was there, None if there are none.
        """
        first, second = torch.triu_indices(len(self.norm), len(self.norm), 1, device=self.norm.device)
        steps = self.steps[first, second]
        return {
            "conflicts": self.conflicts[first, second].tolist(),
            "steps": steps.tolist(),
            "zero": (self.counted - steps).tolist(),
            "mean_cosine": _means(self.cosine[first, second], steps),
            "norm": _means(self.norm, self.present),
        }

    def reset(self) -> None:
        """Begin another epoch."""
        for tensor in vars(self).values():
            tensor.zero_()

    def state(self) -> dict[str, Tensor]:
        """Everything from which counting goes on."""
        return dict(vars(self))

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what :meth:`state` returned.

        Raises:
            KeyError: Something is missing.
            ValueError: It is of another number of tasks.
        """
        for name, tensor in vars(self).items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"counts of {len(state['norm'])} tasks, not {len(self.norm)}")
            tensor.copy_(state[name])


class CountingStep(GradientStep):
    """The training step of uniform scalarization, which takes the tasks' gradients beside its own.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: CountingTrainer) -> None:
        super().__init__(trainer)
        self.task_gradients = TaskGradients(
            trainer.network, trainer.objective, trainer.autocast, at_once=trainer.recipe["gradients_at_once"]
        )
        tasks = len(trainer.cell.tasks)
        self.counts = ConflictCounts(tasks, trainer.device)
        self._every = trainer.cell.specification["conflicts"]["every"]
        self._jacobian = torch.zeros(tasks, self.task_gradients.size, device=trainer.device)
        self._losses = torch.zeros(tasks, device=trainer.device)
        self._counting = False
        self._features: Tensor | None = None

    def __call__(self, batch: Batch, seed: int) -> Tensor:
        """Gradient of a batch, as without counting; every k-th step of an epoch is counted, from its first on."""
        self._counting = self.trainer.step % self.trainer.steps_per_epoch % self._every == 0
        if not self._counting:
            return super().__call__(batch, seed)
        self._jacobian.zero_()
        if self.task_gradients.split_by_domain:
            # Before the training step, so that the two do not hold their graphs at the same time.
            self._add_by_domain(batch.micro_batches(self.micro_batches) if self.micro_batches > 1 else [batch])
        loss = super().__call__(batch, seed)
        self._features = None
        self.counts.add(gramian(self._jacobian))
        return loss

    def forward(self, images: Tensor) -> Tensor:
        """The network's logits; keeps what :meth:`observe` needs of this forward pass."""
        network = self.trainer.network
        if not self._counting or self.task_gradients.split_by_domain:
            return network(images)
        self._features = models.features(network, images)
        return models.head(network)(self._features)

    def observe(self, part: Batch, logits: Tensor) -> None:
        """Add the tasks' gradients of a (micro-)batch through the training step's own graph."""
        if not self._counting or self.task_gradients.split_by_domain:
            return
        with self.trainer.autocast():
            losses = self.trainer.objective.task_losses(logits, part.labels, part.domains, part.counts)
        self.task_gradients.add_from(self._features, losses, self._jacobian)

    def _add_by_domain(self, parts: list[Batch]) -> None:
        device = self.trainer.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for part in parts:
                # Every domain's pass draws as much as the training step's pass over the whole part will.
                random = _random_state(device)
                for domain in part.domains.unique().tolist():
                    _set_random_state(random, device)
                    with stochastic_depth_of(self.trainer.network, len(part.images), part.domains == domain):
                        self.task_gradients.add(part.only(domain), self._jacobian, self._losses)


class CountingTrainer(Trainer):
    """A run of uniform scalarization that counts conflicts. Its rows are one per epoch, see :meth:`evaluate_epoch`.

    Args:
        cell: Specification, with ``conflicts``.
        member: Weights and seed.
        data: Images of at least the cell's domains.
        device: Where to train.
    """

    def __init__(self, cell: Cell, member: Member, data: DeviceData, device: torch.device) -> None:
        super().__init__(cell, member, data, device)
        self.gradients = CountingStep(self)
        self.forward = self.gradients.forward

    def evaluate_epoch(self) -> None:
        """Add the row of the epoch that has just ended.

        It has ``epoch``, ``train_loss`` (mean over its batches), ``metric`` and ``validation`` (average over tasks on
        the validation split), and what :meth:`ConflictCounts.row` returns.
        """
        began = time.perf_counter()
        found = self.validate()
        metric = next(m for m in QUALITY if all(m in values for values in found.values()))
        self.rows.append(
            {
                "epoch": self.epoch,
                "train_loss": self.mean_loss,
                "metric": metric,
                "validation": sum(values[metric] for values in found.values()) / len(found),
                **self.gradients.counts.row(),
            }
        )
        self.gradients.counts.reset()
        self.loss_sum.zero_()
        self.loss_steps = 0
        self.evaluation_seconds += time.perf_counter() - began

    def extra_state(self) -> dict[str, Any]:
        """The counts of the epoch that is not finished."""
        return {"conflicts": self.gradients.counts.state()}

    def load_extra_state(self, content: dict[str, Any]) -> None:
        """Take back what :meth:`extra_state` returned."""
        self.gradients.counts.load_state(content["conflicts"])


@contextlib.contextmanager
def stochastic_depth_of(network: nn.Module, size: int, rows: Tensor) -> Iterator[None]:
    """Make stochastic depth draw as for a whole batch and apply what falls on some of its images.

    Args:
        network: Is given these images only.
        size: Images in the whole batch.
        rows: Which of them [size], true or false.
    """
    layers = [m for m in network.modules() if isinstance(m, DropPath)]

    def of_whole(layer: DropPath, images: Tensor) -> Tensor:
        ones = images.new_ones((size, *[1] * (images.ndim - 1)))
        return images * DropPath.forward(layer, ones)[rows]

    for layer in layers:
        layer.forward = lambda images, layer=layer: of_whole(layer, images)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _means(sums: Tensor, counts: Tensor) -> list[float | None]:
    return [s / n if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]


def _random_state(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
