"""Backbones, thin on timm: one module per family."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from scalarization.architectures import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scalarization.config import NetworkOptions


class Backbone(Protocol):
    """What the networks of all families have in common; they are ``nn.Module`` as well."""

    def forward_features(self, images: Tensor) -> Any:
        """From images [B, C, H, W] to what :meth:`forward_head` takes."""

    def forward_head(self, features: Any, pre_logits: bool = False) -> Any:
        """The predictions or, with ``pre_logits``, the shared features."""

    def get_classifier(self) -> nn.Module:
        """The head."""

    def no_weight_decay(self) -> set[str]:
        """Names of parameters of more than one dimension that weight decay leaves out."""


def build(
    architecture: Architecture,
    options: NetworkOptions,
    image_shape: tuple[int, int, int],
    outputs: int | Mapping[str, int],
) -> nn.Module:
    """A freshly initialised network; initialisation draws from torch's global state.

    Args:
        architecture: Backbone and capacity.
        options: Options of its family.
        image_shape: Height, width, channels.
        outputs: Size of the last linear layer; dense prediction: task -> channels of its map.

    Returns:
        Module from float images [B, C, H, W] to logits [B, outputs]; dense prediction: to one map per task. It is a
        :class:`Backbone`.
    """
    family = importlib.import_module(f"{__name__}.{architecture.family}")
    return family.build(architecture, options, image_shape, outputs)


def features(network: nn.Module, images: Tensor) -> Tensor:
    """The shared features [B, m] that the head sees; dense prediction: [B h w, m], a sample for each position."""
    backbone = cast("Backbone", network)
    return backbone.forward_head(backbone.forward_features(images), pre_logits=True)


def head(network: nn.Module) -> nn.Module:
    """The last linear layer; dense prediction: the tasks' own parts. Everything else is the backbone."""
    return cast("Backbone", network).get_classifier()


def no_weight_decay(network: nn.Module) -> set[str]:
    """Names of parameters of more than one dimension that weight decay leaves out."""
    return cast("Backbone", network).no_weight_decay()
