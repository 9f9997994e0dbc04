"""Capacity: names of architectures, what makes one impossible, and what one costs. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scalarization import resnets

#: Family -> those of a benchmark's model options that concern it.
OPTIONS = {
    "vit": ("patch", "heads", "mlp_ratio", "drop_path"),
    "resnet": ("stem", "channels", "scale_stages"),
    "dense": ("channels", "upsampling", "skips"),
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
        dense = re.fullmatch(r"dense(\d+)_w(\d+)_shr(\d+)", name)
        if dense:
            return cls("dense", *(int(number) for number in dense.groups()))
        match = re.fullmatch(r"(vit)_d(\d+)_w(\d+)", name) or re.fullmatch(r"(resnet)(\d+)_w(\d+)", name)
        if not match:
            raise ValueError(f"'{name}' is not an architecture; expected for example vit_d6_w96 or resnet26_w32")
        return cls(match[1], int(match[2]), int(match[3]))


def expand(grid: dict[str, Any]) -> list[Architecture]:
    """All architectures of a capacity grid, depth outermost, shared layers innermost."""
    shared = grid.get("shared_layers") or [None]
    return [Architecture(grid["family"], d, w, s) for d in grid["depth"] for w in grid["width"] for s in shared]


def model_options(architecture: Architecture, model: dict[str, Any]) -> dict[str, Any]:
    """Of a benchmark's model options those that this architecture's family has."""
    return {key: value for key, value in model.items() if key in OPTIONS[architecture.family]}


def problems(architecture: Architecture, model: dict[str, Any], image_size: int) -> list[str]:
    """What makes this architecture impossible with these model options; empty if nothing does."""
    if architecture.family == "dense":
        return _dense_problems(architecture, model, image_size)
    found = []
    if architecture.shared_layers is not None:
        found.append("shared_layers is for the family dense; leave it out")
    if architecture.family == "resnet":
        return found + resnets.problems(architecture.depth, architecture.width, model)
    if architecture.width % model["heads"]:
        found.append(
            f"width {architecture.width} is not divisible by heads = {model['heads']}; "
            "choose a multiple, or other heads in the benchmark's model"
        )
    if image_size % model["patch"]:
        found.append(f"patch = {model['patch']} does not divide the image size of {image_size} pixels")
    return found


def forward_flops(
    architecture: Architecture, model: dict[str, Any], image_size: int, channels: int, maps: Sequence[int] = ()
) -> float:
    """Floating point operations of one image's forward pass (two per multiply-add).

    Counts the matrix products of a ViT with class token: patch embedding, then per block query, key, value and output
    projections (8 w^2 per token), attention (4 n w) and the MLP (4 r w^2). Of ResNets and dense prediction it counts
    all convolutions; ``maps`` are the channels of each task's map.
    """
    if architecture.family == "dense":
        return _dense_flops(architecture, model, image_size, channels, maps)
    if architecture.family == "resnet":
        return resnets.forward_flops(architecture.depth, architecture.width, model, image_size, channels)
    width, patch = architecture.width, model["patch"]
    tokens = (image_size // patch) ** 2 + 1
    block = 8 * width**2 + 4 * tokens * width + 4 * model["mlp_ratio"] * width**2
    embedding = 2 * patch**2 * channels * width
    return tokens * (architecture.depth * block + embedding)


#: Decoder stages of the family dense, each twice the height and width of the one before.
DECODER_STAGES = 5
#: Depths of its encoder.
DENSE_DEPTHS = (26,)
#: Planes of its first stage: what the decoder's stages are halved from.
DENSE_CHANNELS = (16, 32, 64, 128)


def _dense_problems(architecture: Architecture, model: dict[str, Any], image_size: int) -> list[str]:
    found = []
    if architecture.depth not in DENSE_DEPTHS:
        found.append(f"depth {architecture.depth} is not among {', '.join(map(str, DENSE_DEPTHS))}")
    if architecture.shared_layers is None:
        found.append("shared_layers is missing: give a list of numbers of decoder stages that all tasks share")
    elif architecture.shared_layers > DECODER_STAGES:
        found.append(f"shared_layers {architecture.shared_layers} is more than the {DECODER_STAGES} decoder stages")
    if image_size % 2**DECODER_STAGES:
        found.append(f"an image size of {image_size} pixels is not a multiple of {2**DECODER_STAGES}")
    if model["channels"] not in DENSE_CHANNELS:
        found.append(f"channels = {model['channels']} is not among {', '.join(map(str, DENSE_CHANNELS))}")
    if architecture.width < 4:
        found.append(f"width {architecture.width} leaves the last decoder stages without a channel; take 4 or more")
    return found


def _dense_flops(
    architecture: Architecture, model: dict[str, Any], image_size: int, channels: int, maps: Sequence[int]
) -> float:
    narrow, base = architecture.width / model["channels"], model["channels"]

    def block(pixels: int, inputs: int, outputs: int, first: int | None = None) -> float:
        """A bottleneck that sees ``first`` pixels and returns ``pixels``."""
        inner = int(outputs // 4 * narrow)
        shortcut = inputs * outputs if inputs != outputs else 0
        return (first or pixels) * inputs * inner + pixels * (9 * inner**2 + inner * outputs + shortcut)

    pixels = (image_size // 2) ** 2
    encoder = pixels * 49 * channels * 64
    inputs = 64
    for stage in range(4):
        outputs, before = 4 * base * 2**stage, pixels if stage else pixels // 4
        pixels //= 4
        encoder += block(pixels, inputs, outputs, before) + block(pixels, outputs, outputs)
        inputs = outputs
    found = encoder
    sizes = [32 * base, 16 * base, 8 * base, 4 * base, base, base]
    for stage in range(DECODER_STAGES):
        cost = block(pixels, *sizes[stage : stage + 2])
        if model["upsampling"] == "transposed":
            cost += 4 * pixels * sizes[stage + 1] ** 2
        pixels *= 4
        cost += block(pixels, sizes[stage + 1], sizes[stage + 1])
        if model["skips"] and stage == 3 and base != 64:
            cost += pixels * 64 * base  # the stem's channels are 64 whatever the others
        found += cost * (1 if stage < (architecture.shared_layers or 0) else len(maps))
    return 2.0 * (found + pixels * 9 * sizes[-1] * sum(maps))
