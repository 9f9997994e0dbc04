"""Dense prediction: L1 losses of maps over the pixels whose value is known (appendix 1.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from scalarization.data.base import Data
from scalarization.training.objectives.base import Metrics, Network, Objective

if TYPE_CHECKING:
    from scalarization.data.dense import DenseDeviceData

#: Images per forward pass in evaluation; a fixed number, because it may change the last bits of a sum.
BATCH = 32
#: Test images whose predictions are kept to be looked at.
EXAMPLES = 3


class DenseObjective(Objective):
    """Multi-task learning of maps, all standardised on the train split; L = sum_t p_t L_t.

    L_t is the mean absolute error over the known values of the whole batch; a map without any known value adds nothing.
    Predictions are one map [B, c_t, H, W] per task. Labels are the maps of all tasks, one after the other along the
    channels; NaN is an unknown value.

    Args:
        domain: Name of the one set of images.
        maps: Task -> channels of its maps.
    """

    metrics = ("l1", "l1_constant")

    def __init__(self, domain: str, maps: Mapping[str, int]) -> None:
        self.tasks = list(maps)
        self.domains = [domain]
        self.outputs = dict(maps)
        ends = torch.tensor(list(maps.values())).cumsum(0).tolist()
        self._columns = [slice(end - size, end) for end, size in zip(ends, maps.values(), strict=True)]

    def sampling(self, weights: Sequence[float]) -> tuple[float, ...]:
        """One set of images: always 1."""
        return (1.0,)

    def counts(self, labels: Tensor, domains: Tensor) -> Tensor:
        """Number of known values of each task in the batch [T]."""
        return self._known(labels)

    def _known(self, labels: Tensor) -> Tensor:
        known = labels.isfinite()
        return torch.stack([known[:, columns].sum() for columns in self._columns])

    def loss(self, logits: tuple[Tensor, ...], labels: Tensor, weights: Sequence[float]) -> Tensor:
        """The scalarized loss of a whole batch."""
        return self.part_loss(logits, labels, weights, self._known(labels), 1.0)

    def part_loss(
        self, logits: tuple[Tensor, ...], labels: Tensor, weights: Sequence[float], counts: Tensor, fraction: float
    ) -> Tensor:
        """What a micro-batch adds: its part of each task's mean over the known values of the whole batch."""
        losses = self.task_losses(logits, labels, counts, counts)
        return (losses * torch.tensor(weights, dtype=losses.dtype, device=losses.device)).sum()

    def task_losses(self, logits: tuple[Tensor, ...], labels: Tensor, domains: Tensor, counts: Tensor) -> Tensor:
        """Sum of each task's absolute errors over the known values, divided by ``counts`` [T]."""
        sums = [absolute_errors(m, labels[:, columns]).sum() for m, columns in zip(logits, self._columns, strict=True)]
        return torch.stack(sums) / counts.clamp(min=1)

    def columns(self, task: int) -> slice:
        """A task's channels among the labels."""
        return self._columns[task]

    def select(self, logits: tuple[Tensor, ...], domains: Tensor) -> tuple[Tensor, ...]:
        """All: each task's own features give the maps of that task only."""
        return logits

    @torch.inference_mode()
    def _evaluate(self, network: Network, data: Data, domain: str, start: int, size: int) -> Metrics:
        """Mean absolute error over all known values (``l1``), and that of the training median (``l1_constant``).

        Both are in standard deviations of the train split; NaN for a task without any known value.
        """
        median = cast("DenseDeviceData", data).median
        sums = torch.zeros(3, len(self.tasks), dtype=torch.float64, device=data.device)
        for images, labels in data.evaluation_batches(start, size, BATCH):
            constant = median.expand(labels.shape)
            for task, predicted in enumerate(network(images)):
                columns = self._columns[task]
                sums[0, task] += absolute_errors(predicted, labels[:, columns]).sum(dtype=torch.float64)
                sums[1, task] += absolute_errors(constant[:, columns], labels[:, columns]).sum(dtype=torch.float64)
            sums[2] += self._known(labels)
        means = (sums[:2] / sums[2]).tolist()
        return {
            task: {"l1": means[0][number], "l1_constant": means[1][number]} for number, task in enumerate(self.tasks)
        }

    def examples(self, network: Network, data: Data, defined: bool = True) -> list[dict[str, Any]]:
        """Predictions for the first test images, with image and targets.

        Returns:
            One row per image and map: ``example``, number of the image; ``content``, ``image``, ``target`` or
            ``prediction``; ``task`` (null for the image); ``shape`` [H, W, C]; ``values`` in row-major order: images 0
            to 255, maps standardised, NaN where the value is unknown or not defined.
        """
        start, size = (of(self.domains[0], "test") for of in (data.start, data.size))
        rows = torch.arange(start, start + min(size, EXAMPLES), device=data.device)
        images, labels = cast("DenseDeviceData", data).at(rows)
        predicted = network(data.normalise(images))
        examples = []
        for number in range(len(images)):
            examples.append(_row(number, "image", None, images[number]))
            for task, columns, maps in zip(self.tasks, self._columns, predicted, strict=True):
                examples.append(_row(number, "target", task, labels[number, columns]))
                prediction = maps[number] if defined else torch.full_like(maps[number], torch.nan)
                examples.append(_row(number, "prediction", task, prediction))
        return examples


def absolute_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """Absolute differences in float32; 0, with gradient 0, where the target is NaN."""
    known = target.isfinite()
    return (predicted.float() - target.where(known, 0.0)).where(known, 0.0).abs()


def _row(number: int, content: str, task: str | None, values: Tensor) -> dict[str, Any]:
    limit = torch.finfo(torch.float16).max
    values = values.permute(1, 2, 0).float().cpu().clamp(-limit, limit)
    return {
        "example": number,
        "content": content,
        "task": task,
        "shape": list(values.shape),
        "values": values.half().float().flatten().tolist(),
    }
