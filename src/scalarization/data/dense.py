"""A prepared store of images with maps: in the device's memory if it is small, else read from disk batch by batch."""

from __future__ import annotations

import copy

import numpy as np
import torch

from scalarization.data.augmentation import Augmentation, random_crop
from scalarization.data.device import Normalisation
from scalarization.data.store import Store

#: Stores of more bytes stay on disk. Which of the two it is changes no number.
RESIDENT_BYTES = 2 << 30


class DenseDeviceData(Normalisation):
    """Images and, as their labels, the maps of some tasks, one after the other along the channels.

    Maps are standardised by the statistics of the train split; NaN is what is not known.

    Args:
        store: Prepared store of images with maps.
        tasks: Tasks to read.
        device: Where batches go.
        resident_bytes: Largest size of what is kept in the device's memory.
    """

    def __init__(
        self, store: Store, tasks: list[str], device: torch.device, resident_bytes: int = RESIDENT_BYTES
    ) -> None:
        super().__init__(store, device)
        (self._domain,) = store.facts["domains"]
        self.device, self.facts = device, store.facts["maps"]
        self._bounds = store.facts["domains"][self._domain]["splits"]
        self.image_shape = store.image_shape
        arrays = {kind: store.array(self._domain, kind) for kind in ("images", *tasks)}
        self._resident = sum(a.nbytes for a in arrays.values()) <= resident_bytes
        # Torch can do little with uint16: its bits are carried as int16.
        views = {k: a.view(np.int16) if a.dtype == np.uint16 else a for k, a in arrays.items()}
        self._arrays = {k: torch.from_numpy(np.array(v)).to(device) if self._resident else v for k, v in views.items()}
        self.tasks: list[str] = []
        self._choose(tasks)

    def only(self, tasks: list[str]) -> DenseDeviceData:
        """The same data with the maps of these tasks, in this order."""
        chosen = copy.copy(self)
        chosen._choose(tasks)
        return chosen

    def _choose(self, tasks: list[str]) -> None:
        self.tasks = list(tasks)
        channels = {task: self.facts[task]["channels"] for task in tasks}

        def gathered(name: str) -> torch.Tensor:
            values = [v for task in tasks for v in self.facts[task][name]]
            return torch.tensor(values, dtype=torch.float64, device=self.device)

        mean, std = gathered("mean"), gathered("std")
        centres = {
            (task, int(channel)): centre for task in tasks for channel, centre in self.facts[task]["mirrored"].items()
        }
        places = [(task, channel) for task in tasks for channel in range(channels[task])]
        mirrored = torch.tensor([p in centres for p in places], device=self.device)
        centre = torch.tensor([centres.get(p, 0.0) for p in places], dtype=torch.float64, device=self.device)
        # A value v of a mirrored channel becomes 2 c - v; as z = (v - mean) / std that is -z + 2 (c - mean) / std.
        self._mirror_scale = torch.where(mirrored, -1.0, 1.0).float()[:, None, None]
        self._mirror_shift = torch.where(mirrored, 2 * (centre - mean) / std, 0.0).float()[:, None, None]
        #: Training median of every channel, standardised: the best constant prediction under an L1 loss.
        self.median = ((gathered("median") - mean) / std).float()[:, None, None]

    def start(self, domain: str, split: str) -> int:
        """Row of the first image of a split."""
        return self._bounds[split][0]

    def size(self, domain: str, split: str) -> int:
        """Number of images of a split."""
        return self._bounds[split][1] - self._bounds[split][0]

    def at(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and maps as they are.

        Args:
            rows: int64 [B], rows as counted by :meth:`start`.

        Returns:
            uint8 images [B, C, H, W]; float32 maps [B, sum of channels, H, W], standardised, NaN where not known.
        """
        images = self._rows("images", rows).permute(0, 3, 1, 2)
        maps = [self._standardised(task, self._rows(task, rows)) for task in self.tasks]
        return images, torch.cat(maps, dim=3).permute(0, 3, 1, 2)

    def batch(self, rows: torch.Tensor, augmentation: Augmentation, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch; images and maps are cropped and flipped alike, each image with its own draw.

        Args:
            rows: int64 [B], rows as counted by :meth:`start`.
            augmentation: What to do with images and maps.
            seed: Seed of the augmentation.

        Returns:
            float32 images [B, C, H, W] and maps [B, sum of channels, H, W]; NaN is what is not known.
        """
        images, maps = self.at(rows)
        generator = torch.Generator().manual_seed(seed)
        if augmentation.padding:
            images = random_crop(images, augmentation.padding, generator)
            same = torch.Generator().manual_seed(seed)
            maps = random_crop(maps, augmentation.padding, same, fill=torch.nan)
        if augmentation.flip:
            flipped = (torch.rand(len(images), generator=generator) < 0.5).to(self.device)[:, None, None, None]
            images = torch.where(flipped, images.flip(-1), images)
            maps = torch.where(flipped, torch.addcmul(self._mirror_shift, maps.flip(-1), self._mirror_scale), maps)
        return self.normalise(images), maps

    def _rows(self, kind: str, rows: torch.Tensor) -> torch.Tensor:
        if self._resident:
            return self._arrays[kind].index_select(0, rows)
        return torch.from_numpy(self._arrays[kind][rows.cpu().numpy()]).to(self.device)

    def _standardised(self, task: str, raw: torch.Tensor) -> torch.Tensor:
        facts = self.facts[task]
        values = (raw.int() & 0xFFFF).float() if facts["dtype"] == "uint16" else raw.float()
        mean, std = (torch.tensor(facts[k], dtype=torch.float32, device=self.device) for k in ("mean", "std"))
        standardised = (values - mean) / std
        if facts["invalid"] is None:
            return standardised
        return torch.where(values == facts["invalid"], torch.nan, standardised)
