"""A prepared store of images with maps, in the memory of the device or read from disk batch by batch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from scalarization.data.augmentation import Augmentation, random_crop
from scalarization.data.base import Data, row_slices
from scalarization.data.store import Store

#: Larger stores (in bytes) stay on disk. Results are the same either way.
RESIDENT_BYTES = 2 << 30


class DenseDeviceData(Data):
    """Images and, as their labels, the maps of some tasks, concatenated along the channels.

    Maps are standardised by the statistics of the train split; NaN is an unknown value.

    Args:
        store: Prepared store of images with maps.
        tasks: Tasks to read.
        device: Device of batches.
        resident_bytes: Largest size of data that are kept in the memory of the device.

    Attributes:
        tasks: Tasks in the order of their maps.
        median: Training median of every channel, standardised, float32 [channels, 1, 1]: the best constant prediction
            under an L1 loss.
    """

    def __init__(
        self, store: Store, tasks: Sequence[str], device: torch.device, resident_bytes: int = RESIDENT_BYTES
    ) -> None:
        (domain,) = store.domains
        splits = store.metadata["domains"][domain]["splits"]
        super().__init__(store, device, {(domain, split): tuple(bounds) for split, bounds in splits.items()})
        self._maps = store.maps
        arrays = {kind: store.array(domain, kind) for kind in ("images", *tasks)}
        resident = sum(a.nbytes for a in arrays.values()) <= resident_bytes
        # torch supports few operations on uint16, so its bits are kept as int16.
        views = {k: a.view(np.int16) if a.dtype == np.uint16 else a for k, a in arrays.items()}
        self._on_disk = {} if resident else views
        self._in_memory = {k: torch.from_numpy(np.array(v)).to(device) for k, v in views.items()} if resident else {}
        self.tasks: list[str] = []
        self._select(tasks)

    def only(self, tasks: Sequence[str]) -> Self:
        """The same data with the maps of these tasks, in this order."""
        selected = copy.copy(self)
        selected._select(tasks)
        return selected

    def _select(self, tasks: Sequence[str]) -> None:
        self.tasks = list(tasks)

        def statistic(name: str) -> Tensor:
            values = [v for task in tasks for v in self._maps[task][name]]
            return torch.tensor(values, dtype=torch.float64, device=self.device)

        mean, std = statistic("mean"), statistic("std")
        centres = {
            (task, int(channel)): centre for task in tasks for channel, centre in self._maps[task]["mirrored"].items()
        }
        channels = [(task, channel) for task in tasks for channel in range(self._maps[task]["channels"])]
        mirrored = torch.tensor([c in centres for c in channels], device=self.device)
        centre = torch.tensor([centres.get(c, 0.0) for c in channels], dtype=torch.float64, device=self.device)
        # A value v of a mirrored channel becomes 2 c - v; as z = (v - mean) / std that is -z + 2 (c - mean) / std.
        self._mirror_scale = torch.where(mirrored, -1.0, 1.0).float()[:, None, None]
        self._mirror_shift = torch.where(mirrored, 2 * (centre - mean) / std, 0.0).float()[:, None, None]
        self.median = ((statistic("median") - mean) / std).float()[:, None, None]

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Images and maps without augmentation.

        Args:
            rows: int64 [B], in the numbering of :meth:`start`.

        Returns:
            uint8 images [B, C, H, W]; float32 maps [B, sum of channels, H, W], standardised, NaN where unknown.
        """
        images = self._rows("images", rows).permute(0, 3, 1, 2)
        maps = [self._standardised(task, self._rows(task, rows)) for task in self.tasks]
        return images, torch.cat(maps, dim=3).permute(0, 3, 1, 2)

    def batch(self, rows: Tensor, augmentation: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
        """One batch for training; an image and its maps get the same crop and flip. See :meth:`Data.batch`."""
        images, maps = self.at(rows)
        generator = torch.Generator().manual_seed(seed)
        if augmentation.padding:
            images = random_crop(images, augmentation.padding, generator)
            same_draws = torch.Generator().manual_seed(seed)
            maps = random_crop(maps, augmentation.padding, same_draws, fill=torch.nan)
        if augmentation.flip:
            flipped = (torch.rand(len(images), generator=generator) < 0.5).to(self.device)[:, None, None, None]
            images = torch.where(flipped, images.flip(-1), images)
            maps = torch.where(flipped, torch.addcmul(self._mirror_shift, maps.flip(-1), self._mirror_scale), maps)
        return self.normalise(images), maps

    def evaluation_batches(self, start: int, size: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in order, without augmentation; see :meth:`Data.evaluation_batches`."""
        for rows in row_slices(start, size, batch_size):
            images, maps = self.at(torch.arange(rows.start, rows.stop, device=self.device))
            yield self.normalise(images), maps

    def _rows(self, kind: str, rows: Tensor) -> Tensor:
        if kind in self._in_memory:
            return self._in_memory[kind].index_select(0, rows)
        return torch.from_numpy(self._on_disk[kind][rows.cpu().numpy()]).to(self.device)

    def _standardised(self, task: str, raw: Tensor) -> Tensor:
        described = self._maps[task]
        values = (raw.int() & 0xFFFF).float() if described["dtype"] == "uint16" else raw.float()
        mean, std = (torch.tensor(described[k], dtype=torch.float32, device=self.device) for k in ("mean", "std"))
        standardised = (values - mean) / std
        if described["invalid"] is None:
            return standardised
        return torch.where(values == described["invalid"], torch.nan, standardised)
