"""Benchmarks: one module each, with what it is (``INFO``, ``PROVENANCE``) and how its files are read (``read``).

Importing a benchmark's module is light, so that the workflow can ask for its facts; whatever is heavy (torchvision)
is imported inside ``read``. Modules with a leading underscore are shared and no benchmarks.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from scalarization.config import suggestion
from scalarization.errors import ConfigError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class MapFormat:
    """How the maps of a dense task are stored.

    Attributes:
        channels: Values per pixel.
        dtype: ``uint8``, ``uint16`` or ``float16``; of the last, NaN is a value that is not known.
        invalid: Integer that stands for a value that is not known; None: there is none.
        mirrored: Channel -> centre c: its values v become 2 c - v when the image is flipped horizontally.
        image: Whether the map is the image itself, which is then stored once.
    """

    channels: int
    dtype: str
    invalid: int | None = None
    mirrored: dict[int, float] = field(default_factory=dict)
    image: bool = False


@dataclass(frozen=True)
class BenchmarkInfo:
    """What is known of a benchmark before its data are there.

    Attributes:
        setting: ``mdl`` (every image belongs to one domain) or ``mtl`` (every image carries all labels).
        domains: Domain -> number of images in its official training set, on which an epoch is counted.
        classes: Names of the classes, in the order of the labels.
        image_size: Height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        reported: Whether the paper reports numbers for this benchmark (else it is a bundled stand-in).
        groups: MTL: group -> its binary attributes, which share one weight.
        ungrouped: MTL: binary attributes that belong to no group; they are tasks of their own.
        maps: MTL, dense prediction: task -> its maps.
        encoded: Whether the prepared store holds encoded images that are decoded while training, because they do not
            fit into memory.
    """

    setting: str
    domains: dict[str, int]
    classes: tuple[str, ...]
    image_size: int
    channels: int
    reported: bool
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ungrouped: tuple[str, ...] = ()
    maps: dict[str, MapFormat] = field(default_factory=dict)
    encoded: bool = False

    @property
    def attributes(self) -> tuple[str, ...]:
        """MTL: all attributes, in the order of the labels' columns."""
        return (*(a for group in self.groups.values() for a in group), *self.ungrouped)

    def outputs(self, task: str) -> tuple[str, ...]:
        """MTL: the attributes that a task (a group, or an attribute alone) consists of."""
        return self.groups.get(task, (task,))


def names() -> list[str]:
    """All benchmarks there are."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> ModuleType:
    """The module of one benchmark.

    Raises:
        ConfigError: There is no such benchmark.
    """
    if name not in names():
        raise ConfigError(f"benchmark '{name}' is unknown; {suggestion(name, names())}")
    return importlib.import_module(f"{__name__}.{name}")


@dataclass(frozen=True)
class DomainData:
    """One domain before it is stored.

    Attributes:
        images: uint8 array [N, H, W, C] of all splits.
        labels: integer array [N], values 0 .. classes - 1; MTL: [N, A] of 0 and 1.
        splits: Split -> row numbers, disjoint.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: dict[str, np.ndarray]


@dataclass(frozen=True)
class DenseData:
    """Images with maps before they are stored; read one by one, because together they may not fit into memory.

    Attributes:
        splits: Split -> keys of its images, disjoint, in the order in which they are stored.
        load: From a key to ``images``, uint8 [H, W, C], and task -> map [H, W, c] as its :class:`MapFormat` says; maps
            that are the image itself are left out. Called from several threads at once.
    """

    splits: dict[str, Sequence[Any]]
    load: Callable[[Any], dict[str, np.ndarray]]


@dataclass(frozen=True)
class EncodedDomain:
    """One domain of images that are too many to be decoded at once, before it is stored.

    Attributes:
        content: Row -> content of an original image file, in any format that Pillow reads; called by several threads.
        names: Name of every original file, for messages.
        labels: integer array [N], values 0 .. classes - 1.
        splits: Split -> row numbers, disjoint.
    """

    content: Callable[[int], bytes]
    names: list[str]
    labels: np.ndarray
    splits: dict[str, np.ndarray]
