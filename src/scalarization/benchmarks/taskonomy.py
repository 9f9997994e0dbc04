"""``taskonomy``: the tiny split of Taskonomy (Zamir et al., CVPR 2018) at 256 pixels, split by building.

The setting is that of appendix 1.2. Every user has to accept the data's licence, so no file is fetched. The reader
expects in ``<data_dir>/taskonomy`` one folder for each building and kind of file, either as the official archives
unpack or as the authors' download tool (omnidata-tools) writes them::

    allensville_depth_zbuffer/point_0_view_0_domain_depth_zbuffer.png
    depth_zbuffer/taskonomy/allensville/point_0_view_0_domain_depth_zbuffer.png

The data set's documentation (StanfordVL/taskonomy, data/README.md) says: images have 512 x 512 pixels; depth is in
1/512 m up to 128 m, and the largest 16-bit value, 65535, marks pixels where the scan has no surface; normals are
centred at 127; the tiny split has 25, 5 and 5 buildings for training, validation and test.

What the tool delivers is not complete: it has no building ``woodbine`` (StanfordVL/taskonomy, issue 50; omnidata, issue
3), and a few files are damaged at their origin (omnidata, issues 5 and 7, where its authors estimate 0.05 percent). So
these may be missing; ``dataset.json`` and the log say what is.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np

from scalarization.benchmarks.base import BenchmarkInfo, DenseData, DomainInfo, MapFormat, MapLabels
from scalarization.benchmarks.images import UnusableError, listed, opened_image
from scalarization.errors import DataError

IMAGE_SIZE = 256
NO_SURFACE = 65535
ORDER_SEED = 0
#: The official buildings of the tiny split.
BUILDINGS = {
    "train": (
        *("allensville", "beechwood", "benevolence", "coffeen", "cosmos", "forkland", "hanson", "hiteman"),
        *("klickitat", "lakeville", "leonardo", "lindenwood", "marstons", "merom", "mifflinburg", "newfields"),
        *("onaga", "pinesdale", "pomaria", "ranchester", "shelbyville", "stockman", "tolstoy", "wainscott"),
        "woodbine",
    ),
    "validation": ("collierville", "corozal", "darden", "markleeville", "wiconisco"),
    "test": ("ihlen", "mcdade", "muleshoe", "noxapater", "uvalda"),
}
#: Buildings that may be absent, because the authors' tool does not deliver them.
MAY_BE_ABSENT = ("woodbine",)
#: Largest share of views that may be damaged (choice: twice what the authors estimate).
TOLERATED = 0.001
#: Task -> kind of file.
KINDS = {
    "depth": "depth_zbuffer",
    "normals": "normal",
    "occlusion_edges": "edge_occlusion",
    "texture_edges": "edge_texture",
    "keypoints_2d": "keypoints2d",
    "segmentation_2d": "segment_unsup2d",
}
#: Tasks whose targets come from the scan: their maps are unknown where depth is unknown.
FROM_SCAN = ("depth", "normals", "occlusion_edges")

#: Task -> format of its maps.
FORMATS = {
    "depth": MapFormat(1, "uint16", invalid=NO_SURFACE),
    "normals": MapFormat(3, "uint16", invalid=NO_SURFACE, mirrored={0: 127.0}),
    "occlusion_edges": MapFormat(1, "uint16", invalid=NO_SURFACE),
    "texture_edges": MapFormat(1, "uint16"),
    "keypoints_2d": MapFormat(1, "uint16"),
    "segmentation_2d": MapFormat(1, "uint8"),
    "autoencoding": MapFormat(3, "uint8", image=True),
}
log = logging.getLogger(__name__)


def require(tasks: list[str] | None, downloads: Path) -> None:
    """Check that all folders exist, but for those of buildings that may be absent.

    Args:
        tasks: Tasks whose maps are read; None: all.
        downloads: Directory with ``taskonomy/``.

    Raises:
        DataError: A folder is missing; the message says what the user has to download.
    """
    directory, kinds = downloads / "taskonomy", _kinds(tasks)
    absent = _absent(directory, kinds)
    missing = [
        f"{building}_{kind}"
        for buildings in BUILDINGS.values()
        for building in buildings
        for kind in kinds
        if building not in absent and not _folder(directory, building, kind).is_dir()
    ]
    if missing:
        raise DataError(
            f"{directory}: no {listed(missing)}. You have to download Taskonomy yourself, after accepting its licence "
            "(https://github.com/StanfordVL/taskonomy, folder data), with its authors' tool: pip install "
            f"omnidata-tools; omnitools.download {' '.join(kinds)} --components taskonomy --subset tiny --dest "
            "<data_dir>/taskonomy. Or unpack the tiny split's archives of all 35 buildings so that files are "
            "<data_dir>/taskonomy/<building>_rgb/point_<p>_view_<v>_domain_rgb.png and so on. Of building "
            f"{', '.join(MAY_BE_ABSENT)}, which the tool does not deliver, all files may be absent. No checksums are "
            "published to compare them with. Then set data_dir in config.yaml"
        )


def sources(tasks: list[str] | None, downloads: Path) -> list[Path]:
    """The folders that are read: one for each building and kind of file."""
    directory = downloads / "taskonomy"
    return [_folder(directory, b, kind) for names in BUILDINGS.values() for b in names for kind in _kinds(tasks)]


def read(tasks: list[str], downloads: Path) -> DenseData:
    """All images that have a map of every task.

    Images are averaged down to 256 pixels. Maps keep every second pixel (choice): averaging would invent values at the
    borders between segments and at the borders of unknown regions.

    Args:
        tasks: Tasks whose maps are read.
        downloads: Directory with ``taskonomy/``.

    Raises:
        DataError: A folder is missing, or a building has no image with all maps.
    """
    require(tasks, downloads)
    directory, kinds = downloads / "taskonomy", _kinds(tasks)
    generator = np.random.default_rng(ORDER_SEED)
    absent = _absent(directory, kinds)
    remarks: dict[str, Any] = {"absent_buildings": absent, "views_without_all_maps": {}}
    views = {b: _views(directory, b, kinds) for names in BUILDINGS.values() for b in names if b not in absent}
    if empty := [building for building, (complete, _) in views.items() if not complete]:
        raise DataError(f"{directory}: {listed(empty)}: no image with all of {', '.join(kinds)}; unpack them again")
    if absent:
        log.warning("%s: no building %s", directory, ", ".join(absent))
    for building, (complete, images) in views.items():
        if missing := images - len(complete):
            log.warning("%s: %d of %d images lack the map of a task and are left out", building, missing, images)
            remarks["views_without_all_maps"][building] = missing
    splits = {}
    for split, buildings in BUILDINGS.items():
        keys = [(building, view) for building in buildings if building in views for view in views[building][0]]
        splits[split] = [keys[number] for number in generator.permutation(len(keys))]
    return DenseData(splits, _Views(directory, tasks).load, TOLERATED, remarks)


class _Views:
    """Reads the files of one view.

    Args:
        directory: The directory ``taskonomy``.
        tasks: Tasks whose maps are read.
    """

    def __init__(self, directory: Path, tasks: list[str]) -> None:
        self._directory, self._tasks, self._kinds = directory, tasks, _kinds(tasks)

    def load(self, key: tuple[str, str]) -> dict[str, np.ndarray]:
        """The image and the maps of a (building, view); UnusableError if a file is damaged or of another format."""
        path = self._path(key, "rgb")
        image, size = _read_image(path)
        arrays = {"images": image}
        if KINDS["depth"] in self._kinds:
            depth = _read_map(self._path(key, KINDS["depth"]), FORMATS["depth"], size)
            no_surface = depth == NO_SURFACE
            if no_surface.all():
                raise UnusableError(str(self._path(key, KINDS["depth"])), "has no pixel of known depth")
        for task in self._tasks:
            form = FORMATS[task]
            if task == "depth":
                arrays[task] = depth
            elif task in FROM_SCAN:
                # Known values must not have the code of unknown ones: the largest edges have.
                values = np.minimum(_read_map(self._path(key, KINDS[task]), form, size), NO_SURFACE - 1)
                arrays[task] = np.where(no_surface, np.uint16(NO_SURFACE), values)
            elif not form.image:
                arrays[task] = _read_map(self._path(key, KINDS[task]), form, size)
        return arrays

    def _path(self, key: tuple[str, str], kind: str) -> Path:
        building, view = key
        return _folder(self._directory, building, kind) / f"{view}_domain_{kind}.png"


def _kinds(tasks: list[str] | None) -> list[str]:
    """Kinds of files that tasks (None: all) need."""
    tasks = list(FORMATS) if tasks is None else tasks
    kinds = ["rgb", *dict.fromkeys(KINDS[t] for t in tasks if t in KINDS)]
    if any(task in FROM_SCAN for task in tasks) and KINDS["depth"] not in kinds:
        kinds.append(KINDS["depth"])
    return kinds


def _folder(directory: Path, building: str, kind: str) -> Path:
    """Folder of a building's files of one kind: the unpacked archive's if it exists, else the download tool's."""
    unpacked = directory / f"{building}_{kind}"
    return unpacked if unpacked.is_dir() else directory / kind / "taskonomy" / building


def _absent(directory: Path, kinds: list[str]) -> list[str]:
    """Buildings that may be absent and of which there is no file at all."""
    folders = {building: [_folder(directory, building, kind) for kind in kinds] for building in MAY_BE_ABSENT}
    return [b for b, of_building in folders.items() if not any(f.is_dir() and any(f.iterdir()) for f in of_building)]


def _views(directory: Path, building: str, kinds: list[str]) -> tuple[list[str], int]:
    """``point_<p>_view_<v>`` of all images of a building with every kind of file, and the number of all images."""
    views = []
    for kind in kinds:
        # Files that an operating system put next to others (._*.png) do not match.
        name = re.compile(rf"(point_\d+_view_\d+)_domain_{kind}\.png")
        entries = (name.fullmatch(file.name) for file in _folder(directory, building, kind).iterdir())
        views.append({entry[1] for entry in entries if entry})
    return sorted(set.intersection(*views)), len(views[0])


def _read_image(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    """An image, uint8 [256, 256, 3], and its original width and height."""
    from PIL import Image

    with opened_image(path, str(path), strict=True) as image:
        if image.mode not in ("RGB", "RGBA") or image.width != image.height:
            size = f"{image.width} x {image.height}"
            raise UnusableError(str(path), f"is {image.mode} of {size} pixels, expected a square RGB image")
        return np.asarray(image.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)), image.size


def _read_map(path: Path, form: MapFormat, size: tuple[int, int]) -> np.ndarray:
    """A map [256, 256, C], reduced by taking nearest pixels.

    Args:
        path: Its file.
        form: Its format.
        size: Width and height of its image.
    """
    with opened_image(path, str(path), strict=True) as image:
        if image.size != size:
            sizes = f"{image.width} x {image.height} pixels, its image {size[0]} x {size[1]}"
            raise UnusableError(str(path), f"has {sizes}")
        values = np.asarray(image.convert("RGB") if image.mode == "RGBA" else image)
    # Normals have 8 bits; they are stored with 16, because all 8-bit values are known ones.
    dtype = np.dtype(form.dtype if form.channels == 1 else np.uint8)
    if values.ndim != (2 if form.channels == 1 else 3) or values.dtype != dtype:
        expected = f"{form.channels} channel(s) of {dtype} up to {np.iinfo(dtype).max}"
        raise UnusableError(str(path), f"is {values.dtype} {values.shape}, expected {expected}")
    rows, columns = ((np.arange(IMAGE_SIZE) * side) // IMAGE_SIZE for side in values.shape[:2])
    return values[np.ix_(rows, columns)].reshape(IMAGE_SIZE, IMAGE_SIZE, form.channels).astype(form.dtype)


BENCHMARK = BenchmarkInfo(
    labels=MapLabels(FORMATS),
    # Both numbers are approximate: of images, and of bytes, which assumes 0.5 MB for all files of an image.
    domains={
        "taskonomy": DomainInfo(275_000, images=275_000, original_bytes=0.5e6 * 275_000, approximate=True),
    },
    image_size=IMAGE_SIZE,
    channels=3,
    provenance={
        "source": "Taskonomy, tiny split, official archives",
        "licence": "Taskonomy's own, to be accepted by everyone who downloads it",
        "order_seed": ORDER_SEED,
    },
    read=read,
    require=require,
    sources=sources,
    shared_images=TOLERATED,
)
