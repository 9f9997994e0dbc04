"""Writing the images of a domain into a prepared store as JPEGs of bounded resolution, in one file."""

from __future__ import annotations

import collections
import io
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from scalarization.benchmarks.base import EncodedDomain
from scalarization.benchmarks.images import Unusable, UnusableError, opened_image
from scalarization.data.equal_images import EqualImages, Place
from scalarization.data.files import HashedFile
from scalarization.storage import replacing

#: Upper bound of a stored image's shorter side, in pixels (choice).
SHORTER_SIDE = 256
#: JPEG quality of images that are reduced or converted to JPEG (choice).
QUALITY = 90
#: Images in the pool per thread, which bounds the memory.
PREFETCH = 8


def describe_encoding(image_size: int) -> dict[str, Any]:
    """Content of ``dataset.json`` for encoded images.

    Args:
        image_size: Height and width of images after decoding, in pixels.
    """
    encoding = {"format": "jpeg", "shorter_side": SHORTER_SIDE, "quality": QUALITY}
    return {"encoding": encoding, "image_size": image_size}


def encode(content: bytes, name: str = "") -> tuple[bytes, np.ndarray]:
    """One image in its stored form: RGB, the shorter side at most :data:`SHORTER_SIDE`; a small RGB JPEG is unchanged.

    Args:
        content: Content of an image file.
        name: Name of the file, for messages.

    Returns:
        JPEG, and mean and mean square of its three channels with values scaled to [0, 1], [2, 3].

    Raises:
        UnusableError: The content is no image, or it is damaged.
    """
    with opened_image(content, name) as original:
        unchanged = original.format == "JPEG" and original.mode == "RGB" and min(original.size) <= SHORTER_SIDE
        image = _on_white(original) if original.mode in ("RGBA", "LA", "P") else original.convert("RGB")
        if not unchanged:
            factor = min(1, SHORTER_SIDE / min(image.size))
            width, height = (max(1, round(side * factor)) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC) if factor < 1 else image
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=QUALITY)
            content = buffer.getvalue()
        # Training decodes with another library, which must agree about what was stored.
        if simplejpeg.decode_jpeg_header(content, strict=False)[:2] != (image.height, image.width):
            raise UnusableError(name, "is an unusual JPEG, whose size two decoders read differently")
        frequencies = np.array(image.histogram()).reshape(3, 256) / (image.width * image.height)
    values = np.arange(256) / 255
    return content, np.stack([frequencies @ values, frequencies @ values**2])


def write_images(
    directory: Path,
    name: str,
    domain: EncodedDomain,
    rows: np.ndarray,
    train: int,
    equal: EqualImages,
    places: list[Place],
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Write images one after the other into one file.

    Args:
        directory: Directory of the store.
        name: The domain's name.
        domain: The domain's data.
        rows: Rows of the images to write, in this order, integers [rows].
        train: Number of images of the train split, which come first.
        equal: Is told every image.
        places: Place of the image of every row, for ``equal``.

    Returns:
        The file's entry of ``dataset.json``; offset of each image and end of the last one, int64 [rows + 1]; mean and
        mean square of the channels over the train split, with equal weight for each image, [2, 3].

    Raises:
        DataError: Files are no images, or the file system refuses.
    """
    path = directory / f"{name}_images.bin"
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    moments = np.zeros((2, 3))
    unusable = Unusable(name, len(rows))
    with replacing(path) as temporary, temporary.open("wb") as file:
        hashed = HashedFile(file)
        for number, encoded in enumerate(_encoded(domain, rows)):
            if isinstance(encoded, UnusableError):
                unusable.add(encoded)
                continue
            content, image_moments = encoded
            hashed.write(content)
            equal.add(content, places[number])
            offsets[number + 1] = hashed.bytes
            if number < train:
                moments += image_moments / train
        unusable.check("fetch them again")
    return hashed.describe(path.name), offsets, moments


def _encoded(domain: EncodedDomain, rows: np.ndarray) -> Iterator[tuple[bytes, np.ndarray] | UnusableError]:
    """Every image in its stored form with its moments, or why it cannot be used, in the order of the rows."""

    def encode_row(row: int) -> tuple[bytes, np.ndarray] | UnusableError:
        name = domain.names[row]
        try:
            return encode(domain.content(row), name)
        except UnusableError as error:
            return error
        except Exception as error:  # of a reader of the user's own
            return UnusableError(name, f"could not be read ({type(error).__name__}: {error})")

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    remaining = iter(rows)
    with ThreadPoolExecutor(threads) as pool:
        pending = collections.deque(pool.submit(encode_row, r) for r in itertools.islice(remaining, PREFETCH * threads))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(encode_row, r) for r in itertools.islice(remaining, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _on_white(image: Image.Image) -> Image.Image:
    """Transparent pixels become white, because drawings have dark lines on a transparent background."""
    layer = image.convert("RGBA")
    background = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(background, layer).convert("RGB")
