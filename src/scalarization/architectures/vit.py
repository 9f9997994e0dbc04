"""ViT: what makes one impossible, and how much computing it takes. No torch here."""

from __future__ import annotations

from scalarization.config import ViTOptions


def problems(width: int, model: ViTOptions, image_size: int) -> list[str]:
    """What makes a ViT impossible; empty if nothing does."""
    messages = []
    if width % model.heads:
        messages.append(
            f"width {width} is not divisible by heads = {model.heads}; "
            "choose a multiple, or other heads in the benchmark's model"
        )
    if image_size % model.patch:
        messages.append(f"patch = {model.patch} does not divide the image size of {image_size} pixels")
    if int(width * model.mlp_ratio) < 1:
        messages.append(
            f"mlp_ratio = {model.mlp_ratio} leaves no hidden unit at width {width}; take at least 1 / {width}"
        )
    return messages


def forward_flops(depth: int, width: int, model: ViTOptions, image_size: int, channels: int) -> float:
    """Floating point operations of one image's forward pass (two per multiply-add)."""
    tokens = (image_size // model.patch) ** 2 + 1
    block = 8 * width**2 + 4 * tokens * width + 4 * model.mlp_ratio * width**2
    embedding = 2 * model.patch**2 * channels * width
    return tokens * (depth * block + embedding)
