"""Capacity: names of architectures, what makes one impossible, and what one costs. No torch here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scalarization import resnets

#: Family -> those of a benchmark's model options that concern it.
OPTIONS = {
    "vit": ("patch", "heads", "mlp_ratio", "drop_path"),
    "resnet": ("stem", "channels", "scale_stages"),
}


@dataclass(frozen=True, order=True)
class Architecture:
    """A backbone at one capacity.

    Attributes:
        family: Backbone family, a module in :mod:`scalarization.models`.
        depth: ViT: number of transformer blocks. ResNet: its number of layers, as in ResNet-50.
        width: ViT: size of the embedding. ResNet: base width of the bottleneck, 64 in the published networks.
        shared_layers: Decoder layers shared by all tasks (dense prediction only).
    """

    family: str
    depth: int
    width: int
    shared_layers: int | None = None

    @property
    def name(self) -> str:
        """Readable name, part of every path: ``vit_d6_w96``, ``resnet26_w32``."""
        return f"{self.family}{'' if self.family == 'resnet' else '_d'}{self.depth}_w{self.width}"

    @classmethod
    def parse(cls, name: str) -> Architecture:
        """Read a name as written by :attr:`name`.

        Raises:
            ValueError: The name is not an architecture's.
        """
        match = re.fullmatch(r"(vit)_d(\d+)_w(\d+)", name) or re.fullmatch(r"(resnet)(\d+)_w(\d+)", name)
        if not match:
            raise ValueError(f"'{name}' is not an architecture; expected for example vit_d6_w96 or resnet26_w32")
        return cls(match[1], int(match[2]), int(match[3]))


def expand(grid: dict[str, Any]) -> list[Architecture]:
    """All architectures of a capacity grid, depth outermost."""
    return [Architecture(grid["family"], d, w) for d in grid["depth"] for w in grid["width"]]


def model_options(architecture: Architecture, model: dict[str, Any]) -> dict[str, Any]:
    """Of a benchmark's model options those that this architecture's family has."""
    return {key: value for key, value in model.items() if key in OPTIONS[architecture.family]}


def problems(architecture: Architecture, model: dict[str, Any], image_size: int) -> list[str]:
    """What makes this architecture impossible with these model options; empty if nothing does."""
    if architecture.family == "resnet":
        return resnets.problems(architecture.depth, architecture.width, model)
    found = []
    if architecture.width % model["heads"]:
        found.append(
            f"width {architecture.width} is not divisible by heads = {model['heads']}; "
            "choose a multiple, or other heads in the benchmark's model"
        )
    if image_size % model["patch"]:
        found.append(f"patch = {model['patch']} does not divide the image size of {image_size} pixels")
    return found


def forward_flops(architecture: Architecture, model: dict[str, Any], image_size: int, channels: int) -> float:
    """Floating point operations of one image's forward pass (two per multiply-add).

    Counts the matrix products of a ViT with class token: patch embedding, then per block query, key, value and output
    projections (8 w^2 per token), attention (4 n w) and the MLP (4 r w^2). Of a ResNet it counts the convolutions.
    """
    if architecture.family == "resnet":
        return resnets.forward_flops(architecture.depth, architecture.width, model, image_size, channels)
    width, patch = architecture.width, model["patch"]
    tokens = (image_size // patch) ** 2 + 1
    block = 8 * width**2 + 4 * tokens * width + 4 * model["mlp_ratio"] * width**2
    embedding = 2 * patch**2 * channels * width
    return tokens * (architecture.depth * block + embedding)
