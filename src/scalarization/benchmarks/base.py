"""How a benchmark declares itself, and what its reader returns. No torch: every process that plans imports this.

A module of this package exports one ``BENCHMARK``, a :class:`BenchmarkInfo`. The type of its ``labels`` says what kind
of tasks it has.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from scalarization.specification import AttributeOutputs, DenseOutputs, DomainOutputs, Outputs

if TYPE_CHECKING:
    from scalarization.benchmarks.originals import Original

SPLITS = ("train", "validation", "test")
#: Bytes of a stored image that is decoded while training: a JPEG of 256 pixels on its shorter side (an assumption).
ENCODED_BYTES = 30e3


class Labels(ABC):
    """The labels of a benchmark's images; each kind of tasks is a subclass.

    Attributes:
        setting: ``mdl`` (every image belongs to one domain) or ``mtl`` (every image carries all labels).
    """

    setting: ClassVar[str]

    @property
    def map_bytes(self) -> int:
        """Bytes per pixel of all maps; 0 without maps."""
        return 0

    def stored_bytes(self, tasks: Sequence[str] | None) -> int:
        """Bytes per pixel of the maps of some tasks in the prepared store; 0 without maps.

        Args:
            tasks: The tasks; None: all.
        """
        return 0

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The labels in ``dataset.json``: ``setting``, names of ``classes`` and of ``attributes``."""

    @abstractmethod
    def known(self, domains: Sequence[str], tasks: Sequence[str] | None) -> list[str]:
        """Names that a task set may consist of.

        Args:
            domains: The domains that the preset prepares.
            tasks: The tasks that the preset prepares; None: all.
        """

    @abstractmethod
    def named(self, word: str) -> list[str]:
        """Names that the words ``groups`` and ``attributes`` stand for in a task set; empty if they have no meaning."""

    @abstractmethod
    def outputs(self, tasks: Sequence[str], domains: Sequence[str], single: bool) -> Outputs:
        """What a network for these tasks predicts, and where it is evaluated.

        Args:
            tasks: The task set.
            domains: The domains that the preset prepares.
            single: Whether this is a single-dataset baseline, which is evaluated on every domain (appendix 2.2).
        """


@dataclass(frozen=True)
class ClassLabels(Labels):
    """Every image belongs to one domain and has one class (MDL); weights belong to domains.

    Attributes:
        names: Names of the classes, in the order of the labels.
    """

    setting: ClassVar[str] = "mdl"

    names: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """The labels in ``dataset.json``."""
        return {"setting": self.setting, "classes": list(self.names), "attributes": []}

    def known(self, domains: Sequence[str], tasks: Sequence[str] | None) -> list[str]:
        """The prepared domains."""
        return list(domains)

    def named(self, word: str) -> list[str]:
        """Nothing: there are neither groups nor attributes."""
        return []

    def outputs(self, tasks: Sequence[str], domains: Sequence[str], single: bool) -> Outputs:
        """One classifier for all domains; see :meth:`Labels.outputs`."""
        return DomainOutputs(len(self.names), tuple(domains if single else tasks))


@dataclass(frozen=True)
class AttributeLabels(Labels):
    """Every image carries all binary attributes (MTL); a task is a group of them, or one alone.

    Attributes:
        groups: Group -> its attributes, which share one weight.
        ungrouped: Attributes that belong to no group; they are tasks of their own.
    """

    setting: ClassVar[str] = "mtl"

    groups: Mapping[str, tuple[str, ...]]
    ungrouped: tuple[str, ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """All attributes, in the order of the labels' columns."""
        return (*(a for group in self.groups.values() for a in group), *self.ungrouped)

    def describe(self) -> dict[str, Any]:
        """The labels in ``dataset.json``."""
        return {"setting": self.setting, "classes": [], "attributes": list(self.attributes)}

    def known(self, domains: Sequence[str], tasks: Sequence[str] | None) -> list[str]:
        """Groups and attributes."""
        return [*self.groups, *self.attributes]

    def named(self, word: str) -> list[str]:
        """All groups, or all attributes."""
        return list(self.groups if word == "groups" else self.attributes)

    def outputs(self, tasks: Sequence[str], domains: Sequence[str], single: bool) -> Outputs:
        """One logit per attribute of each task; see :meth:`Labels.outputs`."""
        attributes = {task: self.groups.get(task, (task,)) for task in tasks}
        return AttributeOutputs(self.attributes, attributes, tuple(domains))


@dataclass(frozen=True)
class MapFormat:
    """How the maps of a dense task are stored.

    Attributes:
        channels: Values per pixel.
        dtype: ``uint8``, ``uint16`` or ``float16``; NaN of the last is an unknown value.
        invalid: Integer that stands for an unknown value; None: no integer does.
        mirrored: Channel -> centre c: its values v become 2 c - v when the image is flipped horizontally.
        image: Whether the map is the image itself, which is then stored once.
    """

    channels: int
    dtype: str
    invalid: int | None = None
    mirrored: Mapping[int, float] = field(default_factory=dict)
    image: bool = False

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of a pixel's values."""
        return self.channels * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class MapLabels(Labels):
    """Every image carries a map per dense task (MTL).

    Attributes:
        formats: Task -> format of its maps.
    """

    setting: ClassVar[str] = "mtl"

    formats: Mapping[str, MapFormat]

    @property
    def map_bytes(self) -> int:
        """Bytes per pixel of all maps, those that are the image itself included."""
        return sum(form.bytes_per_pixel for form in self.formats.values())

    def stored_bytes(self, tasks: Sequence[str] | None) -> int:
        """Bytes per pixel of the maps of some tasks in the prepared store, which holds the image once."""
        formats = [self.formats[task] for task in tasks or self.formats]
        return sum(form.bytes_per_pixel for form in formats if not form.image)

    def describe(self) -> dict[str, Any]:
        """The labels in ``dataset.json``, to which writing the store adds the statistics of every map."""
        return {"setting": self.setting, "classes": [], "attributes": []}

    def known(self, domains: Sequence[str], tasks: Sequence[str] | None) -> list[str]:
        """The prepared tasks."""
        return list(tasks or self.formats)

    def named(self, word: str) -> list[str]:
        """Nothing: there are neither groups nor attributes."""
        return []

    def outputs(self, tasks: Sequence[str], domains: Sequence[str], single: bool) -> Outputs:
        """One map per task; see :meth:`Labels.outputs`."""
        return DenseOutputs({task: self.formats[task].channels for task in tasks}, tuple(domains))


@dataclass(frozen=True)
class DomainInfo:
    """Sizes of a domain, which plans need before its data are prepared.

    Attributes:
        train_images: Images in its official training set, on which an epoch is counted.
        images: Images of all splits as published; None: estimates take ``train_images`` instead.
        original_bytes: Bytes of its original files (approximate); 0 if they come with this package.
        approximate: Whether the numbers of images are approximate, so that prepared data may have others.
    """

    train_images: int
    images: int | None = None
    original_bytes: float = 0.0
    approximate: bool = False


def images_left(images: int, limit: float | None) -> int:
    """Number of training images that are used.

    Args:
        images: Number of training images.
        limit: The number that is used (1 or more), or the fraction (below 1), rounded; None: all.
    """
    if limit is None:
        return images
    return int(limit) if limit >= 1 else max(1, round(limit * images))


@dataclass(frozen=True)
class BenchmarkInfo:
    """Declaration of a benchmark: labels, domains and their sizes, and the functions that read its files.

    Attributes:
        labels: Classes, attributes or maps; their type says what kind of tasks the benchmark has.
        domains: Domain -> its sizes.
        image_size: Height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        provenance: Source, licence and seeds of splits, as ``dataset.json`` has them.
        read: From the names to read and the directory of downloads to the data. Names are domains, and the data domain
            -> :class:`DomainData` or :class:`EncodedDomain`; with maps, names are tasks and the data
            :class:`DenseData`.
        reported: Whether the paper reports numbers for this benchmark.
        encoded: Whether the prepared store holds encoded images that are decoded while training, because they do not
            fit into memory.
        files: From domains to the original files that are fetched; None: no file is fetched.
        page: Web page that offers the files, for people.
        require: From tasks (None: all) and the directory of downloads to None; raises DataError if files are missing
            that only the user can fetch. None: there are no such files.
        sources: From tasks (None: all) and the directory of downloads to the files and folders that ``read`` reads
            besides ``files``. If they change, the data are prepared again. None: the folder of the benchmark's name in
            the directory of downloads, if there is one.
        shared_images: Largest share of a domain's images that may be in two splits, because the published lists have
            such images. They stay where they are published, and ``dataset.json`` lists them.
    """

    labels: Labels
    domains: Mapping[str, DomainInfo]
    image_size: int
    channels: int
    provenance: Mapping[str, Any]
    read: Callable[[list[str], Path], Any]
    reported: bool = False
    encoded: bool = False
    files: Callable[[list[str]], list[Original]] | None = None
    page: str = ""
    require: Callable[[list[str] | None, Path], None] | None = None
    sources: Callable[[list[str] | None, Path], list[Path]] | None = None
    shared_images: float = 0.0

    @property
    def setting(self) -> str:
        """``mdl`` (every image belongs to one domain) or ``mtl`` (every image carries all labels)."""
        return self.labels.setting

    @property
    def train_sizes(self) -> dict[str, int]:
        """Domain -> number of images in its official training set."""
        return {name: domain.train_images for name, domain in self.domains.items()}

    def limited(self, train_images: Mapping[str, float]) -> BenchmarkInfo:
        """The same benchmark with fewer training images.

        Args:
            train_images: Domain -> number (1 or more) or fraction (below 1) of its training images that are used.
        """
        domains = {
            name: replace(domain, train_images=images_left(domain.train_images, train_images.get(name)))
            for name, domain in self.domains.items()
        }
        return replace(self, domains=domains)

    def original_bytes(self, domains: Sequence[str]) -> float:
        """Bytes of the original files of some domains; 0 if the benchmark comes with this package."""
        return sum(self.domains[domain].original_bytes for domain in domains)

    def store_bytes(self, domains: Sequence[str], tasks: Sequence[str] | None) -> float:
        """Bytes of the prepared store (estimate)."""
        images = sum(self.domains[d].images or self.domains[d].train_images for d in domains)
        if self.encoded:
            return images * ENCODED_BYTES
        return images * self.image_size**2 * (self.channels + self.labels.stored_bytes(tasks))

    def memory_mb(self, domains: Sequence[str]) -> int:
        """MB that a process needs for data that are kept in memory: twice the training images with their maps."""
        images = sum(self.domains[domain].train_images for domain in domains)
        return math.ceil(2 * images * self.image_size**2 * (self.channels + self.labels.map_bytes) / 2**20)

    @property
    def stays_on_disk(self) -> bool:
        """Whether data may be read from disk while training instead of being kept in memory."""
        return self.encoded or isinstance(self.labels, MapLabels)


@dataclass(frozen=True)
class DomainData:
    """One domain before it is stored.

    Attributes:
        images: uint8 array [N, H, W, C], all splits together.
        labels: integer array [N], values 0 .. classes - 1; MTL: [N, A] of 0 and 1.
        splits: Split -> row numbers, disjoint.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: dict[str, np.ndarray]


@dataclass(frozen=True)
class DenseData:
    """Images with maps before they are stored; read one by one, because all of them may not fit into memory.

    Attributes:
        splits: Split -> keys of its images, disjoint, in the order in which they are stored.
        load: From a key to ``images``, uint8 [H, W, C], and task -> map [H, W, c] in its :class:`MapFormat`; maps that
            are the image itself are left out. It raises UnusableError for an image that cannot be used. Several
            threads call it at the same time.
        tolerated: Largest share of the images that may be unusable. They are left out, and ``dataset.json`` lists them.
        remarks: What else is to be known of these data, such as missing parts; becomes a part of ``dataset.json``.
    """

    splits: Mapping[str, Sequence[Any]]
    load: Callable[[Any], dict[str, np.ndarray]]
    tolerated: float = 0.0
    remarks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedDomain:
    """One domain before it is stored, with too many images to decode all of them at once.

    Attributes:
        content: Row -> content of an original image file, in any format that Pillow reads. It raises UnusableError for
            a file that cannot be read. Several threads call it.
        names: Name of every original file, for messages.
        labels: integer array [N], values 0 .. classes - 1.
        splits: Split -> row numbers, disjoint.
    """

    content: Callable[[int], bytes]
    names: list[str]
    labels: np.ndarray
    splits: dict[str, np.ndarray]
