"""Methods: how the weights of the tasks come about, one module each.

A method of constant weights has ``weight_settings(options, tasks, sizes)``, the weight vectors of its cell's members;
one whose weights a search finds has only ``OPTIONS`` that name the search (``_searched.py``).
Any other has ``build(options, tasks)``, which returns what turns losses or gradients of tasks into one (see
``_base.py``), and ``OPTIONS``, its options with their defaults. Modules are imported while the workflow is planned, so
importing them must be light: torch and TorchJD are imported inside ``build``.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING

from scalarization.config import suggestion
from scalarization.errors import ConfigError
from scalarization.methods import _searched

if TYPE_CHECKING:
    from scalarization.methods._base import Method


def names() -> list[str]:
    """All methods there are."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The module of one method.

    Raises:
        ConfigError: There is no such method.
    """
    if name not in names():
        raise ConfigError(f"method '{name}' is unknown; {suggestion(name, names())}")
    return importlib.import_module(f"{__name__}.{name}")


def check_simplex(weights: list[float], tasks: list[str]) -> None:
    """Raise ConfigError unless ``weights`` (one per task) are non-negative and sum to 1 within 1e-6."""
    if len(weights) != len(tasks):
        raise ConfigError(f"{len(weights)} weights for {len(tasks)} tasks ({', '.join(tasks)})")
    if any(w < 0 for w in weights) or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ConfigError(f"weights {list(weights)} are off the simplex: they must be >= 0 and sum to 1")


def weight_settings(name: str, options: dict, tasks: list[str], sizes: dict[str, int]) -> list[list[float]]:
    """The weight vectors of a method's members.

    One empty vector if a search is still to find them. Uniform for a method that does not set weights itself: that is
    what the domains are sampled with under multi-domain learning.
    """
    module = load(name)
    if hasattr(module, "weight_settings"):
        return module.weight_settings(options, tasks, sizes)
    if name in _searched.METHODS:
        return [[]]
    return [[1 / len(tasks)] * len(tasks)]


def with_defaults(name: str, options: dict) -> dict:
    """A method's options with its defaults filled in.

    Raises:
        ConfigError: An option is unknown.
    """
    defaults = getattr(load(name), "OPTIONS", None)
    if defaults is None:
        return options
    for key in options:
        if key not in defaults:
            raise ConfigError(f"{name}.{key} = {options[key]}: unknown option, {suggestion(key, defaults)}")
    return {**defaults, **options}


def needs_task_gradients(name: str) -> bool:
    """Whether a method takes the gradient of every task by itself; these have the option ``include_heads``."""
    return "include_heads" in getattr(load(name), "OPTIONS", {})


def build(name: str, options: dict, tasks: int) -> Method | None:
    """What turns losses or gradients of tasks into one, or None for a method of constant weights."""
    module = load(name)
    return module.build(options, tasks) if hasattr(module, "build") else None
