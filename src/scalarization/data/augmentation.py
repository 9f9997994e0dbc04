"""Augmentation of whole batches; every image has its own draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalarization.data.randaugment import RandAugment

if TYPE_CHECKING:
    from scalarization.config import AugmentationOptions


class Augmentation:
    """Random crop with padding, horizontal flip and RandAugment on uint8 batches, in this order.

    Args:
        options: Section of the recipe. ``resized_crop`` applies to encoded images only, which
            :mod:`scalarization.data.encoded` crops and flips before they make up a batch.
    """

    def __init__(self, options: AugmentationOptions) -> None:
        self.padding = options.crop_padding
        self.flip = options.flip
        self.resized_crop = options.resized_crop
        randaugment = options.randaugment
        self.randaugment = RandAugment(randaugment.num_ops, randaugment.magnitude) if randaugment else None

    @property
    def active(self) -> bool:
        """Whether calling it changes images."""
        return bool(self.padding or self.flip or self.randaugment)

    def __call__(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Augment a batch.

        Args:
            images: uint8 [B, C, H, W], on any device.
            seed: Seed of this batch's draws, which happen on the CPU.

        Returns:
            uint8 [B, C, H, W].
        """
        return self.apply(images, self.draw(len(images), seed).to(images.device))

    def draw(self, batch: int, seed: int) -> torch.Tensor:
        """Draws of one batch, on the CPU.

        Args:
            batch: Number of images.
            seed: Seed of the draws.

        Returns:
            int64 [draws, B], of what is used: top and left of the crop, whether it is flipped, RandAugment's variants.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn = [torch.empty(0, batch, dtype=torch.int64)]
        if self.padding:
            drawn.append(_corners(batch, self.padding, generator))
        if self.flip:
            drawn.append((torch.rand(1, batch, generator=generator) < 0.5).long())
        if self.randaugment:
            drawn.append(self.randaugment.draw(batch, generator))
        return torch.cat(drawn)

    def apply(self, images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Augment a batch as drawn; nothing is transferred to its device.

        Args:
            images: uint8 [B, C, H, W].
            drawn: What :meth:`draw` returned, on the device of the images.

        Returns:
            uint8 [B, C, H, W].
        """
        corners, drawn = drawn.tensor_split([2 if self.padding else 0])
        flipped, variants = drawn.tensor_split([1 if self.flip else 0])
        if self.padding or self.flip:
            images = _crop(images, self.padding, corners, flipped)
        if self.randaugment:
            images = self.randaugment.apply(images, variants)
        return images


def random_crop(images: torch.Tensor, padding: int, generator: torch.Generator, fill: float = 0) -> torch.Tensor:
    """Pad on all sides, then crop to the original size at a position drawn for each image.

    Args:
        images: [B, C, H, W].
        padding: Pixels on each side.
        generator: CPU generator of the draws.
        fill: Value of the padding.

    Returns:
        [B, C, H, W].
    """
    corners = _corners(len(images), padding, generator).to(images.device)
    return _crop(images, padding, corners, corners[:0], fill)


def _corners(batch: int, padding: int, generator: torch.Generator) -> torch.Tensor:
    """Top and left of each image's crop on the padded image, int64 [2, B]."""
    return torch.randint(0, 2 * padding + 1, (2, batch), generator=generator)


def _crop(
    images: torch.Tensor, padding: int, corners: torch.Tensor, flipped: torch.Tensor, fill: float = 0
) -> torch.Tensor:
    """Crop at ``corners`` [2 or 0, B] after padding and flip where ``flipped`` [1 or 0, B] is 1, in one gather."""
    batch, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device).expand(batch, height)
    columns = torch.arange(width, device=images.device).expand(batch, width)
    if len(flipped):
        columns = torch.where(flipped[0, :, None] > 0, columns.flip(1), columns)
    if len(corners):
        rows, columns = rows + corners[0, :, None], columns + corners[1, :, None]
    padded = functional.pad(images, [padding] * 4, value=fill)
    sources = (rows * padded.shape[3])[:, :, None] + columns[:, None]
    sources = sources.view(batch, 1, height * width).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, sources).view(images.shape)
