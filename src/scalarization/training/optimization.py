"""Optimisers, and the learning rate of a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from timm.optim import param_groups_weight_decay

from scalarization import models
from scalarization.config import Recipe

if TYPE_CHECKING:
    from scalarization.methods.base import Method


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


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the network's parameters; other groups have ``lr_scale`` times that."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def build_optimizer(network: torch.nn.Module, recipe: Recipe, method: Method | None = None) -> torch.optim.Optimizer:
    """AdamW or SGD with momentum; fused, which is the fastest on CPU and CUDA.

    Unless ``decay_bias_and_norm``, weight decay leaves out parameters of one dimension and those that the network
    declares (ViT: class token, position embedding). Parameters that a method learns have no weight decay, and the
    method's ``lr_scale`` times the learning rate.
    """
    if recipe.decay_bias_and_norm:
        groups = [{"params": list(network.parameters()), "weight_decay": recipe.weight_decay}]
    else:
        undecayed = models.no_weight_decay(network)
        groups = param_groups_weight_decay(network, recipe.weight_decay, no_weight_decay_list=undecayed)
    for group in groups:
        group["lr_scale"] = 1.0
    if method is not None and (learned := list(method.parameters())):
        groups.append({"params": learned, "weight_decay": 0.0, "lr_scale": method.lr_scale})
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=True)
