"""Backbones, thin on timm: one module per family."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scalarization.architectures import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn


def build(
    architecture: Architecture,
    options: dict[str, Any],
    image_shape: tuple[int, int, int],
    outputs: int | dict[str, int],
) -> nn.Module:
    """A freshly initialised network; initialisation draws from torch's global state.

    Args:
        architecture: Backbone and capacity.
        options: The benchmark's ``model`` options.
        image_shape: Height, width, channels.
        outputs: Size of the last linear layer; dense prediction: task -> channels of its map.

    Returns:
        Module from float images [B, C, H, W] to logits [B, outputs]; dense prediction: to one map per task.
    """
    return importlib.import_module(f"{__name__}.{architecture.family}").build(
        architecture, options, image_shape, outputs
    )


def features(network: nn.Module, images: Tensor) -> Tensor:
    """The shared features [B, m] that the head sees; dense prediction: [B h w, m], a sample for each position."""
    return network.forward_head(network.forward_features(images), pre_logits=True)


def head(network: nn.Module) -> nn.Module:
    """The last linear layer; dense prediction: the tasks' own parts. Everything else is the backbone."""
    return network.get_classifier()
