"""Encoder and mirrored decoder for dense prediction: timm's ResNet-26, then five stages back to the image's size.

The first ``shared_layers`` decoder stages are common to all tasks; later stages and output layers are each task's own.
The shared features (:func:`scalarization.models.features`) are the output of the last shared stage, one sample for each
position of each image. With skip connections they also contain the encoder features that later stages add; then each
image is one sample.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from timm.models.resnet import Bottleneck, ResNet, downsample_conv
from torch import Tensor, nn

from scalarization.architectures import Architecture
from scalarization.config import DenseOptions

#: Depth -> blocks of the encoder's four stages.
BLOCKS = {26: (2, 2, 2, 2)}
#: Channels of the encoder's stem; timm has no other.
STEM = 64
#: Channels after each decoder stage, as multiples of ``channels``: those of the encoder in reverse, the stem's twice.
MIRRORED = (16, 8, 4, 1, 1)


def build(
    architecture: Architecture, options: DenseOptions, image_shape: tuple[int, int, int], outputs: Mapping[str, int]
) -> DenseNetwork:
    """A network whose layers all start as timm's ResNet does: He's initialisation, residual branches at zero.

    Args:
        architecture: ``width`` is the number of channels in the bottlenecks of the first stage, doubled by every
            further stage; ``shared_layers`` is the number of decoder stages common to all tasks.
        options: ``channels``: those of the first stage's bottlenecks if they were not narrowed (64: timm's resnet26);
            blocks return 4, 8, 16 and 32 times as many. ``upsampling``: ``nearest`` or ``transposed``. ``skips``:
            whether the encoder's features are added to the decoder's of the same size.
        image_shape: Height, width, channels.
        outputs: Task -> channels of its map.
    """
    return DenseNetwork(architecture, options, image_shape, outputs)


class DenseNetwork(nn.Module):
    """From float images [B, C, H, W] to one map [B, c_t, H, W] per task; arguments as in :func:`build`."""

    def __init__(
        self,
        architecture: Architecture,
        options: DenseOptions,
        image_shape: tuple[int, int, int],
        outputs: Mapping[str, int],
    ) -> None:
        super().__init__()
        channels, shared = options.channels, architecture.shared_layers or 0
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
        skips = [*sizes[1:4], STEM, None] if options.skips else [None] * len(MIRRORED)
        stage = functools.partial(DecoderStage, base_width=base_width, upsampling=options.upsampling)
        stages = list(zip(sizes, sizes[1:], skips, strict=False))
        self.skips = sum(skip is not None for skip in skips)
        self.decoder = Decoder(stage(*ends) for ends in stages[:shared])

        def shape(level: int, channels: int) -> tuple[int, int, int]:
            return (channels, *(size * 2**level // 32 for size in image_shape[:2]))

        carried = [shape(level, skip) for level, skip in enumerate(skips, 1) if skip and level > shared]
        self.head = TaskDecoders(
            [
                Decoder(
                    [*(stage(*ends) for ends in stages[shared:]), nn.Conv2d(sizes[-1], maps, kernel_size=3, padding=1)]
                )
                for maps in outputs.values()
            ],
            [shape(shared, sizes[shared]), *carried],
        )

    def forward_features(self, images: Tensor) -> list[Tensor]:
        """The output of the last shared stage, then the encoder features that later stages add, [B, m, h, w] each."""
        images = images.contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        _, levels = self.encoder.forward_intermediates(images)
        *shallow, deepest = levels
        return self.decoder([deepest, *(shallow[::-1] if self.skips else [])])

    def forward_head(self, features: list[Tensor], pre_logits: bool = False) -> Tensor | tuple[Tensor, ...]:
        """Maps per task, or, with ``pre_logits``, the features as samples [N, m]."""
        if pre_logits:
            return self.head.pack(features)
        return self.head.decode([features] * len(self.head.tasks))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """One map [B, c_t, H, W] per task."""
        return self.head.decode([self.forward_features(images)] * len(self.head.tasks))

    def get_classifier(self) -> TaskDecoders:
        """The tasks' own parts."""
        return self.head

    def no_weight_decay(self) -> set[str]:
        """None: only biases and norms, which have one dimension, are left out of weight decay."""
        return set()


class TaskDecoders(nn.Module):
    """The tasks' own parts: the decoder stages that are not shared, and the output layers.

    Args:
        tasks: Decoder of each task.
        shapes: Channels, height and width of the features that every task's decoder gets: the last shared stage's,
            then those of skip connections.
    """

    def __init__(self, tasks: list[Decoder], shapes: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.tasks = nn.ModuleList(tasks)
        self.shapes = shapes
        self.in_features = shapes[0][0]

    def forward(self, samples: Tensor) -> tuple[Tensor, ...]:
        """Maps from samples [N, m] that all tasks share, or from each task's own [T, N, m]; see :meth:`pack`."""
        each = samples if samples.ndim == 3 else [samples] * len(self.tasks)
        return self.decode([self.unpack(s) for s in each])

    def decode(self, features: list[list[Tensor]]) -> tuple[Tensor, ...]:
        """Maps from the features of each task."""
        return tuple(task(f)[0] for task, f in zip(self.tasks, features, strict=True))

    def pack(self, features: list[Tensor]) -> Tensor:
        """Features as one tensor of samples: one per position of each image; of several features one per image."""
        if len(features) == 1:
            return features[0].permute(0, 2, 3, 1).flatten(0, 2)
        return torch.cat([f.flatten(1) for f in features], dim=1)

    def unpack(self, samples: Tensor) -> list[Tensor]:
        """Undo :meth:`pack`."""
        if len(self.shapes) == 1:
            return [samples.unflatten(0, (-1, *self.shapes[0][1:])).permute(0, 3, 1, 2)]
        parts = samples.split([c * h * w for c, h, w in self.shapes], dim=1)
        return [
            part.unflatten(1, shape).contiguous(memory_format=torch.channels_last)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]


class Decoder(nn.ModuleList):
    """Decoder stages one after the other, and an output layer if it has one."""

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Apply all stages.

        Args:
            features: The input, then the encoder features of skip connections, in the order in which stages add them.

        Returns:
            The last stage's output, then the encoder features that no stage has added.
        """
        x, *skips = features
        for stage in self:
            x = stage(x, skips.pop(0)) if isinstance(stage, DecoderStage) and stage.skip else stage(x)
        return [x, *skips]


class DecoderStage(nn.Module):
    """An encoder stage in reverse: a block that reduces channels, upsampling by two, another block.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        skip: Channels of the skip connection that is added after upsampling; None: no skip connection.
        base_width: As in timm's ``Bottleneck``.
        upsampling: ``nearest``, or ``transposed`` (a convolution of 2 x 2 with stride 2).
    """

    def __init__(self, inputs: int, outputs: int, skip: int | None, base_width: float, upsampling: str) -> None:
        super().__init__()
        planes = outputs // Bottleneck.expansion
        shortcut = downsample_conv(inputs, outputs, kernel_size=1) if inputs != outputs else None
        self.reduce = Bottleneck(inputs, planes, downsample=shortcut, base_width=base_width)
        self.upsample = (
            nn.ConvTranspose2d(outputs, outputs, kernel_size=2, stride=2)
            if upsampling == "transposed"
            else nn.Upsample(scale_factor=2, mode="nearest")
        )
        self.skip = skip
        self.project = nn.Conv2d(skip, outputs, kernel_size=1) if skip not in (None, outputs) else nn.Identity()
        self.refine = Bottleneck(outputs, planes, base_width=base_width)
        # timm's ResNet initialises the encoder in the same way.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Bottleneck):
                module.zero_init_last()

    def forward(self, features: Tensor, skip: Tensor | None = None) -> Tensor:
        """From [B, inputs, h, w] to [B, outputs, 2 h, 2 w]; ``skip`` is [B, its channels, 2 h, 2 w]."""
        features = self.upsample(self.reduce(features))
        return self.refine(features if skip is None else features + self.project(skip))
