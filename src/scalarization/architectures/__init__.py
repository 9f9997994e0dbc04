"""Capacity: names of architectures, what makes one impossible, and how much computing it takes. No torch here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scalarization.architectures import dense, resnet, vit
from scalarization.config import Architectures, DenseOptions, Model, NetworkOptions, ResNetOptions, ViTOptions

#: A number in a name, written as :attr:`Architecture.name` writes it.
_COUNT = "[1-9][0-9]{0,5}"
#: Family -> its options among those of a benchmark's ``model``.
OPTIONS: dict[str, type[NetworkOptions]] = {
    "vit": ViTOptions,
    "resnet": ResNetOptions,
    "dense": DenseOptions,
}


@dataclass(frozen=True, order=True)
class Architecture:
    """A backbone at one capacity.

    Attributes:
        family: Backbone family, a module in :mod:`scalarization.models`.
        depth: ViT: number of transformer blocks. ResNet: its number of layers, as in ResNet-50. Dense: of the encoder.
        width: ViT: size of the embedding. ResNet: base width of the bottleneck, 64 in the published networks. Dense:
            channels in the bottlenecks of the first stage.
        shared_layers: Decoder layers shared by all tasks (dense prediction only).
    """

    family: str
    depth: int
    width: int
    shared_layers: int | None = None

    @property
    def name(self) -> str:
        """Readable name, part of every path: ``vit_d6_w96``, ``resnet26_w32``, ``dense26_w32_shr2``."""
        if self.family == "dense":
            return f"dense{self.depth}_w{self.width}_shr{self.shared_layers}"
        return f"{self.family}{'' if self.family == 'resnet' else '_d'}{self.depth}_w{self.width}"

    def for_tasks(self, count: int) -> Architecture:
        """The first of all architectures that are the same network for so many tasks.

        A single task shares its decoder with nobody, whatever ``shared_layers`` says.
        """
        return replace(self, shared_layers=0) if self.shared_layers and count == 1 else self

    @classmethod
    def parse(cls, name: str) -> Architecture:
        """Read a name as written by :attr:`name`.

        Raises:
            ValueError: The name is not an architecture's.
        """
        match = re.fullmatch(rf"dense({_COUNT})_w({_COUNT})_shr(0|{_COUNT})", name)
        if match:
            return cls("dense", *(int(number) for number in match.groups()))
        match = re.fullmatch(rf"(vit)_d({_COUNT})_w({_COUNT})|(resnet)({_COUNT})_w({_COUNT})", name)
        if not match:
            raise ValueError(f"'{name}' is not an architecture; expected for example vit_d6_w96 or resnet26_w32")
        family, depth, width = (group for group in match.groups() if group)
        return cls(family, int(depth), int(width))


def expand(grid: Architectures) -> list[Architecture]:
    """All architectures of a capacity grid, depth outermost, shared layers innermost."""
    shared: Sequence[int | None] = grid.shared_layers or [None]
    return [Architecture(grid.family, d, w, s) for d in grid.depth for w in grid.width for s in shared]


def model_options(architecture: Architecture, model: Model) -> NetworkOptions:
    """Of a benchmark's model options those that this architecture's family has."""
    options = OPTIONS[architecture.family]
    return options.model_construct(**{key: getattr(model, key) for key in options.model_fields})


def problems(architecture: Architecture, model: Model, image_size: int) -> list[str]:
    """What makes this architecture impossible with these model options; empty if nothing does."""
    depth, width, shared_layers = architecture.depth, architecture.width, architecture.shared_layers
    if architecture.family == "dense":
        return dense.problems(depth, width, shared_layers, model, image_size)
    messages = [] if shared_layers is None else ["shared_layers is for the family dense; leave it out"]
    if architecture.family == "resnet":
        return messages + resnet.problems(depth, width, model)
    return messages + vit.problems(width, model, image_size)


def smallest_map(architecture: Architecture, image_size: int) -> int | None:
    """Height in pixels of the smallest map that BatchNorm normalises; None for networks without BatchNorm."""
    return None if architecture.family == "vit" else math.ceil(image_size / 2**5)


def forward_flops(
    architecture: Architecture,
    model: NetworkOptions,
    image_size: int,
    channels: int,
    maps: Sequence[int] = (),
) -> float:
    """Floating point operations of one image's forward pass (two per multiply-add).

    Args:
        architecture: Backbone and capacity.
        model: Options of its family.
        image_size: Height and width in pixels.
        channels: Channels of the image.
        maps: Dense prediction: channels of each task's map.

    Returns:
        The count; layers that take next to nothing (norms, activations, the classifier) are left out.
    """
    if isinstance(model, DenseOptions):
        shared = architecture.shared_layers or 0
        return dense.forward_flops(architecture.width, shared, model, image_size, channels, maps)
    if isinstance(model, ResNetOptions):
        return resnet.forward_flops(architecture.depth, architecture.width, model, image_size, channels)
    return vit.forward_flops(architecture.depth, architecture.width, model, image_size, channels)
