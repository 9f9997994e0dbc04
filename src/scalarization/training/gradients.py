"""Gradients of every task, the cheap way round.

Multi-task learning: every loss touches every image, so T backward passes through the backbone are needed; the heads
are gone through once, and the passes share the forward pass: (1 + 2 T) / 3 steps of uniform scalarization. On a CPU
they are taken one after the other, on CUDA batched (``torch.vmap``).

Multi-domain learning without BatchNorm: an image belongs to one domain, so the batch is split by domain, and all T
gradients together cost about one step. With BatchNorm the split would change the statistics, which belong to the
whole batch: then the passes are taken as in multi-task learning, at the same cost (4.3 steps for six domains).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scalarization import models
from scalarization.methods._base import flatten
from scalarization.training.objectives import Objective


@dataclass
class Batch:
    """A batch, or a micro-batch of one.

    Attributes:
        images: float [B, C, H, W].
        labels: [B] or [B, A]; dense prediction: [B, sum of channels, H, W].
        domains: Number of each image's domain [B].
        counts: What means over the whole batch are divided by: images of each domain [D]; dense prediction: known
            values of each task [T].
    """

    images: Tensor
    labels: Tensor
    domains: Tensor
    counts: Tensor

    def micro_batches(self, number: int) -> list[Batch]:
        """Cut into ``number`` parts; their losses add up to the whole batch's."""
        parts = zip(*(t.chunk(number) for t in (self.images, self.labels, self.domains)), strict=True)
        return [Batch(*part, self.counts) for part in parts]

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
        at_once: CUDA: backward passes batched at once (bounds memory); None: all.
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
        """Add one (micro-)batch's gradients and losses; the heads' (mean over tasks) are added to their ``.grad``.

        Args:
            batch: The images.
            jacobian: [T, P], row t gets the gradient of L_t on the shared parameters.
            losses: [T].
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
            found = self.objective.task_losses(logits, batch.labels, batch.domains, batch.counts)
        losses += found.detach()
        heads_at = jacobian.shape[1] - sum(p.numel() for p in self.heads) if self.heads_shared else jacobian.shape[1]
        cotangents = []
        for task, loss in enumerate(found):
            at_features, *at_heads = torch.autograd.grad(
                loss, [leaf, *self.heads], retain_graph=True, materialize_grads=True
            )
            cotangents.append(at_features)
            if self.heads_shared:
                jacobian[task, heads_at:] += torch.cat([g.reshape(-1) for g in at_heads])
            else:
                for parameter, gradient in zip(self.heads, at_heads, strict=True):
                    gradient = (gradient / len(found)).contiguous()  # fused optimisers take memory as it lies
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        self._add_backbone(features, cotangents, jacobian[:, :heads_at])

    def add_from(self, features: Tensor, losses: Tensor, jacobian: Tensor) -> None:
        """Add gradients by task where the forward pass is there already; its graph is kept, no ``.grad`` is touched.

        Args:
            features: What the heads saw, with its graph.
            losses: [T], made from ``features`` by the heads.
            jacobian: [T, P], row t gets the gradient of L_t on the shared parameters.
        """
        heads = self.heads if self.heads_shared else []
        heads_at = jacobian.shape[1] - sum(p.numel() for p in heads)
        cotangents = []
        for task, loss in enumerate(losses):
            at_features, *at_heads = torch.autograd.grad(loss, [features, *heads], retain_graph=True)
            cotangents.append(at_features)
            if heads:
                jacobian[task, heads_at:] += torch.cat([g.reshape(-1) for g in at_heads])
        self._add_backbone(features, cotangents, jacobian[:, :heads_at], keep_graph=True)

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
            needed = keep_graph or task < len(cotangents) - 1
            flatten(torch.autograd.grad(features, self.backbone, cotangent, retain_graph=needed), row)
            jacobian[task] += row
