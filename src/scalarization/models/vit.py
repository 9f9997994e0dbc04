"""ViT for small images (Gani et al. 2022), from timm."""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer

from scalarization.architectures import Architecture
from scalarization.config import ViTOptions

#: With fewer patches, attention written out is faster on a CPU than torch's fused kernel (performance/RESULTS.md).
FEW_PATCHES = 32


def build(
    architecture: Architecture, options: ViTOptions, image_shape: tuple[int, int, int], outputs: int
) -> VisionTransformer:
    """ViT with class token, learned position embedding, qkv bias, LayerNorm eps 1e-6, truncated-normal 0.02 weights.

    Weight decay leaves out class token and position embedding: timm's network declares them in ``no_weight_decay``.

    Args:
        architecture: ``depth`` blocks, embedding of size ``width``.
        options: Patch size, heads, hidden size of the MLP, stochastic depth.
        image_shape: Height, width, channels.
        outputs: Number of logits.
    """
    height, width, channels = image_shape
    network = VisionTransformer(
        img_size=(height, width),
        patch_size=options.patch,
        in_chans=channels,
        num_classes=outputs,
        embed_dim=architecture.width,
        depth=architecture.depth,
        num_heads=options.heads,
        mlp_ratio=options.mlp_ratio,
        drop_path_rate=options.drop_path,
    )
    if network.patch_embed.num_patches < FEW_PATCHES:
        for block in network.blocks:
            block.attn.fused_attn = False
    return network
