"""The interface of an opened prepared store: normalised batches of images with their labels, on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from scalarization.data.augmentation import Augmentation
from scalarization.data.store import Store


class Data(ABC):
    """Images with their labels, as a trainer reads them; each kind of store has a subclass.

    Rows number the images of all splits of all loaded domains. There is one mean and one standard deviation per channel
    for all domains.

    Args:
        store: Prepared store.
        device: Device of all batches.
        bounds: (domain, split) -> first row of the split and last + 1.

    Attributes:
        device: Device of all batches.
        image_shape: Height, width, channels.
    """

    def __init__(self, store: Store, device: torch.device, bounds: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        self.device, self.image_shape = device, store.image_shape
        self._bounds = bounds
        mean, std = (torch.tensor(store.metadata["normalisation"][k], device=device) for k in ("mean", "std"))
        # (x / 255 - mean) / std as one multiplication and one addition
        self._scale = (1 / (255 * std))[:, None, None]
        self._shift = (-mean / std)[:, None, None]

    def start(self, domain: str, split: str) -> int:
        """Row of the first image of a split."""
        return self._bounds[domain, split][0]

    def size(self, domain: str, split: str) -> int:
        """Number of images of a split."""
        start, stop = self._bounds[domain, split]
        return stop - start

    def only(self, tasks: Sequence[str]) -> Self:
        """The same data with the labels of these tasks, in this order; itself if images carry all labels together."""
        return self

    def normalise(self, images: Tensor) -> Tensor:
        """From uint8 [B, C, H, W] to float32 of zero mean and unit variance over the train splits."""
        values = images.to(torch.float32, copy=True)
        return torch.addcmul(self._shift, values, self._scale, out=values)  # a second buffer would double the time

    @abstractmethod
    def batch(self, rows: Tensor, augmentation: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
        """One batch for training.

        Args:
            rows: int64 [B].
            augmentation: Augmentation of the images.
            seed: Seed of the augmentation.

        Returns:
            Normalised images, float32 [B, C, H, W], and labels: int64 [B] of classes, uint8 [B, A] of attributes, or
            float32 [B, channels, H, W] of maps.
        """

    def batches(
        self, rows: Tensor, augmentation: Augmentation, seeds: Sequence[int]
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Batches for training in order, each as :meth:`batch` makes it; rows int64 [batches, B], seeds [batches]."""
        for part, seed in zip(rows, seeds, strict=True):
            yield self.batch(part, augmentation, seed)

    @abstractmethod
    def evaluation_batches(self, start: int, size: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in the order of the rows, without augmentation; images and labels as :meth:`batch` returns them.

        Args:
            start: First row.
            size: Number of images.
            batch_size: Images of each batch; the last one may have fewer.
        """


def row_slices(start: int, size: int, batch_size: int) -> Iterator[slice]:
    """Consecutive rows of batches; the last one may be shorter."""
    for first in range(start, start + size, batch_size):
        yield slice(first, min(first + batch_size, start + size))
