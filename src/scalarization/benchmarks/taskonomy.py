"""``taskonomy``: the tiny split of Taskonomy (Zamir et al., CVPR 2018) at 256 pixels, split by building (A 1.2).

The data are behind a licence that everyone has to accept for themselves, so nothing is fetched here. What is expected
in ``<data_dir>/taskonomy`` is one folder for each building and kind of file, as the official archives unpack to, or as
the authors' download tool (omnidata-tools) leaves them::

    allensville_depth_zbuffer/point_0_view_0_domain_depth_zbuffer.png
    depth_zbuffer/taskonomy/allensville/point_0_view_0_domain_depth_zbuffer.png

Facts about the files, from the data set's documentation (StanfordVL/taskonomy, data/README.md): images of 512 x 512
pixels; depth in 1/512 m up to 128 m, so that the largest of 16 bits, 65535, is where the scan has no surface; normals
centred at 127; 25, 5 and 5 buildings for training, validation and test in the tiny split.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from scalarization.benchmarks import BenchmarkInfo, DenseData, MapFormat
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
#: Tasks that come from the scan: their maps are unknown where depth is.
FROM_SCAN = ("depth", "normals", "occlusion_edges")

INFO = BenchmarkInfo(
    setting="mtl",
    domains={"taskonomy": 275_000},  # about (spec); an epoch is counted on it
    classes=(),
    image_size=IMAGE_SIZE,
    channels=3,
    reported=False,
    maps={
        "depth": MapFormat(1, "uint16", invalid=NO_SURFACE),
        "normals": MapFormat(3, "uint16", invalid=NO_SURFACE, mirrored={0: 127.0}),
        "occlusion_edges": MapFormat(1, "uint16", invalid=NO_SURFACE),
        "texture_edges": MapFormat(1, "uint16"),
        "keypoints_2d": MapFormat(1, "uint16"),
        "segmentation_2d": MapFormat(1, "uint8"),
        "autoencoding": MapFormat(3, "uint8", image=True),
    },
)
PROVENANCE = {
    "source": "Taskonomy, tiny split, official archives",
    "licence": "Taskonomy's own, to be accepted by everyone who downloads it",
    "order_seed": ORDER_SEED,
}
log = logging.getLogger(__name__)


def require(tasks: list[str] | None, downloads: Path) -> None:
    """Stop, and tell what has to be downloaded by the user, if a folder is missing.

    Args:
        tasks: Tasks whose maps are wanted; None: all.
        downloads: Directory with ``taskonomy/``.

    Raises:
        DataError: A folder is missing.
    """
    directory, kinds = downloads / "taskonomy", _kinds(tasks or list(INFO.maps))
    missing = [
        f"{b}_{k}"
        for names in BUILDINGS.values()
        for b in names
        for k in kinds
        if not _folder(directory, b, k).is_dir()
    ]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        raise DataError(
            f"{directory}: no {shown}. Taskonomy has to be downloaded by yourself, after accepting its licence "
            "(https://github.com/StanfordVL/taskonomy, folder data), with its authors' tool: pip install "
            f"omnidata-tools; omnitools.download {' '.join(kinds)} --components taskonomy --subset tiny --dest "
            "<data_dir>/taskonomy. Or unpack the tiny split's archives of all 35 buildings so that files are "
            "<data_dir>/taskonomy/<building>_rgb/point_<p>_view_<v>_domain_rgb.png and so on. No checksums are known "
            "here to compare them with. Then set data_dir in config.yaml"
        )


def read(tasks: list[str], downloads: Path) -> DenseData:
    """All images that have the wanted maps.

    Images are averaged down to 256 pixels; of maps every second pixel is taken (choice), so that no value is made up at
    the border of two segments or of what is known.

    Args:
        tasks: Tasks whose maps are wanted.
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

        found = {"images": _read_image(path("rgb"))}
        no_surface = None
        if KINDS["depth"] in kinds:
            depth = _read_map(path(KINDS["depth"]), INFO.maps["depth"])
            no_surface = depth == NO_SURFACE
        for task in tasks:
            form = INFO.maps[task]
            if task == "depth":
                found[task] = depth
            elif task in FROM_SCAN:
                # Nothing but what is unknown may have the code that says so.
                known = np.minimum(_read_map(path(KINDS[task]), form), NO_SURFACE - 1)
                found[task] = np.where(no_surface, np.uint16(NO_SURFACE), known)
            elif not form.image:
                found[task] = _read_map(path(KINDS[task]), form)
        return found

    return DenseData(splits, load)


def _kinds(tasks: list[str]) -> list[str]:
    """Kinds of files that tasks need."""
    kinds = ["rgb", *dict.fromkeys(KINDS[t] for t in tasks if t in KINDS)]
    if any(task in FROM_SCAN for task in tasks) and KINDS["depth"] not in kinds:
        kinds.append(KINDS["depth"])
    return kinds


def _folder(directory: Path, building: str, kind: str) -> Path:
    """Folder of a building's files of one kind: as unpacked if it is there, else where the tool puts it."""
    unpacked = directory / f"{building}_{kind}"
    return unpacked if unpacked.is_dir() else directory / kind / "taskonomy" / building


def _views(directory: Path, building: str, kinds: list[str]) -> list[str]:
    """``point_<p>_view_<v>`` of all images of a building that have every kind of file."""
    found = []
    for kind in kinds:
        end = f"_domain_{kind}.png"
        names = (file.name for file in _folder(directory, building, kind).iterdir())
        found.append({name.removesuffix(end) for name in names if name.endswith(end)})
    whole = set.intersection(*found)
    if not whole:
        raise DataError(f"{directory}: {building} has no image with all of {', '.join(kinds)}; unpack them again")
    if len(whole) < len(found[0]):
        lost = len(found[0]) - len(whole)
        log.warning("%s: %d of %d images have no map of every task and are left out", building, lost, len(found[0]))
    return sorted(whole)


def _read_image(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX))
    except OSError as error:
        raise DataError(f"{path}: not readable as an image ({error}); unpack it again") from None


def _read_map(path: Path, form: MapFormat) -> np.ndarray:
    """A map at 256 pixels, [256, 256, C], by nearest pixels."""
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
