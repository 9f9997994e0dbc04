"""Encoder and mirrored decoder for dense prediction: timm's ResNet-26, then five stages back to the image's size.

The first ``shared_layers`` decoder stages are common to all tasks; from there on every task has stages and an output
layer of its own. Shared features, as :mod:`scalarization.models` means them, are what the last shared stage returns,
one sample [C] for each position of each image.
"""

from __future__ import annotations

import functools
from typing import Any

from timm.models.resnet import Bottleneck, ResNet, downsample_conv
from torch import Tensor, nn

from scalarization.architectures import Architecture

#: Depth -> blocks of the encoder's four stages.
BLOCKS = {26: (2, 2, 2, 2)}
#: Channels after each decoder stage, as multiples of ``channels``: those of the encoder in reverse, the stem's twice.
MIRRORED = (16, 8, 4, 1, 1)


def build(
    architecture: Architecture, options: dict[str, Any], image_shape: tuple[int, int, int], outputs: dict[str, int]
) -> DenseNetwork:
    """A network whose layers all start as timm's ResNet does: He's initialisation, residual branches at zero.

    Args:
        architecture: ``width`` is the number of channels in the bottlenecks of the first stage, doubled by every
            further stage; ``shared_layers`` is the number of decoder stages common to all tasks.
        options: ``channels``: those of the first stage's bottlenecks if they were not narrowed (64: timm's resnet26);
            blocks return 4, 8, 16 and 32 times as many. ``upsampling``: ``nearest`` or ``transposed``.
        image_shape: Height, width, channels.
        outputs: Task -> channels of its map.
    """
    return DenseNetwork(architecture, options, image_shape, outputs)


class DenseNetwork(nn.Module):
    """From float images [B, C, H, W] to one map [B, c_t, H, W] per task; arguments as in :func:`build`."""

    def __init__(
        self,
        architecture: Architecture,
        options: dict[str, Any],
        image_shape: tuple[int, int, int],
        outputs: dict[str, int],
    ) -> None:
        super().__init__()
        channels, shared = options["channels"], architecture.shared_layers
        base_width = architecture.width * 64 / channels  # timm narrows a bottleneck of n channels to n base_width / 64
        self.encoder = ResNet(
            Bottleneck,
            BLOCKS[architecture.depth],
            num_classes=0,
            global_pool="",
            in_chans=image_shape[2],
            base_width=base_width,
            channels=[channels * 2**stage for stage in range(4)],
        )
        sizes = [32 * channels, *(channels * multiple for multiple in MIRRORED)]
        stage = functools.partial(DecoderStage, base_width=base_width, upsampling=options["upsampling"])
        stages = list(zip(sizes, sizes[1:], strict=False))
        self.decoder = nn.Sequential(*(stage(*ends) for ends in stages[:shared]))
        scale = 2**shared / 32
        self.head = TaskDecoders(
            [
                nn.Sequential(
                    *(stage(*ends) for ends in stages[shared:]), nn.Conv2d(sizes[-1], maps, kernel_size=3, padding=1)
                )
                for maps in outputs.values()
            ],
            sizes[shared],
            (round(image_shape[0] * scale), round(image_shape[1] * scale)),
        )

    def forward_features(self, images: Tensor) -> Tensor:
        """What the last shared stage returns [B, m, h, w]."""
        return self.decoder(self.encoder.forward_features(images))

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor | tuple[Tensor, ...]:
        """Maps per task, or, with ``pre_logits``, the features as samples [B h w, m]."""
        if pre_logits:
            return features.permute(0, 2, 3, 1).flatten(0, 2)
        return self.head.decode([features] * len(self.head.tasks))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """One map [B, c_t, H, W] per task."""
        return self.forward_head(self.forward_features(images))

    def get_classifier(self) -> TaskDecoders:
        """The tasks' own parts."""
        return self.head


class TaskDecoders(nn.Module):
    """What every task has of its own: the decoder stages that are not shared, and the output layer.

    Args:
        tasks: Module of each task.
        in_features: Channels m of the shared features.
        size: Their height and width h, w.
    """

    def __init__(self, tasks: list[nn.Module], in_features: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.tasks = nn.ModuleList(tasks)
        self.in_features, self.size = in_features, size

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Maps from samples [B h w, m], or from each task's own samples [T, B h w, m]."""
        each = features if features.ndim == 3 else [features] * len(self.tasks)
        return self.decode([f.unflatten(0, (-1, *self.size)).permute(0, 3, 1, 2) for f in each])

    def decode(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        """Maps from the features [B, m, h, w] of each task."""
        return tuple(task(f) for task, f in zip(self.tasks, features, strict=True))


class DecoderStage(nn.Sequential):
    """An encoder stage in reverse: a block that takes channels away, upsampling by two, another block.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        base_width: As in timm's ``Bottleneck``.
        upsampling: ``nearest``, or ``transposed`` (a convolution of 2 x 2 with stride 2).
    """

    def __init__(self, inputs: int, outputs: int, base_width: float, upsampling: str) -> None:
        planes = outputs // Bottleneck.expansion
        shortcut = downsample_conv(inputs, outputs, kernel_size=1) if inputs != outputs else None
        super().__init__(
            Bottleneck(inputs, planes, downsample=shortcut, base_width=base_width),
            nn.ConvTranspose2d(outputs, outputs, kernel_size=2, stride=2)
            if upsampling == "transposed"
            else nn.Upsample(scale_factor=2, mode="nearest"),
            Bottleneck(outputs, planes, base_width=base_width),
        )
        # As ResNet initialises the encoder.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Bottleneck):
                module.zero_init_last()
