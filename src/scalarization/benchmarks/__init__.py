"""Benchmarks: one module each, which declares itself as ``BENCHMARK`` and reads its files.

Planning imports a benchmark's module for what it declares, so the import is light: heavy packages (torchvision) are
imported inside of functions.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from scalarization.benchmarks.base import SPLITS, BenchmarkInfo
from scalarization.config import suggestion
from scalarization.errors import ConfigError

__all__ = ["SPLITS", "BenchmarkInfo", "load", "names"]
#: Modules of this package that declare no benchmark.
SUPPORT = frozenset({"archives", "base", "bundled", "emoji_files", "images", "labels", "originals", "splits"})


@functools.cache
def names() -> tuple[str, ...]:
    """Names of all benchmarks."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in SUPPORT))


def load(name: str) -> BenchmarkInfo:
    """What one benchmark declares.

    Raises:
        ConfigError: There is no such benchmark.
    """
    if name not in names():
        raise ConfigError(f"benchmark '{name}' is unknown; {suggestion(name, names())}")
    return importlib.import_module(f"{__name__}.{name}").BENCHMARK
