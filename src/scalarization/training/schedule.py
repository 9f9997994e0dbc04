"""Optimisers and the learning rate of a step."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.optim import param_groups_weight_decay


def learning_rate(step: int, steps: int, warmup_steps: int, peak: float, schedule: str) -> float:
    """Learning rate of a step: linear warm-up, then cosine to zero or constant.

    Args:
        step: Number of the step, from 0.
        steps: Steps in all.
        warmup_steps: Steps of warm-up; the last of them has the peak rate.
        peak: Peak rate.
        schedule: ``cosine`` or ``constant``.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps)))


def build_optimizer(
    network: torch.nn.Module, recipe: dict[str, Any], method: torch.nn.Module | None = None
) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum; fused, which is the fastest on CPU and CUDA.

    Unless ``decay_bias_and_norm``, weight decay leaves out parameters of one dimension and what the network itself
    excepts (ViT: class token, position embedding). What a method learns has no weight decay, and its own ``rate`` as a
    fraction of the learning rate if it names one.
    """
    decay = recipe["weight_decay"]
    if recipe["decay_bias_and_norm"]:
        groups = [{"params": list(network.parameters()), "weight_decay": decay}]
    else:
        excepted = network.no_weight_decay() if hasattr(network, "no_weight_decay") else ()
        groups = param_groups_weight_decay(network, decay, no_weight_decay_list=excepted)
    learned = [] if method is None else list(method.parameters())
    if learned:
        groups.append({"params": learned, "weight_decay": 0.0, "rate": getattr(method, "rate", 1.0)})
    if recipe["optimizer"] == "adamw":
        return torch.optim.AdamW(groups, lr=recipe["lr"], fused=True)
    return torch.optim.SGD(groups, lr=recipe["lr"], momentum=recipe["momentum"], fused=True)
