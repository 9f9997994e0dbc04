"""Writing the images of a domain into a prepared store as JPEGs of bounded resolution, in one file."""

from __future__ import annotations

import collections
import hashlib
import io
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scalarization.benchmarks.base import EncodedDomain
from scalarization.errors import DataError
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


def encode(content: bytes) -> tuple[bytes, np.ndarray]:
    """One image in its stored form: RGB, the shorter side at most :data:`SHORTER_SIDE`; a small RGB JPEG is unchanged.

    Args:
        content: Content of an image file.

    Returns:
        JPEG, and mean and mean square of its three channels with values scaled to [0, 1], [2, 3].

    Raises:
        OSError: The content is no image.
    """
    with Image.open(io.BytesIO(content)) as original:
        unchanged = original.format == "JPEG" and original.mode == "RGB" and min(original.size) <= SHORTER_SIDE
        image = _on_white(original) if original.mode in ("RGBA", "LA", "P") else original.convert("RGB")
    if not unchanged:
        factor = min(1, SHORTER_SIDE / min(image.size))
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC) if factor < 1 else image
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        content = buffer.getvalue()
    frequencies = np.array(image.histogram()).reshape(3, 256) / (image.width * image.height)
    values = np.arange(256) / 255
    return content, np.stack([frequencies @ values, frequencies @ values**2])


def write_images(
    directory: Path, name: str, domain: EncodedDomain, rows: np.ndarray, train: int
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Write images one after the other into one file.

    Args:
        directory: Directory of the store.
        name: The domain's name.
        domain: The domain's data.
        rows: Rows of the images to write, in this order, integers [rows].
        train: Number of images of the train split, which come first.

    Returns:
        The file's entry of ``dataset.json``; offset of each image and end of the last one, int64 [rows + 1]; mean and
        mean square of the channels over the train split, with equal weight for each image, [2, 3].

    Raises:
        DataError: A file is no image, or the file system refuses.
    """
    path, digest = directory / f"{name}_images.bin", hashlib.sha256()
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    moments = np.zeros((2, 3))
    with replacing(path) as temporary, temporary.open("wb") as file:
        for number, (content, image_moments) in enumerate(_encoded(domain, rows)):
            file.write(content)
            digest.update(content)
            offsets[number + 1] = offsets[number] + len(content)
            if number < train:
                moments += image_moments / train
    return {"name": path.name, "bytes": int(offsets[-1]), "sha256": digest.hexdigest()}, offsets, moments


def _encoded(domain: EncodedDomain, rows: np.ndarray) -> Iterator[tuple[bytes, np.ndarray]]:
    def encode_row(row: int) -> tuple[bytes, np.ndarray]:
        try:
            return encode(domain.content(row))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{domain.names[row]}: not readable as an image ({error})") from None

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
