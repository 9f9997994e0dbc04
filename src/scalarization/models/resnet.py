"""Bottleneck ResNets with one classifier for all domains, from timm. No layer is specific to a domain."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor

from scalarization.architectures import Architecture, resnet
from scalarization.config import ResNetOptions


class ChannelsLastResNet(ResNet):
    """timm's ResNet whose activations lie channels last, which is faster on CPU and CUDA (performance/RESULTS.md).

    Parameters keep their layout: gradients that a method has made are as contiguous as they are.
    """

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] to feature maps [B, m, H', W']."""
        return super().forward_features(x.contiguous(memory_format=torch.channels_last))

    def no_weight_decay(self) -> set[str]:
        """None: only biases and norms, which have one dimension, are left out of weight decay."""
        return set()


def build(
    architecture: Architecture, options: ResNetOptions, image_shape: tuple[int, int, int], outputs: int
) -> ChannelsLastResNet:
    """ResNet of bottleneck blocks with BatchNorm.

    BatchNorm under multi-domain learning: the images of a batch are normalised together, whatever their domains, with
    statistics of the mixture that the sampling weights make. Evaluation uses the running averages of these, so every
    domain is seen through the statistics of the mixture.

    Args:
        architecture: ``depth`` (see :mod:`scalarization.architectures.resnet`), ``width``: base width of the
            bottleneck. It narrows the 3x3 convolutions of every block; stem and block outputs keep their channels
            (timm's ``base_width``).
        options: ``channels`` (planes of the first stage, 64 as published; a stage has twice those of the one before,
            and its output four times its planes), ``stem`` (``plain``: 7x7, 64 channels; ``deep``: three 3x3 with as
            many channels as the first stage has planes), ``scale_stages`` (width scales all stages instead).
        image_shape: Height, width, channels.
        outputs: Number of logits.
    """
    stages = resnet.stages(architecture.width, options)
    stem: dict[str, Any] = {"stem_type": "deep", "stem_width": stages[0][0] // 2} if options.stem == "deep" else {}
    return ChannelsLastResNet(
        Bottleneck,
        resnet.LAYERS[architecture.depth],
        num_classes=outputs,
        in_chans=image_shape[2],
        channels=tuple(planes for planes, _ in stages),
        base_width=resnet.FULL_WIDTH if options.scale_stages else architecture.width,
        **stem,
    )
