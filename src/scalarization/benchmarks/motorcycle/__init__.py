"""``motorcycle``: one photo with measured depth, cut into patches; stands in for ``taskonomy``.

The photo is Middlebury's Motorcycle, which the installed package scikit-image contains; ``README.md`` documents how
targets are computed. Patches of one photo show that the software works, not how well a model generalises.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from scalarization.benchmarks.base import BenchmarkInfo, DenseData, DomainInfo, MapFormat, MapLabels
from scalarization.benchmarks.images import opened_image
from scalarization.errors import DataError

PATCH = 64
#: Split -> first column of the photo and last + 1; the columns between them belong to no split (choice).
COLUMNS = {"train": (0, 452), "validation": (468, 596), "test": (612, 741)}
#: Pixels from one patch to the next, in all splits (choice).
STRIDE = 32
#: Smallest fraction of a patch's pixels with known depth.
KNOWN = 0.9
ORDER_SEED = 0
#: File of the package -> SHA-256.
FILES = {
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "motorcycle_disp.npz": "2e49c8cebff3fa20359a0cc6880c82e1c03bbb106da81a177218281bc2f113d7",
}

#: Task -> format of its maps.
FORMATS = {
    "depth": MapFormat(1, "float16"),
    "normals": MapFormat(3, "float16", mirrored={0: 0.0}),
    "occlusion_edges": MapFormat(1, "float16"),
    "texture_edges": MapFormat(1, "float16"),
    "keypoints_2d": MapFormat(1, "float16"),
    "segmentation_2d": MapFormat(1, "float16"),
    "autoencoding": MapFormat(3, "uint8", image=True),
}


def read(tasks: list[str], downloads: Path) -> DenseData:
    """All patches with their maps.

    Args:
        tasks: Tasks whose maps are read.
        downloads: Not used: no file is downloaded.

    Raises:
        DataError: The installed scikit-image lacks the photo or has another one.
    """
    from scalarization.benchmarks.motorcycle.targets import all_targets

    image, disparity = photo()
    regions = {}
    for split, (left, right) in COLUMNS.items():
        columns = slice(left, right)
        regions[split] = {
            "images": image[:, columns],
            **all_targets(np.ascontiguousarray(image[:, columns]), disparity[:, columns], left),
        }
    generator = np.random.default_rng(ORDER_SEED)
    splits = {}
    for split, maps in regions.items():
        places = patch_places(np.isfinite(maps["depth"][..., 0]))
        splits[split] = [(split, *places[place]) for place in generator.permutation(len(places))]

    def load(key: tuple[str, int, int]) -> dict[str, np.ndarray]:
        split, row, column = key
        kinds = ["images", *(task for task in tasks if not FORMATS[task].image)]
        return {kind: regions[split][kind][row : row + PATCH, column : column + PATCH] for kind in kinds}

    return DenseData(splits, load)


def photo() -> tuple[np.ndarray, np.ndarray]:
    """The photo, uint8 [500, 741, 3], and its disparity in pixels, float32 [500, 741], inf where it is unknown.

    Raises:
        DataError: The installed scikit-image lacks the photo or has another one.
    """
    paths = photo_files()
    if not paths:
        raise DataError("scikit-image: not installed; install the version in envs/requirements.txt")
    for file in paths:
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != FILES[file.name]:
            raise DataError(
                f"{file}: missing, or not the file of scikit-image 0.26; install the version in envs/requirements.txt"
            )
    path, disparity = paths
    with opened_image(path, str(path)) as image:
        return np.asarray(image.convert("RGB")), np.load(disparity)["arr_0"]


def photo_files() -> list[Path]:
    """The photo and its disparity, where the installed scikit-image has them; nothing without it."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        return []
    return [Path(package.origin).parent / "data" / name for name in FILES]


def patch_places(known: np.ndarray) -> list[tuple[int, int]]:
    """First row and column of every patch with enough pixels of known depth.

    Args:
        known: Whether each pixel's depth is known, [H, W].
    """
    rows, columns = (range(0, size - PATCH + 1, STRIDE) for size in known.shape)
    places = [(row, column) for row in rows for column in columns]
    return [(r, c) for r, c in places if known[r : r + PATCH, c : c + PATCH].mean() >= KNOWN]


BENCHMARK = BenchmarkInfo(
    labels=MapLabels(FORMATS),
    domains={"motorcycle": DomainInfo(122)},
    image_size=PATCH,
    channels=3,
    provenance={
        "source": "scikit-image's package, skimage.data: Motorcycle of Middlebury's 2014 stereo data (Scharstein et "
        "al.)",
        "licence": "none is stated, so nothing of the data is copied into this repository",
    },
    read=read,
    sources=lambda tasks, downloads: photo_files(),
)
