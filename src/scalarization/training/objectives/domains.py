"""Multi-domain learning: one classifier for all domains; weights are sampling probabilities (appendix 1.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scalarization.data.base import Data
from scalarization.training.objectives.base import Metrics, Network, Objective

#: Images per forward pass in evaluation; a fixed number, because it may change the last bits of a sum.
BATCH = 500


class DomainObjective(Objective):
    """Multi-domain learning: weights are sampling probabilities, the loss is unweighted (appendix 1.1).

    Args:
        domains: The domains that are trained jointly.
        classes: Number of classes, shared by all domains.
    """

    metrics = ("accuracy", "loss")

    def __init__(self, domains: Sequence[str], classes: int) -> None:
        self.tasks = self.domains = list(domains)
        self.classes = self.outputs = classes

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
        return slice(0, self.classes)

    def select(self, logits: Tensor, domains: Tensor) -> Tensor:
        """Each image's logits are those of its domain."""
        return logits[domains, torch.arange(len(domains), device=domains.device)]

    @torch.inference_mode()
    def _evaluate(self, network: Network, data: Data, domain: str, start: int, size: int) -> Metrics:
        """Accuracy in percent and mean cross-entropy in nats of one domain."""
        correct = torch.zeros((), dtype=torch.int64, device=data.device)
        loss = torch.zeros((), dtype=torch.float64, device=data.device)
        for images, labels in data.evaluation_batches(start, size, BATCH):
            logits = network(images).float()
            correct += (logits.argmax(1) == labels).sum()
            loss += functional.cross_entropy(logits, labels, reduction="sum").double()
        return {domain: {"accuracy": 100 * correct.item() / size, "loss": loss.item() / size}}

    def evaluated_tasks(self, domain: str) -> list[str]:
        """The domain itself, which need not be one of those that are trained."""
        return [domain]
