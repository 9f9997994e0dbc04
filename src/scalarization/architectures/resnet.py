"""Shapes of ResNets of bottleneck blocks, what makes one impossible, and how much computing it takes. No torch here.

These count as the code of the jobs that train them: a network's shape is made here.
"""

from __future__ import annotations

from scalarization.config import ResNetOptions

#: Depth -> blocks of each stage. 14 is not in the paper; it is for small images.
LAYERS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
#: Bottleneck width of the published networks, in a first stage of 64 channels.
FULL_WIDTH = 64
#: Channels of the plain stem.
STEM = 64
#: Channels of a block's output over its planes.
EXPANSION = 4


def stages(width: int, model: ResNetOptions) -> list[tuple[int, int]]:
    """Planes (a fourth of the output's channels) and bottleneck channels of each stage.

    Args:
        width: Base width of the bottleneck.
        model: Options of the family.
    """
    planes = model.channels
    if model.scale_stages:
        planes, width = planes * width // FULL_WIDTH, FULL_WIDTH
    return [(planes * 2**stage, planes * 2**stage * width // FULL_WIDTH) for stage in range(4)]


def problems(depth: int, width: int, model: ResNetOptions) -> list[str]:
    """What makes a ResNet impossible; empty if nothing does."""
    messages = []
    if depth not in LAYERS:
        known = ", ".join(map(str, LAYERS))
        messages.append(f"depth {depth} is no ResNet of bottleneck blocks here; choose among {known}")
    planes, bottleneck = stages(width, model)[0]
    if not bottleneck:
        messages.append(
            f"width {width} leaves nothing of the first stage's {model.channels} channels (it has channels x width "
            f"/ {FULL_WIDTH}); choose a larger width, or more channels in the benchmark's model"
        )
    elif model.stem == "deep" and planes % 2:
        messages.append(f"stem = deep needs an even number of channels in the first stage, here are {planes}")
    return messages


def forward_flops(depth: int, width: int, model: ResNetOptions, image_size: int, channels: int) -> float:
    """Floating point operations of the convolutions in one image's forward pass (two per multiply-add)."""
    shapes = stages(width, model)
    size = _halved(image_size)
    if model.stem == "deep":
        before, half = shapes[0][0], shapes[0][0] // 2
        total = 9 * size**2 * (channels * half + half * half + half * before)
    else:
        before = STEM
        total = 49 * size**2 * channels * before
    size = _halved(size)
    for stage, (blocks, (planes, bottleneck)) in enumerate(zip(LAYERS[depth], shapes, strict=True)):
        outputs = EXPANSION * planes
        for block in range(blocks):
            after = _halved(size) if stage and not block else size
            total += size**2 * before * bottleneck + after**2 * bottleneck * (9 * bottleneck + outputs)
            if before != outputs or after != size:
                total += after**2 * before * outputs
            before, size = outputs, after
    return 2 * total


def _halved(size: int) -> int:
    return (size + 1) // 2
