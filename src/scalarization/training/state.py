"""The state of a run in progress as bytes, and whether a state that was read is one of this run.

A checkpoint's checksum and key say that its bytes are those that were written for the run. What is here is for all that
remains: a file of another origin must neither run code nor end training with an error of torch.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

#: Optimiser -> what it keeps for every parameter that has had a gradient.
OPTIMIZER_STATES = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.SGD: {"momentum_buffer"}}


def pack(content: Mapping[str, Any]) -> bytes:
    """A state as bytes.

    Args:
        content: Names -> tensors, plain values, and lists and dicts of them.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def unpack(payload: bytes, device: torch.device) -> Any:
    """What was given to :func:`pack`; no code that the bytes might hold is run.

    Raises:
        ValueError: The bytes are something else.
    """
    # Torch warns about formats that are refused anyway.
    with refusing("not a state of this program"), warnings.catch_warnings(action="ignore"):
        return torch.load(io.BytesIO(payload), map_location=device, weights_only=True)


@contextlib.contextmanager
def refusing(reason: str) -> Iterator[None]:
    """Make every error a ValueError: a foreign state fails in ways that torch does not list.

    Memory that runs out says nothing about a state.
    """
    try:
        yield
    except (torch.OutOfMemoryError, ValueError):
        raise
    except Exception as error:
        raise ValueError(f"{reason} ({type(error).__name__})") from None


def require_like(given: Any, own: Any, place: str = "state") -> None:
    """Compare the structure of a state with that of a run's own, new state: types, names, lengths, shapes.

    Where the own state has None or nothing yet, everything of that kind fits.

    Args:
        given: What was read.
        own: The run's own.
        place: Name of both, for messages.

    Raises:
        ValueError: They differ; the message names the place.
    """
    if own is None:
        return
    kind = next((base for base in (Tensor, dict) if isinstance(own, base)), type(own))
    if not issubclass(type(given), kind):
        raise ValueError(f"{place} is of type {type(given).__name__}")
    if isinstance(own, Tensor):
        if (given.shape, given.dtype) != (own.shape, own.dtype):
            raise ValueError(f"{place} is {given.dtype} {list(given.shape)}, not {own.dtype} {list(own.shape)}")
    elif isinstance(own, dict):
        if own and given.keys() != own.keys():
            raise ValueError(f"{place} has other entries: {', '.join(map(str, given.keys() ^ own.keys()))}")
        for name, value in own.items():
            require_like(given[name], value, f"{place}.{name}")
    elif isinstance(own, list | tuple) and own:
        if len(given) != len(own):
            raise ValueError(f"{place} has {len(given)} entries, not {len(own)}")
        for number, value in enumerate(own):
            require_like(given[number], value, f"{place}.{number}")


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimiser's state, and check what torch does not: names and shapes of what it keeps per parameter.

    Raises:
        ValueError: The state is of another optimiser or of other parameters.
    """
    optimizer.load_state_dict(state)
    names = OPTIMIZER_STATES[type(optimizer)]
    for parameter, kept in optimizer.state.items():
        if not isinstance(parameter, Tensor) or kept.keys() != names:
            raise ValueError("the optimiser's state is of another optimiser")
        if any(name != "step" and kept[name].shape != parameter.shape for name in names):
            raise ValueError("the optimiser's state is of other parameters")
