"""What every objective has: losses per task, metrics per task, and how scalarization weights act on both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scalarization.data.base import Data

#: From images [B, C, H, W] to logits [B, outputs]; dense prediction: to one map [B, c_t, H, W] per task.
Network = Callable[[Tensor], Any]


class Objective(ABC):
    """Losses and metrics of one task set.

    Attributes:
        tasks: Its tasks or domains, in the order of the weights.
        domains: Domains that images are drawn from, with the probabilities that :meth:`sampling` returns.
        outputs: Number of logits; dense prediction: task -> channels of its map.
    """

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

    @abstractmethod
    def evaluate(self, network: Network, data: Data, domain: str, start: int, size: int) -> dict[str, dict[str, float]]:
        """Metrics of ``size`` images from row ``start``, by task. The network must be in evaluation mode."""

    def examples(self, network: Network, data: Data) -> list[dict[str, Any]]:
        """Predictions to be looked at, one row each; none unless the objective has some."""
        return []
