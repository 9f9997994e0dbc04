"""A prepared store of encoded images, which threads decode shortly before they are needed.

Memory holds only the batch in use and the few that are being prepared. The images of a batch and their crops follow
from the seed, so a run can resume at any step.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import copy
import functools
import math
import struct
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from torch import Tensor

from scalarization.benchmarks import SPLITS
from scalarization.data.augmentation import Augmentation
from scalarization.data.base import row_slices
from scalarization.data.device import DomainRows
from scalarization.data.store import Store
from scalarization.errors import DataError

#: Batches that are prepared while another is in use, which bounds the memory.
PREFETCH = 2
#: The same in evaluation, whose batches are larger.
EVALUATION_PREFETCH = 1
#: Images in one task of the thread pool.
CHUNK = 16
#: Part of the shorter side that evaluation keeps: 224 of 256 pixels (choice).
EVALUATED = 0.875
#: Smallest and largest width over height of a random crop (torchvision's; choice).
RATIOS = (3 / 4, 4 / 3)
#: Draws of a crop until one fits into the image (torchvision's; choice).
TRIES = 10

#: Top, left, height, width in pixels.
Box = tuple[int, int, int, int]


class Crops:
    """Random crops of the images of a batch, drawn from the batch's seed: area, ratio, position and flip.

    The rule is that of torchvision's RandomResizedCrop: the first of :data:`TRIES` draws that fits into the image, or
    the middle of the image at the nearest ratio if none fits.

    Args:
        seed: Seed of the batch's draws.
        count: Number of images.
        smallest: Smallest part of the area.
        flip: Whether crops are mirrored with probability 1/2.

    Attributes:
        flipped: Whether each crop is mirrored, bool [count].
    """

    def __init__(self, seed: int, count: int, smallest: float, flip: bool) -> None:
        generator = np.random.default_rng(seed)
        # Lists, because box() computes with single numbers, at which NumPy is slow.
        self._area = generator.uniform(smallest, 1, (count, TRIES)).tolist()
        low, high = np.log(RATIOS)
        self._ratio = np.exp(generator.uniform(low, high, (count, TRIES))).tolist()
        self._position = generator.random((count, 2)).tolist()
        self.flipped = generator.random(count) < (0.5 if flip else 0)

    def box(self, number: int, height: int, width: int) -> Box:
        """The crop of an image, whose height and width are given."""
        for part, ratio in zip(self._area[number], self._ratio[number], strict=True):
            area = part * height * width
            size = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < size[0] <= height and 0 < size[1] <= width:
                top, left = (
                    int(position * (side - length + 1))
                    for position, side, length in zip(self._position[number], (height, width), size, strict=True)
                )
                return top, left, *size
        size = (
            min(height, max(1, round(width / RATIOS[0]))),
            min(width, max(1, round(height * RATIOS[1]))),
        )
        return (height - size[0]) // 2, (width - size[1]) // 2, *size


def middle(height: int, width: int) -> Box:
    """The square that evaluation keeps."""
    side = max(1, round(EVALUATED * min(height, width)))
    return (height - side) // 2, (width - side) // 2, side, side


class EncodedData(DomainRows):
    """Images of some domains, decoded when they are needed.

    Args:
        store: Prepared store of encoded images.
        domains: Domains to read.
        device: Device of labels and batches.
        workers: Threads that decode; their number does not change the batches.
    """

    def __init__(self, store: Store, domains: Sequence[str], device: torch.device, workers: int = 1) -> None:
        super().__init__(store, domains, device)
        self.store = store
        self._domains = list(domains)
        self._starts = [self.start(d, SPLITS[0]) for d in domains]
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._buffer = _DecodeBuffer()
        cv2.setNumThreads(1)  # the pool's threads are the only ones

    def batch(self, rows: Tensor, augmentation: Augmentation, seed: int) -> tuple[Tensor, Tensor]:
        """One batch for training; see :meth:`Data.batch`."""
        return next(self.batches(rows[None], augmentation, [seed]))

    def batches(
        self, rows: Tensor, augmentation: Augmentation, seeds: Sequence[int]
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Batches for training in order; threads prepare the next ones meanwhile. See :meth:`Data.batches`.

        Raises:
            DataError: An image in the store is damaged.
        """
        remaining = copy.copy(augmentation)
        if augmentation.resized_crop:
            remaining.flip = False  # images are flipped where they are cropped
        decoded = self.decoded(rows, augmentation, seeds)
        with contextlib.closing(decoded):
            for pixels, part, seed in zip(decoded, rows, seeds, strict=True):
                images = pixels.to(self.device)
                if remaining.active:
                    images = remaining(images, seed)
                yield self.normalise(images), self.labels.index_select(0, part.to(self.device))

    def decoded(self, rows: Tensor, augmentation: Augmentation, seeds: Sequence[int]) -> Generator[Tensor, None, None]:
        """Batches in order, decoded and cropped, uint8 [B, C, H, W] in the memory of the host; as :meth:`batches`.

        Asking for the next batch may overwrite a batch: allocating memory takes as long as resampling.
        """

        def crops(part: Tensor, seed: int) -> Crops | None:
            if not augmentation.resized_crop:
                return None
            return Crops(seed, len(part), augmentation.resized_crop, augmentation.flip)

        parts = ((part.tolist(), crops(part, seed)) for part, seed in zip(rows, seeds, strict=True))
        return self._prefetched(parts, PREFETCH)

    def evaluation_batches(self, start: int, size: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in order of the middle of each image; see :meth:`Data.evaluation_batches`.

        Raises:
            DataError: An image in the store is damaged.
        """
        slices = list(row_slices(start, size, batch_size))
        decoded = self._prefetched(((list(range(s.start, s.stop)), None) for s in slices), EVALUATION_PREFETCH)
        with contextlib.closing(decoded):
            for pixels, rows in zip(decoded, slices, strict=True):
                yield self.normalise(pixels.to(self.device)), self.labels[rows]

    def _prefetched(
        self, parts: Iterable[tuple[list[int], Crops | None]], prefetch: int
    ) -> Generator[Tensor, None, None]:
        """Decoded batches in order, of which ``prefetch`` are prepared while another is in use."""
        pending: collections.deque[PendingBatch] = collections.deque()
        free: list[Tensor] = []
        try:
            for rows, crops in parts:
                memory = free.pop() if free and len(free[-1]) == len(rows) else None
                pending.append(PendingBatch(self, rows, crops, memory))
                if len(pending) > prefetch:
                    yield (images := pending.popleft().result())
                    free.append(images)
            while pending:
                yield pending.popleft().result()
        finally:
            for batch in pending:
                batch.cancel()

    def cropped(self, row: int, box: Callable[[int, int], Box]) -> np.ndarray:
        """Pixels [H, W, C] of an image in its box; the same thread's next call overwrites them.

        Args:
            row: Row of the image.
            box: From the image's height and width to the box.

        Raises:
            DataError: The image is damaged.
        """
        number = bisect.bisect_right(self._starts, row) - 1
        domain, row = self._domains[number], row - self._starts[number]
        content = self.store.encoded(domain, row)
        try:
            # Not strict: preparing the store accepted every image that Pillow reads.
            image_height, image_width = simplejpeg.decode_jpeg_header(content, strict=False)[:2]
            top, left, height, width = box(image_height, image_width)
            content = shortened(content, image_height, image_width, top + height)
            buffer = self._buffer.of_size(3 * image_height * image_width)
            image = simplejpeg.decode_jpeg(content, buffer=buffer, strict=False)
        except ValueError as error:
            raise DataError(
                f"{self.store.directory}: image {row} of {domain} is damaged "
                f"({str(error).splitlines()[0]}); delete the directory and run snakemake again to prepare it anew"
            ) from None
        return image[top : top + height, left : left + width]

    def submit(self, function: Callable[..., None], *arguments: Any) -> Future:
        """Call a function in one of the decoding threads."""
        return self._pool.submit(function, *arguments)


def shortened(content: bytes, height: int, width: int, rows: int) -> bytes:
    """A JPEG whose header names fewer rows, so that decoding skips the rest; the first rows keep their values.

    Decoding takes a quarter less time. Only the height in the frame header changes; decoders skip the remaining data
    with a warning.

    Args:
        content: JPEG of three channels; any other one is returned unchanged.
        height: Height of the image.
        width: Width of the image.
        rows: Number of rows that are needed.
    """
    # Length of the header, bits per value, height, width, channels (ITU T.81, B.2.2).
    header = struct.pack(">HBHHB", 17, 8, height, width, 3)
    offset = content.find(header) + 3
    # Colours have half the resolution, so those of the last row depend on the rows after it.
    rows = min(height, rows + 4)
    return content if offset < 3 else b"".join((content[:offset], rows.to_bytes(2, "big"), content[offset + 2 :]))


class PendingBatch:
    """A batch of uint8 images that threads are filling.

    Args:
        data: The data.
        rows: Rows of the images.
        crops: Crop of each image; None: the middle.
        images: Memory of an earlier batch of the same size; None: new memory.
    """

    def __init__(self, data: EncodedData, rows: list[int], crops: Crops | None, images: Tensor | None = None) -> None:
        self._data, self._rows, self._crops = data, rows, crops
        self._images = _new_images(len(rows), data.image_shape) if images is None else images
        self._parts = [data.submit(self._fill, first) for first in range(0, len(rows), CHUNK)]

    def result(self) -> Tensor:
        """The batch, when all of its images are decoded."""
        try:
            for part in self._parts:
                part.result()
        finally:
            self.cancel()
        return self._images

    def cancel(self) -> None:
        """Cancel what no thread has begun."""
        for part in self._parts:
            part.cancel()

    def _fill(self, first: int) -> None:
        results = self._images.permute(0, 2, 3, 1).numpy()
        for number in range(first, min(first + CHUNK, len(self._rows))):
            box = functools.partial(self._crops.box, number) if self._crops else middle
            pixels, result = self._data.cropped(self._rows[number], box), results[number]
            # Without antialiasing: a crop has at most 341 pixels a side, so reducing it to 224 skips none.
            cv2.resize(pixels, result.shape[1::-1], dst=result, interpolation=cv2.INTER_LINEAR)
            if self._crops and self._crops.flipped[number]:
                cv2.flip(result, 1, dst=result)


class _DecodeBuffer(threading.local):
    """Memory that each thread decodes into, as large as its largest image so far."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.uint8)

    def of_size(self, count: int) -> np.ndarray:
        """Memory for at least so many values."""
        if len(self._values) < count:
            self._values = np.empty(count, np.uint8)
        return self._values


def _new_images(count: int, shape: tuple[int, int, int]) -> Tensor:
    """Memory for a batch, channels last, which is the order of the decoder and the best one for convolutions."""
    # Evaluation runs in inference mode, whose tensors the threads outside of it could not fill.
    with torch.inference_mode(False):
        return torch.empty(count, *shape, dtype=torch.uint8).permute(0, 3, 1, 2)
