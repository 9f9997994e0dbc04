"""What every objective has: losses per task, metrics per task, and how scalarization weights act on both."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scalarization.data.base import Data

#: From images [B, C, H, W] to logits [B, outputs]; dense prediction: to one map [B, c_t, H, W] per task.
Network = Callable[[Tensor], Any]
#: Task -> metric -> value.
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """What the evaluation of some images gave.

    Attributes:
        metrics: By task; all of them are NaN unless ``finite``.
        finite: Whether all predictions and all losses were finite.
    """

    metrics: Metrics
    finite: bool


class Objective(ABC):
    """Losses and metrics of one task set.

    Attributes:
        tasks: Its tasks or domains, in the order of the weights.
        domains: Domains that images are drawn from, with the probabilities that :meth:`sampling` returns.
        outputs: Number of logits; dense prediction: task -> channels of its map.
        metrics: Names of a task's metrics.
    """

    metrics: ClassVar[tuple[str, ...]]
    tasks: list[str]
    domains: list[str]
    outputs: int | Mapping[str, int]

    @abstractmethod
    def sampling(self, weights: Sequence[float]) -> tuple[float, ...]:
        """Sampling probability of each domain under scalarization weights (one per task)."""

    @abstractmethod
    def loss(self, logits: Any, labels: Tensor, weights: Sequence[float]) -> Tensor:
        """The scalarized loss of a batch."""

    def part_loss(
        self, logits: Any, labels: Tensor, weights: Sequence[float], counts: Tensor, fraction: float
    ) -> Tensor:
        """What a micro-batch adds to the scalarized loss of its batch.

        Args:
            logits: Predictions for the micro-batch, as :meth:`loss` takes them.
            labels: Labels of the micro-batch.
            weights: One per task.
            counts: As :meth:`task_losses` takes them.
            fraction: Images of the micro-batch over images of the batch.
        """
        return self.loss(logits, labels, weights) * fraction

    def counts(self, labels: Tensor, domains: Tensor) -> Tensor:
        """Denominators of the means over a whole batch: the number of images of each domain [D]."""
        return torch.bincount(domains, minlength=len(self.domains))

    def absent(self, counts: Tensor) -> Tensor:
        """Which tasks have nothing in a batch [T]; none of them if all have nothing.

        Args:
            counts: As :meth:`counts` returned them for the whole batch.
        """
        absent = counts == 0
        return absent & ~absent.all()

    @abstractmethod
    def task_losses(self, logits: Any, labels: Tensor, domains: Tensor, counts: Tensor) -> Tensor:
        """One loss per task [T], each without its weight.

        Args:
            logits: Predictions, float [B, outputs] or one map per task.
            labels: As the data give them, [B] or [B, A]; dense prediction: [B, sum of channels, H, W].
            domains: Number of each image's domain [B].
            counts: As :meth:`counts` returned them for the whole batch; a micro-batch adds its part of that mean.
        """

    @abstractmethod
    def columns(self, task: int) -> slice:
        """Which logits belong to a task's own head; all of them if the tasks share one."""

    @abstractmethod
    def select(self, logits: Any, domains: Tensor) -> Any:
        """From the head's output on each task's own features [T, B, outputs] to the logits that count [B, outputs]."""

    def evaluate(self, network: Network, data: Data, domain: str, start: int, size: int) -> Evaluation:
        """Evaluate ``size`` images of a domain from row ``start``. The network must be in evaluation mode.

        The class of the largest of some logits is class 0 if they are NaN, and NaN is not above 0: so predictions that
        are not finite would score like guesses, if their metrics were not made NaN here.
        """
        checked = _Checked(network)
        metrics = self._evaluate(checked, data, domain, start, size)
        # An unknown metric is NaN; an infinite one is a loss that overflowed, though all predictions were finite.
        overflowed = any(math.isinf(value) for of_task in metrics.values() for value in of_task.values())
        if checked.finite and not overflowed:
            return Evaluation(metrics, True)
        return Evaluation(self.undefined(domain), False)

    @abstractmethod
    def _evaluate(self, network: Network, data: Data, domain: str, start: int, size: int) -> Metrics:
        """The metrics of :meth:`evaluate`, if all predictions are finite."""

    def undefined(self, domain: str) -> Metrics:
        """The metrics of an evaluation on a domain, all NaN."""
        return {task: dict.fromkeys(self.metrics, math.nan) for task in self.evaluated_tasks(domain)}

    def evaluated_tasks(self, domain: str) -> list[str]:
        """Tasks that an evaluation on a domain has metrics of."""
        return self.tasks

    def examples(self, network: Network, data: Data, defined: bool = True) -> list[dict[str, Any]]:
        """Predictions to be looked at, one row each; none unless the objective has some.

        Args:
            network: In evaluation mode.
            data: The images.
            defined: Whether the predictions are shown; if not, because the run diverged, they are NaN.
        """
        return []


class _Checked:
    """A network, and whether all of its predictions were finite."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._finite: list[Tensor] = []

    def __call__(self, images: Tensor) -> Any:
        predictions = self._network(images)
        maps = [predictions] if isinstance(predictions, Tensor) else predictions
        self._finite += [m.isfinite().all() for m in maps]
        return predictions

    @property
    def finite(self) -> bool:
        """Whether all predictions so far were finite; waits for the device."""
        return bool(torch.stack(self._finite).all())
