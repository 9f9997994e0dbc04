"""Multi-task learning of binary attributes: one logit per attribute, one weight per group of attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scalarization.data.base import Data
from scalarization.training.objectives.base import Metrics, Network, Objective

#: Images per forward pass in evaluation; a fixed number, because it may change the last bits of a sum.
BATCH = 500


class AttributeObjective(Objective):
    """Multi-task learning of binary attributes; those of a group share one weight.

    L = (G / A) sum_g p_g sum_(a in g) BCE_a with G tasks and A attributes, so that uniform p is the plain mean over
    attributes. The loss of a task for the other methods is its summand without p_g.

    Args:
        domain: Name of the one set of images.
        tasks: Task -> its attributes.
        attributes: All attributes, in the order of the labels' columns.
    """

    metrics = ("accuracy", "balanced_accuracy", "loss")

    def __init__(self, domain: str, tasks: Mapping[str, Sequence[str]], attributes: Sequence[str]) -> None:
        self.tasks = list(tasks)
        self.domains = [domain]
        trained = [a for task in tasks.values() for a in task]
        self.num_attributes = self.outputs = len(trained)
        self._labels = torch.tensor([list(attributes).index(a) for a in trained])
        sizes = torch.tensor([len(task) for task in tasks.values()])
        self._task_of = torch.repeat_interleave(torch.arange(len(tasks)), sizes)
        ends = torch.cumsum(sizes, 0).tolist()
        self._columns = [slice(end - size, end) for end, size in zip(ends, sizes.tolist(), strict=True)]

    def sampling(self, weights: Sequence[float]) -> tuple[float, ...]:
        """One domain: always 1."""
        return (1.0,)

    def absent(self, counts: Tensor) -> Tensor:
        """No task: every image has all labels."""
        return torch.zeros(len(self.tasks), dtype=torch.bool, device=counts.device)

    def loss(self, logits: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
        """The scalarized loss of the class docstring."""
        per_attribute = torch.tensor(weights, dtype=torch.float64)[self._task_of]
        factor = (per_attribute * len(self.tasks) / self.num_attributes).to(logits)
        return (self._attribute_losses(logits, labels).mean(0) * factor).sum()

    def task_losses(self, logits: Tensor, labels: Tensor, domains: Tensor, counts: Tensor) -> Tensor:
        """(G / A) times the sum of a task's binary cross-entropies, each a mean over the whole batch."""
        sums = self._attribute_losses(logits, labels).sum(0) / counts.sum()
        zeros = torch.zeros(len(self.tasks), dtype=sums.dtype, device=sums.device)
        return zeros.index_add(0, self._task_of.to(sums.device), sums) * (len(self.tasks) / self.num_attributes)

    def columns(self, task: int) -> slice:
        """The logits of a task's attributes."""
        return self._columns[task]

    def select(self, logits: Tensor, domains: Tensor) -> Tensor:
        """Each task's columns are those of its own features."""
        return torch.cat([logits[task][:, columns] for task, columns in enumerate(self._columns)], 1)

    def _attribute_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        targets = labels[:, self._labels.to(labels.device)].to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    @torch.inference_mode()
    def _evaluate(self, network: Network, data: Data, domain: str, start: int, size: int) -> Metrics:
        """Means over each task's attributes: accuracy and balanced accuracy in percent, cross-entropy in nats.

        Balanced accuracy of an attribute is the mean of its accuracies on positives and on negatives.
        """
        device = data.device
        counts = torch.zeros(3, self.num_attributes, dtype=torch.int64, device=device)
        loss = torch.zeros(self.num_attributes, dtype=torch.float64, device=device)
        for images, labels in data.evaluation_batches(start, size, BATCH):
            logits = network(images).float()
            loss += self._attribute_losses(logits, labels).sum(0).double()
            truth = labels[:, self._labels.to(device)].bool()
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
