"""What a benchmark's setting makes of logits and labels: losses per task for training, metrics per task for reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scalarization.data.device import DeviceData

#: Images per forward pass in evaluation; a fixed number, because it may change the last bits of a sum.
BATCH = 500


class Objective(ABC):
    """Losses and metrics of one task set.

    Attributes:
        tasks: Its members, in the order of the weights.
        domains: Domains that images are drawn from, each with the sampling weights that :meth:`sampling` returns.
        outputs: Number of logits; dense prediction: task -> channels of its map.
    """

    tasks: list[str]
    domains: list[str]
    outputs: Any

    @abstractmethod
    def sampling(self, weights: Sequence[float]) -> tuple[float, ...]:
        """Sampling probability of each domain under scalarization weights (one per task)."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
        """The scalarized loss of a batch."""

    def part_loss(
        self, logits: Tensor, labels: Tensor, weights: Sequence[float], counts: Tensor, share: float
    ) -> Tensor:
        """What a micro-batch adds to the scalarized loss of its batch.

        Args:
            logits: As :meth:`loss` takes them.
            labels: Of the micro-batch.
            weights: One per task.
            counts: As :meth:`task_losses` takes them.
            share: Of the batch's images, those in the micro-batch.
        """
        return self.loss(logits, labels, weights) * share

    def counts(self, labels: Tensor, domains: Tensor) -> Tensor:
        """What the means of a whole batch are taken over: images of each domain [D]."""
        return torch.bincount(domains, minlength=len(self.domains))

    @abstractmethod
    def task_losses(self, logits: Tensor, labels: Tensor, domains: Tensor, counts: Tensor) -> Tensor:
        """One loss per task [T], each without its weight.

        Args:
            logits: float [B, outputs].
            labels: As the data give them, [B] or [B, A].
            domains: Number of each image's domain [B].
            counts: What :meth:`counts` found in the whole batch; a micro-batch adds its part of that mean.
        """

    @abstractmethod
    def columns(self, task: int) -> slice:
        """Which logits belong to a task's own head; all of them if the tasks share one."""

    @abstractmethod
    def select(self, logits: Tensor, domains: Tensor) -> Tensor:
        """From the head's output on each task's own features [T, B, outputs] to the logits that count [B, outputs]."""

    @abstractmethod
    def evaluate(
        self, network: Callable[[Tensor], Tensor], data: DeviceData, domain: str, start: int, size: int
    ) -> dict[str, dict[str, float]]:
        """Metrics of ``size`` images from row ``start``, by task. The network must be in evaluation mode."""


class DomainObjective(Objective):
    """Multi-domain learning: weights are sampling probabilities, the loss is unweighted (paper A 1.1).

    Args:
        domains: Members of the task set.
        classes: Number of classes, shared by all domains.
    """

    def __init__(self, domains: Sequence[str], classes: int) -> None:
        self.tasks = self.domains = list(domains)
        self.outputs = classes

    def sampling(self, weights: Sequence[float]) -> tuple[float, ...]:
        """The weights themselves."""
        return tuple(weights)

    def loss(self, logits: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
        """Mean cross-entropy over the batch, whatever the domains."""
        return functional.cross_entropy(logits, labels)

    def task_losses(self, logits: Tensor, labels: Tensor, domains: Tensor, counts: Tensor) -> Tensor:
        """Each domain's loss is the mean over its images; 0 for a domain without any."""
        losses = functional.cross_entropy(logits, labels, reduction="none")
        sums = torch.zeros(len(self.tasks), dtype=losses.dtype, device=losses.device).index_add(0, domains, losses)
        return sums / counts.clamp(min=1)

    def columns(self, task: int) -> slice:
        """All: one classifier is shared by the domains."""
        return slice(0, self.outputs)

    def select(self, logits: Tensor, domains: Tensor) -> Tensor:
        """Each image's logits are those of its domain."""
        return logits[domains, torch.arange(len(domains), device=domains.device)]

    @torch.inference_mode()
    def evaluate(
        self, network: Callable[[Tensor], Tensor], data: DeviceData, domain: str, start: int, size: int
    ) -> dict[str, dict[str, float]]:
        """Accuracy in percent and mean cross-entropy in nats of one domain."""
        correct = torch.zeros((), dtype=torch.int64, device=data.labels.device)
        loss = torch.zeros((), dtype=torch.float64, device=data.labels.device)
        for rows in _batches(start, size):
            logits, labels = network(data.normalise(data.images[rows])).float(), data.labels[rows]
            correct += (logits.argmax(1) == labels).sum()
            loss += functional.cross_entropy(logits, labels, reduction="sum").double()
        return {domain: {"accuracy": 100 * correct.item() / size, "loss": loss.item() / size}}


class AttributeObjective(Objective):
    """Multi-task learning of binary attributes; those of a group share one weight.

    L = (G / A) sum_g p_g sum_(a in g) BCE_a with G tasks and A attributes, so that uniform p is the plain mean over
    attributes. The loss of a task for the other methods is its summand without p_g.

    Args:
        domain: Name of the one set of images.
        tasks: Task -> its attributes.
        attributes: All attributes, in the order of the labels' columns.
    """

    def __init__(self, domain: str, tasks: dict[str, Sequence[str]], attributes: Sequence[str]) -> None:
        self.tasks = list(tasks)
        self.domains = [domain]
        wanted = [a for task in tasks.values() for a in task]
        self.outputs = len(wanted)
        self._labels = torch.tensor([list(attributes).index(a) for a in wanted])
        sizes = torch.tensor([len(task) for task in tasks.values()])
        self._task_of = torch.repeat_interleave(torch.arange(len(tasks)), sizes)
        self._sizes = sizes
        ends = torch.cumsum(sizes, 0).tolist()
        self._columns = [slice(end - size, end) for end, size in zip(ends, sizes.tolist(), strict=True)]

    def sampling(self, weights: Sequence[float]) -> tuple[float, ...]:
        """One domain: always 1."""
        return (1.0,)

    def loss(self, logits: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
        """The scalarized loss of the class docstring."""
        per_attribute = torch.tensor(weights, dtype=torch.float64)[self._task_of]
        factor = (per_attribute * len(self.tasks) / self.outputs).to(logits)
        return (self._attribute_losses(logits, labels).mean(0) * factor).sum()

    def task_losses(self, logits: Tensor, labels: Tensor, domains: Tensor, counts: Tensor) -> Tensor:
        """(G / A) times the sum of a task's binary cross-entropies, each a mean over the whole batch."""
        sums = self._attribute_losses(logits, labels).sum(0) / counts.sum()
        zeros = torch.zeros(len(self.tasks), dtype=sums.dtype, device=sums.device)
        return zeros.index_add(0, self._task_of.to(sums.device), sums) * (len(self.tasks) / self.outputs)

    def columns(self, task: int) -> slice:
        """The logits of a task's attributes."""
        return self._columns[task]

    def select(self, logits: Tensor, domains: Tensor) -> Tensor:
        """Each task's columns are those of its own features."""
        return torch.cat([logits[task][:, columns] for task, columns in enumerate(self._columns)], 1)

    def _attribute_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        wanted = labels[:, self._labels.to(labels.device)].to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")

    @torch.inference_mode()
    def evaluate(
        self, network: Callable[[Tensor], Tensor], data: DeviceData, domain: str, start: int, size: int
    ) -> dict[str, dict[str, float]]:
        """Means over each task's attributes: accuracy and balanced accuracy in percent, cross-entropy in nats.

        Balanced accuracy of an attribute is the mean of its accuracies on positives and on negatives.
        """
        device = data.labels.device
        counts = torch.zeros(3, self.outputs, dtype=torch.int64, device=device)
        loss = torch.zeros(self.outputs, dtype=torch.float64, device=device)
        for rows in _batches(start, size):
            logits = network(data.normalise(data.images[rows])).float()
            loss += self._attribute_losses(logits, data.labels[rows]).sum(0).double()
            truth = data.labels[rows][:, self._labels.to(device)].bool()
            right = (logits > 0) == truth
            counts += torch.stack([(right & truth).sum(0), (right & ~truth).sum(0), truth.sum(0)])
        true_positive, true_negative, positive = (c.double() for c in counts)
        metrics = {
            "accuracy": 100 * (true_positive + true_negative) / size,
            "balanced_accuracy": 50 * (true_positive / positive + true_negative / (size - positive)),
            "loss": loss / size,
        }
        return {
            task: {name: values[self.columns(number)].mean().item() for name, values in metrics.items()}
            for number, task in enumerate(self.tasks)
        }


def _batches(start: int, size: int) -> list[slice]:
    return [slice(first, min(first + BATCH, start + size)) for first in range(start, start + size, BATCH)]
