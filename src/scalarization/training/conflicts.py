"""Counting of gradient conflicts while a model trains with uniform weights (appendix 3).

Two task gradients on the shared parameters conflict if and only if their cosine is strictly negative (PCGrad's
definition). At every counted step they are those of the batch that the step trains on, at the parameters at which the
step's own gradient is computed, through the same stochastic depth:

- Multi-task learning, and multi-domain learning with BatchNorm: T backward passes through the graph of the training
  step's own forward pass, (3 + 2 T) / 3 steps in all. There is no second forward pass, so running statistics stay as
  they are.
- Multi-domain learning without BatchNorm: one gradient per domain, from the images of that domain in the batch; no
  other images are drawn. The batch is split by domain, which takes about one step more, whatever T is.

With accumulation a task's gradient is that of the whole batch, the sum over micro-batches: conflicts in a micro-batch
would be those of another batch size. Uniform weights resolve no conflicts, so the recipe's ``resolve`` has no effect.

Parameters, their ``.grad`` and the random state are the same as without counting, bit for bit.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from scalarization import models
from scalarization.config import Recipe
from scalarization.methods.jacobian import gramian
from scalarization.storage import QUALITY
from scalarization.training.divergence import Watched
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.loop import Trainer
from scalarization.training.objectives import Objective
from scalarization.training.randomness import forked, get_global_state, set_global_state
from scalarization.training.steps import ConstantStep


class ConflictCounts:
    """Counts and sums since the beginning of an epoch.

    A gradient is *present* in a step if its norm is finite and positive.

    Args:
        num_tasks: Number of tasks T.
        device: Where the gradients are; nothing is moved from it before :meth:`row`.
    """

    def __init__(self, num_tasks: int, device: torch.device) -> None:
        #: By pair [T, T]: steps in which both gradients were present and conflicted; steps in which both were present;
        #: sum of their cosines over these.
        self.conflicts = torch.zeros(num_tasks, num_tasks, dtype=torch.int64, device=device)
        self.steps = torch.zeros(num_tasks, num_tasks, dtype=torch.int64, device=device)
        self.cosine = torch.zeros(num_tasks, num_tasks, dtype=torch.float64, device=device)
        #: By task [T]: steps in which its gradient was present; sum of its norms over these.
        self.present = torch.zeros(num_tasks, dtype=torch.int64, device=device)
        self.norm = torch.zeros(num_tasks, dtype=torch.float64, device=device)
        #: Number of counted steps.
        self.counted = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, gram: Tensor) -> None:
        """Count one step.

        A gradient that is zero (its domain is absent from the batch) or not finite has no cosine: its pairs are not
        counted in ``steps``.

        Args:
            gram: Scalar products of the tasks' gradients, float64 [T, T].
        """
        norm = gram.diagonal().sqrt()
        present = norm.isfinite() & (norm > 0)
        both = present[:, None] & present
        self.conflicts += both & (gram < 0)
        self.steps += both
        self.cosine += torch.where(both, gram / (norm[:, None] * norm), 0.0)
        self.present += present
        self.norm += torch.where(present, norm, 0.0)
        self.counted += 1

    def row(self) -> dict[str, Any]:
        """The counts as lists; pairs are in the order (0, 1), (0, 2), ..., (1, 2), ...

        Returns:
            By pair: ``conflicts``; ``steps``, the steps in which both gradients were present; ``zero``, those in which
            one was not; ``mean_cosine`` over ``steps``, None without any. By task: ``norm``, the mean over the steps
            in which the gradient was present, None without any.
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

    def undefined(self) -> dict[str, Any]:
        """What :meth:`row` returns, for an epoch in which the run diverged: counts are None, means NaN."""
        num_tasks = len(self.norm)
        num_pairs = num_tasks * (num_tasks - 1) // 2
        means = {"mean_cosine": [math.nan] * num_pairs, "norm": [math.nan] * num_tasks}
        return {**dict.fromkeys(("conflicts", "steps", "zero"), [None] * num_pairs), **means}

    def reset(self) -> None:
        """Begin another epoch: set everything to 0."""
        for tensor in vars(self).values():
            tensor.zero_()

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        return dict(vars(self))

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Resume from what :meth:`state` returned.

        Raises:
            KeyError: Something is missing.
            ValueError: The counts are of another number of tasks.
        """
        for name, tensor in vars(self).items():
            if state[name].shape != tensor.shape:
                raise ValueError(f"counts of {len(state['norm'])} tasks, not {len(self.norm)}")
            tensor.copy_(state[name])


class CountingStep(ConstantStep):
    """The training step of uniform scalarization, which also computes the tasks' gradients.

    Args:
        network: The network; it is not compiled, since features and head are called apart.
        objective: Losses.
        recipe: Number of micro-batches, and of task gradients in one batched pass.
        device: Where to train.
        autocast: Makes the context of forward passes.
        every: Steps from one counted step of an epoch to the next; the first step of an epoch is counted.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        recipe: Recipe,
        device: torch.device,
        autocast: Callable[[], contextlib.AbstractContextManager],
        every: int,
    ) -> None:
        super().__init__(network, network, objective, None, recipe, device, autocast)
        self.task_gradients = TaskGradients(network, objective, autocast, at_once=recipe.gradients_at_once)
        self.counts = ConflictCounts(self.num_tasks, device)
        self._every = every
        self._jacobian = torch.zeros(self.num_tasks, self.task_gradients.size, device=device)
        self._losses = torch.zeros(self.num_tasks, device=device)
        self._not_counted = torch.zeros(self.num_tasks, device=device)
        self._counts_this_step = False
        self._features: Tensor | None = None

    def _watched(self) -> list[Watched]:
        loss, gradient = super()._watched()
        return [loss, *(Watched(f"the gradient of task '{task}'") for task in self.objective.tasks), gradient]

    def __call__(self, batch: Batch, weights: Sequence[float], index: int, seed: int) -> Tensor:
        """Add the gradient of a batch, as without counting, and count its conflicts if it is the step's turn."""
        self._counts_this_step = index % self._every == 0
        if not self._counts_this_step:
            loss = super().__call__(batch, weights, index, seed)
            self._numbers = (*self._numbers, self._not_counted)
            return loss
        self._jacobian.zero_()
        if self.task_gradients.split_by_domain:
            # Before the training step, so that the two do not hold their graphs at the same time.
            self._add_by_domain(batch.micro_batches(self.num_micro_batches))
        loss = super().__call__(batch, weights, index, seed)
        self._features = None
        self.counts.add(gramian(self._jacobian))
        self._numbers = (*self._numbers, self.task_gradients.at_first_layer(self._jacobian))
        return loss

    @property
    def _uses_training_graph(self) -> bool:
        return self._counts_this_step and not self.task_gradients.split_by_domain

    def predict(self, images: Tensor) -> Any:
        """The network's predictions; keeps the features for :meth:`before_backward`."""
        if not self._uses_training_graph:
            return self.network(images)
        self._features = models.features(self.network, images)
        return models.head(self.network)(self._features)

    def before_backward(self, part: Batch, logits: Any) -> None:
        """Add the tasks' gradients of a (micro-)batch through the training step's own graph."""
        if not self._uses_training_graph or self._features is None:
            return
        with self.autocast():
            losses = self.objective.task_losses(logits, part.labels, part.domains, part.counts)
        self.task_gradients.add_from(self._features, losses, self._jacobian)

    def _add_by_domain(self, parts: list[Batch]) -> None:
        with forked(self.device):
            for part in parts:
                # Every domain's pass draws as much as the training step's pass over the whole part will.
                states = get_global_state(self.device)
                for domain in part.domains.unique().tolist():
                    set_global_state(self.device, states)
                    with stochastic_depth_of(self.network, len(part.images), part.domains == domain):
                        self.task_gradients.add(part.only(domain), self._jacobian, self._losses)

    def state(self) -> dict[str, Any]:
        """The counts of the epoch that is not finished."""
        return self.counts.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` returned."""
        self.counts.load_state(state)


class CountingTrainer(Trainer):
    """A run of uniform scalarization that counts conflicts. It has one row per epoch, see :meth:`evaluate_epoch`.

    Arguments are those of :class:`Trainer`; the cell's specification has ``count_every``.
    """

    method_step: CountingStep

    def build_step(self) -> CountingStep:
        """The step that counts."""
        every = self.cell.specification.count_every or 1
        return CountingStep(self.network, self.objective, self.recipe, self.device, self.autocast, every)

    def evaluate_epoch(self) -> None:
        """Add the row of the epoch that has just ended.

        It has ``epoch``, ``train_loss`` (mean over its batches), ``metric`` and ``validation`` (average over tasks on
        the validation split), and what :meth:`ConflictCounts.row` returns. If the epoch was not finite, its counts are
        None and all else is NaN: gradients that are not finite cannot conflict, so the rest of them would look valid.
        """
        began = time.perf_counter()
        validation = self.validate()
        counts = self.method_step.counts
        metric = next(m for m in QUALITY if all(m in metrics for metrics in validation.values()))
        self.rows.append(
            {
                "epoch": self.epoch,
                "train_loss": self.take_mean_loss(),
                "metric": metric,
                "validation": sum(metrics[metric] for metrics in validation.values()) / len(validation),
                **(counts.row() if self.diverged is None else counts.undefined()),
            }
        )
        counts.reset()
        self.evaluation_seconds += time.perf_counter() - began


@contextlib.contextmanager
def stochastic_depth_of(network: nn.Module, size: int, rows: Tensor) -> Iterator[None]:
    """Make stochastic depth draw for a whole batch and apply the draws of some of its images.

    Args:
        network: The network; inside, it gets these images only.
        size: Number of images in the whole batch.
        rows: Which of them the network gets [size], true or false.
    """
    layers = [m for m in network.modules() if isinstance(m, DropPath)]

    def drop_as_in_whole_batch(layer: DropPath, images: Tensor) -> Tensor:
        ones = images.new_ones((size, *[1] * (images.ndim - 1)))
        return images * DropPath.forward(layer, ones)[rows]

    for layer in layers:
        layer.forward = functools.partial(drop_as_in_whole_batch, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _means(sums: Tensor, counts: Tensor) -> list[float | None]:
    return [s / n if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]
