"""A prepared store of small images in the memory of the device, shared by all runs of a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from scalarization.benchmarks import SPLITS
from scalarization.data.augmentation import Augmentation
from scalarization.data.store import Store


class Normalisation:
    """What all prepared stores have in common: pixels become what networks get, one batch after the other.

    There is one mean and one deviation per channel for all domains.

    Args:
        store: Prepared store.
        device: Where images are.
    """

    def __init__(self, store: Store, device: torch.device) -> None:
        mean, std = (torch.tensor(store.facts["normalisation"][k], device=device) for k in ("mean", "std"))
        # (x / 255 - mean) / std as one multiplication and one addition
        self._scale = (1 / (255 * std))[:, None, None]
        self._shift = (-mean / std)[:, None, None]

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """From uint8 [B, C, H, W] to float32 of zero mean and unit variance over the train splits."""
        values = images.to(torch.float32, copy=True)
        return torch.addcmul(self._shift, values, self._scale, out=values)  # fresh memory costs as much again

    def batches(
        self, rows: torch.Tensor, augmentation: Augmentation, seeds: Sequence[int]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches in order, each as ``batch`` makes it; ``rows`` int64 [batches, B], ``seeds`` [batches]."""
        for part, seed in zip(rows, seeds, strict=True):
            yield self.batch(part, augmentation, seed)


class DomainRows(Normalisation):
    """Rows of several domains: one split of a domain after the other.

    Args:
        store: Prepared store.
        domains: Domains to read.
        device: Where labels and batches are put.

    Attributes:
        labels: int64 [N] or [N, A], on the device.
    """

    def __init__(self, store: Store, domains: list[str], device: torch.device) -> None:
        super().__init__(store, device)
        self._parts = [(d, s) for d in domains for s in SPLITS]
        labels = [store.labels(*p) for p in self._parts]
        ends = np.cumsum([len(part) for part in labels]).tolist()
        self._bounds = dict(zip(self._parts, zip([0, *ends[:-1]], ends, strict=True), strict=True))
        self.labels = torch.from_numpy(np.concatenate(labels)).to(device)

    def start(self, domain: str, split: str) -> int:
        """Row of the first image of a split."""
        return self._bounds[domain, split][0]

    def size(self, domain: str, split: str) -> int:
        """Number of images of a split."""
        start, stop = self._bounds[domain, split]
        return stop - start


class DeviceData(DomainRows):
    """All images of some domains as one uint8 tensor.

    Args:
        store: Prepared store.
        domains: Domains to load.
        device: Where to.
    """

    def __init__(self, store: Store, domains: list[str], device: torch.device) -> None:
        super().__init__(store, domains, device)
        images = np.concatenate([store.images(*p) for p in self._parts])
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (*self.images.shape[2:], self.images.shape[1])

    def batch(self, rows: torch.Tensor, augmentation: Augmentation, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch.

        Args:
            rows: int64 [B], rows as counted by :meth:`start`.
            augmentation: What to do with the images.
            seed: Seed of the augmentation.

        Returns:
            float32 images [B, C, H, W] and int64 labels [B].
        """
        images = self.images.index_select(0, rows)
        if augmentation.active:
            images = augmentation(images, seed)
        return self.normalise(images), self.labels.index_select(0, rows)
