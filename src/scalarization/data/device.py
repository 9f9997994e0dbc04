"""A prepared store of small images in the memory of the device, shared by all runs of a job."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from scalarization.benchmarks import SPLITS
from scalarization.data.augmentation import Augmentation
from scalarization.data.base import Data, row_slices
from scalarization.data.store import Store


class DomainRows(Data):
    """Labels of some domains in the memory of the device; rows are numbered split by split of one domain after another.

    Args:
        store: Prepared store.
        domains: Domains to read.
        device: Device of labels and batches.

    Attributes:
        labels: int64 [N] or uint8 [N, A], on the device.
    """

    def __init__(self, store: Store, domains: Sequence[str], device: torch.device) -> None:
        self._parts = [(d, s) for d in domains for s in SPLITS]
        labels = [store.labels(*part) for part in self._parts]
        stops = np.cumsum([len(part) for part in labels]).tolist()
        bounds = zip([0, *stops[:-1]], stops, strict=True)
        super().__init__(store, device, dict(zip(self._parts, bounds, strict=True)))
        self.labels = torch.from_numpy(np.concatenate(labels)).to(device)


class DeviceData(DomainRows):
    """All images of some domains as one uint8 tensor.

    Args:
        store: Prepared store.
        domains: Domains to load.
        device: Device of images, labels and batches.

    Attributes:
        images: uint8 [N, C, H, W], on the device.
    """

    def __init__(self, store: Store, domains: Sequence[str], device: torch.device) -> None:
        super().__init__(store, domains, device)
        images = np.concatenate([store.images(*part) for part in self._parts])
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)

    def batch(self, rows: Tensor, augmentation: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
        """One batch for training; see :meth:`Data.batch`."""
        return next(self.batches(rows[None], augmentation, [seed]))

    def batches(
        self, rows: Tensor, augmentation: Augmentation, seeds: Sequence[int]
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Batches for training in order; all draws move to the device before the first. See :meth:`Data.batches`."""
        drawn = [augmentation.draw(len(part), seed) for part, seed in zip(rows, seeds, strict=True)]
        for part, draws in zip(rows, torch.stack(drawn).to(self.device) if drawn else (), strict=True):
            images = augmentation.apply(self.images.index_select(0, part), draws)
            yield self.normalise(images), self.labels.index_select(0, part)

    def evaluation_batches(self, start: int, size: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in order, without augmentation; see :meth:`Data.evaluation_batches`."""
        for rows in row_slices(start, size, batch_size):
            yield self.normalise(self.images[rows]), self.labels[rows]
