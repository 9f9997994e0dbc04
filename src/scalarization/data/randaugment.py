"""RandAugment of a whole batch; every image has its own draw.

A *variant* is an operation with a sign, numbered ``2 * operation + negative``. All images share the magnitude, so
there are 28 variants. What sets them apart is in tables, which torchvision's own functions fill once for each shape of
images. An operation belongs to one of four steps, and a step leaves the images of all other operations as they are:

* Shears, translations and rotations take each pixel from the place that a table names.
* Brightness, posterize, solarize, autocontrast and equalize look levels up, in 256 levels per image and channel.
* Colour and contrast blend an image with its grey version, or with the mean of that.
* Sharpness blends an image with a blurred one.

Operations on floating-point numbers and their order are those of ``torchvision.transforms.v2.functional``. With one
compute thread on a CPU, results are equal bit by bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode, v2

LEVELS = 256
BINS = 31
#: Step of a round that transforms an operation's images; 0: none.
RESAMPLE, LOOK_UP, COUNT, BLEND, SHARPEN = range(1, 6)

#: Columns of a variant's parameters after its 256 levels, in the order of :class:`_Drawn`.
_NEUTRAL = {
    "equalize": 0.0,
    "divisor": 1.0,
    "scale": 0.0,
    "fixed": 1.0,
    "stretched": 0.0,
    "ratio": 1.0,
    "colour": 0.0,
    "contrast": 0.0,
    "sharpen": 0.0,
}


class RandAugment:
    """Torchvision's RandAugment (operations, magnitudes, signs, nearest neighbour) with a draw for each image.

    Args:
        num_ops: Operations per image.
        magnitude: Magnitude on torchvision's scale of 31 bins.
    """

    def __init__(self, num_ops: int, magnitude: int) -> None:
        self.num_ops = num_ops
        self.magnitude = magnitude

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw and transform.

        Args:
            images: uint8 [B, C, H, W] with 1 or 3 channels.
            generator: CPU generator of the draws.

        Returns:
            uint8 [B, C, H, W].
        """
        return self.apply(images, self.draw(len(images), generator).to(images.device))

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Variants of ``batch`` images, int64 [num_ops, B], on the CPU."""
        rounds = []
        for _ in range(self.num_ops):
            operations = torch.randint(0, len(Operations.NAMES), (batch,), generator=generator)
            negative = torch.rand(batch, generator=generator) < 0.5
            rounds.append(2 * operations + negative)
        return torch.stack(rounds)

    def apply(self, images: Tensor, variants: Tensor) -> Tensor:
        """Transform a batch as drawn.

        On a CPU, images are grouped by step. On other devices every image goes through every step: no shape depends on
        the draws, nothing is transferred, and nothing waits for the device.

        Args:
            images: uint8 [B, C, H, W] with 1 or 3 channels.
            variants: int64 [num_ops, B], on the device of the images.

        Returns:
            uint8 [B, C, H, W].
        """
        tables = variant_tables(self.magnitude, *images.shape[1:], device=images.device)
        one_round = by_step if images.device.type == "cpu" else all_steps
        for variant in variants:
            images = one_round(images, variant, tables)
        return images


def all_steps(images: Tensor, variant: Tensor, tables: Tables) -> Tensor:
    """One round in which every image goes through every step; no shape depends on what was drawn.

    Args:
        images: uint8 [B, C, H, W].
        variant: int64 [B].
        tables: Tables of the variants for this shape.
    """
    drawn = _Drawn.of(variant, tables)
    for step in _ALL_STEPS:
        images = step(images, drawn, tables)
    return images


def by_step(images: Tensor, variant: Tensor, tables: Tables) -> Tensor:
    """One round as :func:`all_steps`, in which each image goes through the step of its operation only."""
    number = tables.steps.index_select(0, variant)
    order = number.argsort()
    parts = list(images.index_select(0, order).split(number.bincount(minlength=1 + len(_ONE_STEP)).tolist()))
    drawn = variant.index_select(0, order).split([len(part) for part in parts])
    for n, step in enumerate(_ONE_STEP, start=1):
        parts[n] = step(parts[n], _Drawn.of(drawn[n], tables), tables)
    return torch.cat(parts).index_select(0, order.argsort())


# --- Tables ---


class Tables(NamedTuple):
    """What sets variants apart, for images of one shape.

    Attributes:
        sources: int64 [28, H * W], pixel from which each pixel is taken; H * W stands for a black one outside.
        parameters: float32 [28, 256 + columns], level for each level and the columns of :class:`_Drawn`.
        ramp: float32 [256], every level.
        steps: int64 [28], on the CPU, ``RESAMPLE`` to ``SHARPEN``; 0: left as it is.
        amount: Share of the other image in a blend.
    """

    sources: Tensor
    parameters: Tensor
    ramp: Tensor
    steps: Tensor
    amount: float


class Operations(v2.RandAugment):
    """Torchvision's operations at one magnitude, for images of one size."""

    NAMES = tuple(v2.RandAugment._AUGMENTATION_SPACE)

    def __init__(self, magnitude: int, height: int, width: int) -> None:
        super().__init__(1, magnitude, BINS, InterpolationMode.NEAREST, fill=0)
        self._size = (height, width)

    def value(self, name: str, negative: bool) -> float:
        """Magnitude in the operation's own unit, with the sign if it has one."""
        magnitudes, signed = self._AUGMENTATION_SPACE[name]
        values = magnitudes(BINS, *self._size)
        value = 0.0 if values is None else float(values[self.magnitude])
        return -value if signed and negative else value

    def transform(self, image: Tensor, name: str, negative: bool) -> Tensor:
        """Torchvision's result for one image [C, H, W]."""
        value = self.value(name, negative)
        return self._apply_image_or_video_transform(image, name, value, self.interpolation, self._fill)


@functools.lru_cache(maxsize=16)
def variant_tables(magnitude: int, channels: int, height: int, width: int, *, device: torch.device) -> Tables:
    """Tables of all variants for images of one shape, filled with torchvision's results and kept.

    Raises:
        ValueError: Images do not have 1 or 3 channels.
    """
    if channels not in (1, 3):
        raise ValueError(f"RandAugment is for images of 1 or 3 channels, not {channels}")
    operations = Operations(magnitude, height, width)
    pixels = torch.arange(1.0, 1 + height * width).view(1, height, width)
    levels = torch.arange(LEVELS, dtype=torch.uint8).view(1, 16, 16)
    sources, parameters, steps = [], [], []
    for name in Operations.NAMES:
        for negative in (False, True):
            source, level, columns, step = pixels, levels, {}, 0
            value, sign = operations.value(name, negative), 1 - 2 * negative
            match name:
                case "ShearX" | "ShearY" | "TranslateX" | "TranslateY" | "Rotate":
                    source, step = operations.transform(pixels, name, negative), RESAMPLE
                case "Brightness" | "Posterize" | "Solarize":
                    level, step = operations.transform(levels, name, negative), LOOK_UP
                case "AutoContrast":
                    columns, step = {"scale": 1 / 255, "fixed": 0, "stretched": 1}, LOOK_UP
                case "Equalize":
                    level, step = torch.zeros_like(levels), COUNT
                    columns = {"equalize": 1, "divisor": 255, "scale": 1, "fixed": 0}
                case "Color" if channels == 3:
                    columns, step = {"ratio": 1 + value, "colour": sign}, BLEND
                case "Contrast":
                    columns, step = {"ratio": 1 + value, "contrast": sign}, BLEND
                case "Sharpness" if min(height, width) > 2:
                    columns, step = {"sharpen": sign}, SHARPEN
            sources.append((source.flatten() - 1).long() % (height * width + 1))
            parameters.append(torch.cat([level.flatten().float(), torch.tensor([*{**_NEUTRAL, **columns}.values()])]))
            steps.append(step)
    return Tables(
        sources=torch.stack(sources).to(device),
        parameters=torch.stack(parameters).to(device),
        ramp=levels.flatten().float().to(device),
        steps=torch.tensor(steps),
        amount=operations.value("Sharpness", False),
    )


# --- Steps ---


class _Drawn(NamedTuple):
    """What was drawn for each image: variant int64 [B], levels float32 [B, 1, 256], everything else float32 [B, 1, 1].

    Attributes:
        variant: Variant.
        levels: Level for each level; zeros under equalize.
        equalize: 1 for equalize: the number of darker pixels is added to ``levels``.
        divisor: The range of levels is divided by it and rounded down, ...
        scale: ... and multiplied by it; ...
        fixed: ... with this added, that is the unit in which levels are counted. 1 where they are not stretched.
        stretched: 1 where levels are counted from the darkest.
        ratio: Share of the image in a blend.
        colour: Sign of the grey version's share; 0: none.
        contrast: Sign of the share of the grey version's mean; 0: none.
        sharpen: Sign of the blurred image's share; 0: none.
    """

    variant: Tensor
    levels: Tensor
    equalize: Tensor
    divisor: Tensor
    scale: Tensor
    fixed: Tensor
    stretched: Tensor
    ratio: Tensor
    colour: Tensor
    contrast: Tensor
    sharpen: Tensor

    @classmethod
    def of(cls, variant: Tensor, tables: Tables) -> _Drawn:
        """Look up the parameters of variants."""
        columns = tables.parameters.index_select(0, variant)[:, None]
        return cls(variant, *columns.split([LEVELS] + [1] * len(_NEUTRAL), dim=2))


def _resample(images: Tensor, drawn: _Drawn, tables: Tables) -> Tensor:
    sources = tables.sources.index_select(0, drawn.variant)[:, None].expand(-1, images.shape[1], -1)
    return functional.pad(images.flatten(2), (0, 1)).gather(2, sources).view(images.shape)


def _look_up(images: Tensor, drawn: _Drawn, tables: Tables) -> Tensor:
    """Brightness, posterize, solarize, autocontrast: one table of 256 levels per image and channel."""
    levels = drawn.levels.expand(-1, images.shape[1], -1)
    return _stretch(images, images.flatten(2).long(), levels, drawn, tables)


def _count(images: Tensor, drawn: _Drawn, tables: Tables) -> Tensor:
    """As :func:`_look_up`, and equalize, whose table is the number of darker pixels."""
    index = images.flatten(2).long()
    counts = drawn.levels.new_zeros(*index.shape[:2], 1 + LEVELS)
    counts[..., 1:].scatter_add_(2, index, drawn.equalize.expand_as(index))
    return _stretch(images, index, counts.cumsum(2)[..., :LEVELS].add_(drawn.levels), drawn, tables)


def _stretch(images: Tensor, index: Tensor, levels: Tensor, drawn: _Drawn, tables: Tables) -> Tensor:
    """Look up levels [B, C, 256]; under autocontrast and equalize, stretch what is between the pixels' ends first."""
    pixels = images.flatten(2)
    ends = torch.cat([pixels.amin(2, keepdim=True), pixels.amax(2, keepdim=True)], dim=2)
    low, high = levels.gather(2, ends.long()).split(1, dim=2)
    steps = torch.div(high - low, drawn.divisor, rounding_mode="floor")
    unit = torch.addcmul(drawn.fixed, steps, drawn.scale)
    stretched = torch.addcmul(levels, low, drawn.stretched, value=-1).div_(unit).add_(drawn.equalize, alpha=0.5)
    levels = torch.where(unit > 0, stretched, tables.ramp)
    return _bytes(levels).gather(2, index).view(images.shape)


def _blend(images: Tensor, drawn: _Drawn, tables: Tables) -> Tensor:
    """Colour and contrast: the image and its grey version, or the mean of that."""
    pixels = images.flatten(2).float()
    grey = pixels
    if images.shape[1] == 3:
        red, green, blue = pixels.split(1, dim=1)
        grey = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()
    mean = grey.mean(dim=(1, 2), keepdim=True).mul_(drawn.contrast)
    blended = (
        pixels.mul(drawn.ratio).add_(grey.mul(drawn.colour), alpha=-tables.amount).add_(mean, alpha=-tables.amount)
    )
    return _bytes(blended).view(images.shape)


def _sharpen(images: Tensor, drawn: _Drawn, tables: Tables) -> Tensor:
    """Sharpness: the image and its blur, in which a pixel has weight 5 and its eight neighbours have weight 1."""
    if min(images.shape[2:]) <= 2:
        return images
    pixels = images.float()
    inner = pixels[..., 1:-1, 1:-1]
    sums = (pixels[..., :-2] + pixels[..., 1:-1]).add_(pixels[..., 2:])
    sums = (sums[..., :-2, :] + sums[..., 1:-1, :]).add_(sums[..., 2:, :])
    blurred = sums.add_(inner, alpha=4).div_(13).round_()
    inner.add_(blurred.sub_(inner).mul_(drawn.sharpen[..., None]), alpha=-tables.amount)
    return _bytes(pixels)


def _bytes(levels: Tensor) -> Tensor:
    return levels.clamp_(0, LEVELS - 1).to(torch.uint8)


_Step = Callable[[Tensor, _Drawn, Tables], Tensor]
#: Steps that every image goes through where images are not grouped.
_ALL_STEPS: tuple[_Step, ...] = (_resample, _count, _blend, _sharpen)
#: Steps from ``RESAMPLE`` to ``SHARPEN``.
_ONE_STEP: tuple[_Step, ...] = (_resample, _look_up, _count, _blend, _sharpen)
