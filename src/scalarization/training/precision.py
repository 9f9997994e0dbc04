"""Mixed precision of forward passes."""

from __future__ import annotations

import contextlib

import torch


def resolve(precision: str, device: torch.device) -> str:
    """``float32`` or ``bfloat16``, whichever a device is to use.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on CUDA devices that have it, else float32.
        device: Where forward passes run.
    """
    if precision != "auto":
        return precision
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Context of a forward pass.

    Args:
        precision: As :func:`resolve` takes it.
        device: Where the pass runs.
    """
    if resolve(precision, device) == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
