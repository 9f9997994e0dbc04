"""Methods: how the task weights are determined. Each module declares one method as ``METHOD``.

A new method needs one file in this package, with ``METHOD`` (:mod:`scalarization.methods.info` says what it consists
of), and one line in a preset. Nothing else lists the methods: the names below are those of the files.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from scalarization.config import MethodOptions, parse_options, suggestion
from scalarization.config.messages import shortened
from scalarization.errors import ConfigError
from scalarization.methods import searched
from scalarization.methods.info import CostFormulas, MethodInfo, check_simplex

__all__ = [
    "CostFormulas",
    "MethodInfo",
    "MethodOptions",
    "all_methods",
    "check_simplex",
    "load",
    "names",
    "parse",
    "weight_settings",
]
#: Modules of this package that are not named after a method.
SUPPORT = frozenset({"base", "info", "jacobian", "searched"})


@functools.cache
def names() -> tuple[str, ...]:
    """Names of all methods, in alphabetical order."""
    modules = (m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_") and m.name not in SUPPORT)
    return tuple(sorted((*modules, *searched.METHODS)))


def load(name: str) -> MethodInfo:
    """What one method declares.

    Raises:
        ConfigError: There is no such method.
    """
    if name in searched.METHODS:
        return searched.METHODS[name]
    if name not in names():
        raise ConfigError(f"method '{name}' is unknown; {suggestion(name, names())}")
    method: MethodInfo = importlib.import_module(f"{__name__}.{name}").METHOD
    return method


def all_methods() -> list[MethodInfo]:
    """All methods, in the order in which tables list them."""
    return sorted(map(load, names()), key=lambda method: method.order)


def parse(name: str, options: dict[str, Any]) -> MethodOptions:
    """A method's options as a preset gives them, checked, with defaults filled in.

    Raises:
        ConfigError: The method or an option is unknown, or a value is not possible.
    """
    declared = load(name).options
    if options and not declared.model_fields:
        lines = (f"{name}.{key} = {shortened(value)}: method {name} has no options" for key, value in options.items())
        raise ConfigError("\n".join(lines))
    return parse_options(name, declared, options)


def weight_settings(
    name: str, options: MethodOptions, tasks: Sequence[str], sizes: Mapping[str, int]
) -> list[list[float]]:
    """The weight vectors of a cell.

    A method that acts on losses or gradients gets one uniform vector: under multi-domain learning, domains are sampled
    with it.

    Args:
        name: The method.
        options: Its options.
        tasks: Names of the tasks or domains that are trained together.
        sizes: Domain -> number of images in its official training set.

    Returns:
        Weight vectors, each of the length of ``tasks``; one empty vector if a search determines the weights.

    Raises:
        ConfigError: The options do not fit the tasks.
    """
    method = load(name)
    if method.weight_settings is not None:
        return method.weight_settings(options, tasks, sizes)
    return [[]] if method.kind == "searched" else [[1 / len(tasks)] * len(tasks)]
