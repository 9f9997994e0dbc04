"""Encoder and decoder for dense tasks: what makes one impossible, and how much computing it takes. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from scalarization.config import DenseOptions

#: Decoder stages, each twice the height and width of the one before.
DECODER_STAGES = 5
#: Depths of the encoder.
DEPTHS = (26,)
#: Planes of the encoder's first stage; the decoder's stages are halved from these.
CHANNELS = (16, 32, 64, 128)


def problems(depth: int, width: int, shared_layers: int | None, model: DenseOptions, image_size: int) -> list[str]:
    """What makes a network for dense tasks impossible; empty if nothing does."""
    messages = []
    if depth not in DEPTHS:
        messages.append(f"depth {depth} is not among {', '.join(map(str, DEPTHS))}")
    if shared_layers is None:
        messages.append("shared_layers is missing: give a list of numbers of decoder stages that all tasks share")
    elif shared_layers > DECODER_STAGES:
        messages.append(f"shared_layers {shared_layers} is more than the {DECODER_STAGES} decoder stages")
    if image_size % 2**DECODER_STAGES:
        messages.append(f"an image size of {image_size} pixels is not a multiple of {2**DECODER_STAGES}")
    if model.channels not in CHANNELS:
        messages.append(f"channels = {model.channels} is not among {', '.join(map(str, CHANNELS))}")
    if width < 4:
        messages.append(f"width {width} leaves the last decoder stages without a channel; take 4 or more")
    return messages


def forward_flops(
    width: int, shared_layers: int, model: DenseOptions, image_size: int, channels: int, maps: Sequence[int]
) -> float:
    """Floating point operations of the convolutions in one image's forward pass (two per multiply-add).

    Args:
        width: Channels in the bottlenecks of the first stage.
        shared_layers: Decoder stages that all tasks share.
        model: Options of the family.
        image_size: Height and width in pixels.
        channels: Channels of the image.
        maps: Channels of each task's map.
    """
    narrow, base = width / model.channels, model.channels

    def block(pixels: int, inputs: int, outputs: int, first: int | None = None) -> float:
        """A bottleneck that sees ``first`` pixels and returns ``pixels``."""
        inner = int(outputs // 4 * narrow)
        shortcut = inputs * outputs if inputs != outputs else 0
        return (first or pixels) * inputs * inner + pixels * (9 * inner**2 + inner * outputs + shortcut)

    pixels = (image_size // 2) ** 2
    total: float = pixels * 49 * channels * 64
    inputs = 64
    for stage in range(4):
        outputs, before = 4 * base * 2**stage, pixels if stage else pixels // 4
        pixels //= 4
        total += block(pixels, inputs, outputs, before) + block(pixels, outputs, outputs)
        inputs = outputs
    sizes = [32 * base, 16 * base, 8 * base, 4 * base, base, base]
    for stage in range(DECODER_STAGES):
        flops = block(pixels, *sizes[stage : stage + 2])
        if model.upsampling == "transposed":
            flops += 4 * pixels * sizes[stage + 1] ** 2
        pixels *= 4
        flops += block(pixels, sizes[stage + 1], sizes[stage + 1])
        if model.skips and stage == 3 and base != 64:
            flops += pixels * 64 * base  # the stem's channels are 64 whatever the others
        total += flops * (1 if stage < shared_layers else len(maps))
    return 2.0 * (total + pixels * 9 * sizes[-1] * sum(maps))
