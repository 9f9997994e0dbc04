"""``taskonomy``: the tiny split of Taskonomy (Zamir et al., CVPR 2018) at 256 pixels, split by building.

The setting is that of appendix 1.2. Every user has to accept the data's licence, so no file is fetched. The reader
expects in ``<data_dir>/taskonomy`` one folder for each building and kind of file, either as the official archives
unpack or as the authors' download tool (omnidata-tools) writes them::

    allensville_depth_zbuffer/point_0_view_0_domain_depth_zbuffer.png
    depth_zbuffer/taskonomy/allensville/point_0_view_0_domain_depth_zbuffer.png

The data set's documentation (StanfordVL/taskonomy, data/README.md) says: images have 512 x 512 pixels; depth is in
1/512 m up to 128 m, and the largest 16-bit value, 65535, marks pixels where the scan has no surface; normals are
centred at 127; the tiny split has 25, 5 and 5 buildings for training, validation and test.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from scalarization.benchmarks.base import BenchmarkInfo, DenseData, DomainInfo, MapFormat, MapLabels
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
    """Check that all folders exist.

    Args:
        tasks: Tasks whose maps are read; None: all.
        downloads: Directory with ``taskonomy/``.

    Raises:
        DataError: A folder is missing; the message says what the user has to download.
    """
    directory, kinds = downloads / "taskonomy", _kinds(tasks or list(FORMATS))
    missing = [
        f"{b}_{k}"
        for names in BUILDINGS.values()
        for b in names
        for k in kinds
        if not _folder(directory, b, k).is_dir()
    ]
    if missing:
        names = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise DataError(
            f"{directory}: no {names}. You have to download Taskonomy yourself, after accepting its licence "
            "(https://github.com/StanfordVL/taskonomy, folder data), with its authors' tool: pip install "
            f"omnidata-tools; omnitools.download {' '.join(kinds)} --components taskonomy --subset tiny --dest "
            "<data_dir>/taskonomy. Or unpack the tiny split's archives of all 35 buildings so that files are "
            "<data_dir>/taskonomy/<building>_rgb/point_<p>_view_<v>_domain_rgb.png and so on. No checksums are "
            "published to compare them with. Then set data_dir in config.yaml"
        )


def read(tasks: list[str], downloads: Path) -> DenseData:
    """All images that have a map of every task.

    Images are averaged down to 256 pixels. Maps keep every second pixel (choice): averaging would invent values at the
    borders between segments and at the borders of unknown regions.

    Args:
        tasks: Tasks whose maps are read.
        downloads: Directory with ``taskonomy/``.

    Raises:
        DataError: A folder is missing or has no image with all maps.
    """
    require(tasks, downloads)
    directory, kinds = downloads / "taskonomy", _kinds(tasks)
    generator = np.random.default_rng(ORDER_SEED)
    splits = {}
    for split, buildings in BUILDINGS.items():
        keys = [(building, view) for building in buildings for view in _views(directory, building, kinds)]
        splits[split] = [keys[number] for number in generator.permutation(len(keys))]

    def load(key: tuple[str, str]) -> dict[str, np.ndarray]:
        building, view = key

        def path(kind: str) -> Path:
            return _folder(directory, building, kind) / f"{view}_domain_{kind}.png"

        arrays = {"images": _read_image(path("rgb"))}
        if KINDS["depth"] in kinds:
            depth = _read_map(path(KINDS["depth"]), FORMATS["depth"])
            no_surface = depth == NO_SURFACE
        for task in tasks:
            form = FORMATS[task]
            if task == "depth":
                arrays[task] = depth
            elif task in FROM_SCAN:
                # Known values must not have the code of unknown ones: the largest edges have.
                values = np.minimum(_read_map(path(KINDS[task]), form), NO_SURFACE - 1)
                arrays[task] = np.where(no_surface, np.uint16(NO_SURFACE), values)
            elif not form.image:
                arrays[task] = _read_map(path(KINDS[task]), form)
        return arrays

    return DenseData(splits, load)


def _kinds(tasks: list[str]) -> list[str]:
    """Kinds of files that tasks need."""
    kinds = ["rgb", *dict.fromkeys(KINDS[t] for t in tasks if t in KINDS)]
    if any(task in FROM_SCAN for task in tasks) and KINDS["depth"] not in kinds:
        kinds.append(KINDS["depth"])
    return kinds


def _folder(directory: Path, building: str, kind: str) -> Path:
    """Folder of a building's files of one kind: the unpacked archive's if it exists, else the download tool's."""
    unpacked = directory / f"{building}_{kind}"
    return unpacked if unpacked.is_dir() else directory / kind / "taskonomy" / building


def _views(directory: Path, building: str, kinds: list[str]) -> list[str]:
    """``point_<p>_view_<v>`` of all images of a building that have every kind of file."""
    views = []
    for kind in kinds:
        suffix = f"_domain_{kind}.png"
        names = (file.name for file in _folder(directory, building, kind).iterdir())
        views.append({name.removesuffix(suffix) for name in names if name.endswith(suffix)})
    images, complete = views[0], set.intersection(*views)
    if not complete:
        raise DataError(f"{directory}: {building} has no image with all of {', '.join(kinds)}; unpack them again")
    if len(complete) < len(images):
        missing = len(images) - len(complete)
        log.warning("%s: %d of %d images lack the map of a task and are left out", building, missing, len(images))
    return sorted(complete)


def _read_image(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX))
    except OSError as error:
        raise DataError(f"{path}: not readable as an image ({error}); unpack it again") from None


def _read_map(path: Path, form: MapFormat) -> np.ndarray:
    """A map [256, 256, C], reduced by taking nearest pixels."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            values = np.asarray(image if form.channels == 1 else image.convert("RGB"))
    except OSError as error:
        raise DataError(f"{path}: not readable as an image ({error}); unpack it again") from None
    largest = np.iinfo(form.dtype).max
    if values.ndim != (2 if form.channels == 1 else 3) or values.dtype.kind not in "iu" or values.max() > largest:
        raise DataError(f"{path}: {values.dtype} {values.shape}, expected {form.channels} channel(s) up to {largest}")
    rows, columns = ((np.arange(IMAGE_SIZE) * size) // IMAGE_SIZE for size in values.shape[:2])
    return values[np.ix_(rows, columns)].reshape(IMAGE_SIZE, IMAGE_SIZE, form.channels).astype(form.dtype)


BENCHMARK = BenchmarkInfo(
    labels=MapLabels(FORMATS),
    # Both numbers are approximate: of images, and of bytes, which assumes 0.5 MB for all files of an image.
    domains={"taskonomy": DomainInfo(275_000, images=275_000, original_bytes=0.5e6 * 275_000)},
    image_size=IMAGE_SIZE,
    channels=3,
    provenance={
        "source": "Taskonomy, tiny split, official archives",
        "licence": "Taskonomy's own, to be accepted by everyone who downloads it",
        "order_seed": ORDER_SEED,
    },
    read=read,
    require=require,
)
