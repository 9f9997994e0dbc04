"""Mixed precision of forward passes."""

from __future__ import annotations

import contextlib

import torch


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Context of a forward pass.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA devices that have it, else float32.
        device: Where the pass runs.
    """
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if fast else "float32"
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
