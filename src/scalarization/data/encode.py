"""Writing the images of a domain into a prepared store as JPEGs of bounded resolution, one after the other."""

from __future__ import annotations

import collections
import hashlib
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scalarization.benchmarks import EncodedDomain
from scalarization.errors import DataError
from scalarization.storage import replacing

#: Longest that the shorter side of a stored image is, in pixels (choice).
SHORTER_SIDE = 256
#: JPEG quality of images that are made smaller, or were no JPEG (choice).
QUALITY = 90
#: As it stands in ``dataset.json``.
ENCODING = {"format": "jpeg", "shorter_side": SHORTER_SIDE, "quality": QUALITY}
#: Images in the pool at a time, for each of its threads: bounds the memory.
AHEAD = 8


def encode(content: bytes) -> tuple[bytes, np.ndarray]:
    """One image as it is stored: RGB, the shorter side at most :data:`SHORTER_SIDE`; a small JPEG stays as it is.

    Args:
        content: Of an image file.

    Returns:
        JPEG, and mean and mean square of its three channels, values in [0, 1], [2, 3].

    Raises:
        OSError: This is no image.
    """
    with Image.open(io.BytesIO(content)) as original:
        stays = original.format == "JPEG" and original.mode == "RGB" and min(original.size) <= SHORTER_SIDE
        image = _on_white(original) if original.mode in ("RGBA", "LA", "P") else original.convert("RGB")
    if not stays:
        factor = min(1, SHORTER_SIDE / min(image.size))
        size = tuple(max(1, round(side * factor)) for side in image.size)
        image = image.resize(size, Image.Resampling.BICUBIC) if factor < 1 else image
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        content = buffer.getvalue()
    shares = np.array(image.histogram()).reshape(3, 256) / (image.width * image.height)
    values = np.arange(256) / 255
    return content, np.stack([shares @ values, shares @ values**2])


def write_images(
    directory: Path, name: str, domain: EncodedDomain, rows: Sequence[int], train: int
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Write images one after the other into one file.

    Args:
        directory: Where to.
        name: The domain's name.
        domain: Its images.
        rows: Which of them, in this order.
        train: How many of the first ones count for the normalisation.

    Returns:
        What ``dataset.json`` says of the file; where each image begins and the last one ends, int64 [rows + 1]; mean
        and mean square of the channels over the first ``train`` images, each counted alike, [2, 3].

    Raises:
        DataError: A file is no image, or the file system refuses.
    """
    path, digest = directory / f"{name}_images.bin", hashlib.sha256()
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    moments = np.zeros((2, 3))
    with replacing(path) as temporary, temporary.open("wb") as file:
        for place, (content, found) in enumerate(_encoded(domain, rows)):
            file.write(content)
            digest.update(content)
            offsets[place + 1] = offsets[place] + len(content)
            if place < train:
                moments += found / train
    return {"name": path.name, "bytes": int(offsets[-1]), "sha256": digest.hexdigest()}, offsets, moments


def _encoded(domain: EncodedDomain, rows: Sequence[int]) -> Iterator[tuple[bytes, np.ndarray]]:
    def work(row: int) -> tuple[bytes, np.ndarray]:
        try:
            return encode(domain.content(row))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{domain.names[row]}: not readable as an image ({error})") from None

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    coming = iter(rows)
    with ThreadPoolExecutor(threads) as pool:
        started = collections.deque(pool.submit(work, r) for r in itertools.islice(coming, AHEAD * threads))
        try:
            while started:
                yield started.popleft().result()
                started.extend(pool.submit(work, r) for r in itertools.islice(coming, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def _on_white(image: Image.Image) -> Image.Image:
    """What is transparent becomes white: drawings are dark on nothing."""
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")
