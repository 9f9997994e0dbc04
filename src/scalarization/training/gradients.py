"""Gradients of the losses of all tasks, at the lowest known cost.

Multi-task learning: every loss depends on every image, so T backward passes through the backbone are needed. The heads
are passed once, and the passes share the forward pass: (1 + 2 T) / 3 steps of uniform scalarization. On a CPU the
passes follow one another, on CUDA they are batched (``torch.vmap``).

Multi-domain learning without BatchNorm: an image belongs to one domain, so the batch is split by domain, and all T
gradients together take about one step. With BatchNorm the split would change the statistics, which belong to the
whole batch: then gradients are computed as in multi-task learning, at the same cost (4.3 steps for six domains).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scalarization import models
from scalarization.methods.base import flatten
from scalarization.training.objectives import Objective


@dataclass
class Batch:
    """A batch, or a micro-batch of one.

    Attributes:
        images: float [B, C, H, W].
        labels: [B] or [B, A]; dense prediction: [B, sum of channels, H, W].
        domains: Number of each image's domain [B].
        counts: Denominators of means over the whole batch, as :meth:`Objective.counts` returns them: images of each
            domain [D]; dense prediction: known values of each task [T].
    """

    images: Tensor
    labels: Tensor
    domains: Tensor
    counts: Tensor

    def micro_batches(self, number: int) -> list[Batch]:
        """Cut into ``number`` parts, whose losses add up to the whole batch's; one part is the batch itself."""
        if number == 1:
            return [self]
        parts = zip(self.images.chunk(number), self.labels.chunk(number), self.domains.chunk(number), strict=True)
        return [Batch(images, labels, domains, self.counts) for images, labels, domains in parts]

    def only(self, domain: int) -> Batch:
        """The images of one domain."""
        rows = (self.domains == domain).nonzero().flatten()
        return Batch(self.images[rows], self.labels[rows], self.domains[rows], self.counts)


class TaskGradients:
    """Computes the gradients of all tasks of a network.

    Args:
        network: A network of :mod:`scalarization.models`.
        objective: Losses.
        autocast: Makes the context of forward passes.
        include_heads: Whether the heads' parameters count as shared.
        at_once: CUDA: number of backward passes in one batch (bounds memory); None: all.

    Attributes:
        shared: Parameters that the task gradients are of.
        size: Their number P.
        split_by_domain: Whether each task's gradient is computed from the images of its domain alone.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        autocast: Callable[[], AbstractContextManager],
        include_heads: bool = False,
        at_once: int | None = None,
    ) -> None:
        self.network, self.objective, self.autocast, self.at_once = network, objective, autocast, at_once
        #: A loop is faster on a CPU, batches are on CUDA (performance/RESULTS.md).
        self.batched = next(network.parameters()).device.type == "cuda"
        self.heads = list(models.head(network).parameters())
        in_head = {id(p) for p in self.heads}
        self.backbone = [p for p in network.parameters() if id(p) not in in_head]
        one_dataset = len(objective.domains) == 1
        # Domains share one classifier: it has no task of its own, so it counts as shared.
        self.heads_shared = include_heads or not one_dataset
        self.shared = self.backbone + self.heads if self.heads_shared else self.backbone
        self.size = sum(p.numel() for p in self.shared)
        normalised = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
        self.split_by_domain = not one_dataset and not normalised

    def add(self, batch: Batch, jacobian: Tensor, losses: Tensor) -> None:
        """Add one (micro-)batch's gradients and losses.

        Gradients of heads that are not shared (their mean over tasks) are added to the parameters' ``.grad``.

        Args:
            batch: The images.
            jacobian: [T, P]; the gradient of L_t on the shared parameters is added to row t.
            losses: [T]; the losses are added.
        """
        if self.split_by_domain:
            self._add_by_domain(batch, jacobian, losses)
        else:
            self._add_by_task(batch, jacobian, losses)

    def _add_by_domain(self, batch: Batch, jacobian: Tensor, losses: Tensor) -> None:
        row = torch.empty_like(jacobian[0])
        for task in range(len(jacobian)):
            part = batch.only(task)
            if len(part.images):
                with self.autocast():
                    logits = self.network(part.images)
                    loss = self.objective.task_losses(logits, part.labels, part.domains, part.counts)[task]
                flatten(torch.autograd.grad(loss, self.shared), row)
                jacobian[task] += row
                losses[task] += loss.detach()

    def _add_by_task(self, batch: Batch, jacobian: Tensor, losses: Tensor) -> None:
        with self.autocast():
            features = models.features(self.network, batch.images)
            leaf = features.detach().requires_grad_()
            logits = models.head(self.network)(leaf)
            task_losses = self.objective.task_losses(logits, batch.labels, batch.domains, batch.counts)
        losses += task_losses.detach()
        heads_start = self._heads_start()
        cotangents = []
        for task, loss in enumerate(task_losses):
            at_features, *at_heads = torch.autograd.grad(
                loss, [leaf, *self.heads], retain_graph=True, materialize_grads=True
            )
            cotangents.append(at_features)
            if self.heads_shared:
                jacobian[task, heads_start:] += torch.cat([g.reshape(-1) for g in at_heads])
            else:
                add_to_grad(self.heads, at_heads, len(task_losses))
        self._add_backbone(features, cotangents, jacobian[:, :heads_start])

    def at_first_layer(self, jacobian: Tensor) -> Tensor:
        """Largest of each task's gradient on the network's first parameter [T].

        Whatever is not finite on the way back from a loss arrives there, and it is far smaller than a Jacobian.

        Args:
            jacobian: [T, P].
        """
        first = jacobian[:, : self.shared[0].numel()]
        return torch.linalg.vector_norm(first, torch.inf, dim=1)

    def add_from(self, features: Tensor, losses: Tensor, jacobian: Tensor) -> None:
        """Add gradients by task from an existing forward pass; its graph is kept, and no ``.grad`` changes.

        Args:
            features: Input of the heads, with its graph.
            losses: [T], computed from ``features`` by the heads.
            jacobian: [T, P]; the gradient of L_t on the shared parameters is added to row t.
        """
        heads = self.heads if self.heads_shared else []
        heads_start = self._heads_start()
        cotangents = []
        for task, loss in enumerate(losses):
            at_features, *at_heads = torch.autograd.grad(loss, [features, *heads], retain_graph=True)
            cotangents.append(at_features)
            if heads:
                jacobian[task, heads_start:] += torch.cat([g.reshape(-1) for g in at_heads])
        self._add_backbone(features, cotangents, jacobian[:, :heads_start], keep_graph=True)

    def _heads_start(self) -> int:
        """First column of the heads' parameters in a Jacobian; the number of its columns if heads are not shared."""
        return self.size - sum(p.numel() for p in self.heads) if self.heads_shared else self.size

    def _add_backbone(
        self, features: Tensor, cotangents: list[Tensor], jacobian: Tensor, keep_graph: bool = False
    ) -> None:
        if self.batched:
            step = self.at_once or len(cotangents)
            for first in range(0, len(cotangents), step):
                part = torch.stack(cotangents[first : first + step])
                batched = torch.autograd.grad(features, self.backbone, part, retain_graph=True, is_grads_batched=True)
                jacobian[first : first + step] += torch.cat([g.reshape(len(part), -1) for g in batched], 1)
            return
        row = torch.empty_like(jacobian[0])
        for task, cotangent in enumerate(cotangents):
            retain_graph = keep_graph or task < len(cotangents) - 1
            flatten(torch.autograd.grad(features, self.backbone, cotangent, retain_graph=retain_graph), row)
            jacobian[task] += row


def add_to_grad(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], divisor: int) -> None:
    """Add ``gradients / divisor`` to the parameters' ``.grad``."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        # Fused optimisers read memory as it lies.
        scaled = (gradient / divisor).contiguous()
        parameter.grad = scaled if parameter.grad is None else parameter.grad + scaled
