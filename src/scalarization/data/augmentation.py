"""Augmentation of whole batches; every image has its own draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torchvision.transforms import InterpolationMode, v2

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
        generator = torch.Generator().manual_seed(seed)
        if self.padding:
            images = random_crop(images, self.padding, generator)
        if self.flip:
            flipped = torch.rand(len(images), generator=generator) < 0.5
            images = torch.where(flipped.to(images.device)[:, None, None, None], images.flip(-1), images)
        if self.randaugment:
            images = self.randaugment(images, generator)
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
    batch, channels, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator).to(images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    padded = functional.pad(images, [padding] * 4, value=fill)
    rows = rows[:, None, :, None].expand(batch, channels, height, width + 2 * padding)
    columns = columns[:, None, None, :].expand(batch, channels, height, width)
    return padded.gather(2, rows).gather(3, columns)


class RandAugment(v2.RandAugment):
    """torchvision's RandAugment (operations, magnitudes, signs) with a draw for each image of a batch.

    torchvision applies one draw to all images of a batch. This class draws operations for every image; images with the
    same operation are transformed together.

    Args:
        num_ops: Operations per image.
        magnitude: Magnitude on torchvision's scale of 31 bins.
    """

    def __init__(self, num_ops: int, magnitude: int) -> None:
        super().__init__(num_ops=num_ops, magnitude=magnitude, interpolation=InterpolationMode.NEAREST, fill=0)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Transform a batch.

        Args:
            images: uint8 [B, C, H, W].
            generator: CPU generator of the draws.

        Returns:
            uint8 [B, C, H, W].
        """
        operations = list(self._AUGMENTATION_SPACE)
        images = images.clone()
        for _ in range(self.num_ops):
            drawn = torch.randint(0, len(operations), (len(images),), generator=generator)
            negative = torch.rand(len(images), generator=generator) < 0.5
            for number, operation in enumerate(operations):
                magnitudes, signed = self._AUGMENTATION_SPACE[operation]
                values = magnitudes(self.num_magnitude_bins, *images.shape[-2:])
                magnitude = 0.0 if values is None else float(values[self.magnitude])
                for sign in (False, True) if signed and magnitude else (None,):
                    chosen = drawn == number if sign is None else (drawn == number) & (negative == sign)
                    rows = chosen.nonzero().flatten().to(images.device)
                    if len(rows):
                        signed_magnitude = -magnitude if sign else magnitude
                        images[rows] = self._apply_image_or_video_transform(
                            images[rows], operation, signed_magnitude, self.interpolation, self._fill
                        )
        return images
