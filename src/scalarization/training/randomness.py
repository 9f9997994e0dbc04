"""Torch's global random state: forked around training, set anew at every step, so no state of it needs saving."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def forked(device: torch.device) -> Iterator[None]:
    """Draws inside change nothing about draws outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def seed_global_state(device: torch.device, seed: int) -> None:
    """Set the global random state, of the CPU and of ``device``."""
    # Not torch.manual_seed: without CUDA it keeps a stack trace for every device type at every call.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def get_global_state(device: torch.device) -> list[Tensor]:
    """The global random state, of the CPU and of ``device``."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def set_global_state(device: torch.device, states: list[Tensor]) -> None:
    """Take back what :func:`get_global_state` returned."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
