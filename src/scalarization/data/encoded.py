"""A prepared store of encoded images, decoded by threads shortly before they are needed.

Behind the same interface as :class:`scalarization.data.device.DeviceData`, for data that do not fit into memory: only
the batch in use and the few that are being made are held. Which images make up a batch is known from the seed, and so
is what is cut out of them, so a run goes on from any step.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import simplejpeg
import torch

from scalarization.benchmarks import SPLITS
from scalarization.data.augmentation import Augmentation
from scalarization.data.device import DomainRows
from scalarization.data.store import Store
from scalarization.errors import DataError

#: Batches that are made while another is in use: bounds the memory.
AHEAD = 2
#: Images that a thread makes at a time.
CHUNK = 16
#: Part of the shorter side that is looked at in evaluation: 224 of 256 pixels (choice).
EVALUATED = 0.875
#: Width over height of a random crop, and how often one is drawn that does not fit (torchvision's; choice).
RATIOS = (3 / 4, 4 / 3)
TRIES = 10

#: Top, left, height, width in pixels.
Box = tuple[int, int, int, int]


class Crops:
    """What is cut out of each image of a batch, drawn from the batch's seed: random area, ratio, place and flip.

    As torchvision's RandomResizedCrop: of :data:`TRIES` draws the first that fits; else the middle, at the nearest
    ratio.

    Args:
        seed: Seed of the batch's draws.
        count: Images.
        smallest: Least part of the area.
        flip: Whether every second crop is mirrored.
    """

    def __init__(self, seed: int, count: int, smallest: float, flip: bool) -> None:
        generator = np.random.default_rng(seed)
        # Lists: box() computes with single numbers, which NumPy is slow at.
        self._area = generator.uniform(smallest, 1, (count, TRIES)).tolist()
        self._ratio = np.exp(generator.uniform(*np.log(RATIOS), (count, TRIES))).tolist()
        self._place = generator.random((count, 2)).tolist()
        self.flipped = generator.random(count) < (0.5 if flip else 0)

    def box(self, number: int, height: int, width: int) -> Box:
        """The crop of an image of some size."""
        for part, ratio in zip(self._area[number], self._ratio[number], strict=True):
            area = part * height * width
            cut = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < cut[0] <= height and 0 < cut[1] <= width:
                top, left = (
                    int(place * (side - length + 1))
                    for place, side, length in zip(self._place[number], (height, width), cut, strict=True)
                )
                return top, left, *cut
        cut = (
            min(height, max(1, round(width / RATIOS[0]))),
            min(width, max(1, round(height * RATIOS[1]))),
        )
        return (height - cut[0]) // 2, (width - cut[1]) // 2, *cut


def middle(height: int, width: int) -> Box:
    """The square that evaluation looks at."""
    side = max(1, round(EVALUATED * min(height, width)))
    return (height - side) // 2, (width - side) // 2, side, side


class EncodedData(DomainRows):
    """Images of some domains, decoded when they are needed.

    Args:
        store: Prepared store of encoded images.
        domains: Domains to read.
        device: Where batches are put.
        workers: Threads that decode; of no influence on what comes out.

    Attributes:
        images: Slices of it are uint8 batches [B, C, H, W] for evaluation: the middle of each image.
    """

    def __init__(self, store: Store, domains: list[str], device: torch.device, workers: int = 1) -> None:
        super().__init__(store, domains, device)
        self.store, self.device = store, device
        self.size_in_pixels = store.facts["image_size"]
        self._domains = domains
        self._starts = [self.start(d, SPLITS[0]) for d in domains]
        self.images = _Middles(self)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._memory = _Memory()
        cv2.setNumThreads(1)  # each of the workers' own calls stays with the worker

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.size_in_pixels, self.size_in_pixels, 3)

    def batch(self, rows: torch.Tensor, augmentation: Augmentation, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch; as :meth:`scalarization.data.device.DeviceData.batch`."""
        return next(self.batches(rows[None], augmentation, [seed]))

    def batches(
        self, rows: torch.Tensor, augmentation: Augmentation, seeds: Sequence[int]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches in order, the next ones being made by threads meanwhile.

        Args:
            rows: int64 [batches, B], rows as counted by :meth:`start`.
            augmentation: What to do with the images.
            seeds: Seed of each batch's augmentation.

        Yields:
            float32 images [B, C, H, W] and int64 labels [B].

        Raises:
            DataError: An image in the store is damaged.
        """
        rest = copy.copy(augmentation)
        if augmentation.resized_crop:
            rest.flip = False  # done where the image is cut out
        loaded = self.loaded(rows, augmentation, seeds)
        with contextlib.closing(loaded):
            for pixels, part, seed in zip(loaded, rows, seeds, strict=True):
                images = pixels.to(self.device)
                if rest.active:
                    images = rest(images, seed)
                yield self.normalise(images), self.labels.index_select(0, part.to(self.device))

    def loaded(self, rows: torch.Tensor, augmentation: Augmentation, seeds: Sequence[int]) -> Iterator[torch.Tensor]:
        """Batches in order, decoded and cut out, uint8 [B, C, H, W] in the memory of the host; as :meth:`batches`.

        Each is overwritten after the next one was asked for: fresh memory costs as much as the resampling.
        """
        started: collections.deque = collections.deque()
        spare: list[torch.Tensor] = []
        try:
            for part, seed in zip(rows, seeds, strict=True):
                crops = None
                if augmentation.resized_crop:
                    crops = Crops(seed, len(part), augmentation.resized_crop, augmentation.flip)
                started.append(_Making(self, part.tolist(), crops, spare.pop() if spare else None))
                if len(started) > AHEAD:
                    yield (images := started.popleft().result())
                    spare.append(images)
            while started:
                yield started.popleft().result()
        finally:
            for making in started:
                making.leave()

    def _cut_out(self, row: int, box: Callable[[int, int], Box]) -> np.ndarray:
        """Pixels [H, W, C] in the box for the image's height and width; replaced by the next ones of the thread."""
        domain = bisect.bisect_right(self._starts, row) - 1
        content = self.store.encoded(self._domains[domain], row - self._starts[domain])
        try:
            # Not strict: what Pillow reads when the store is made is not refused here.
            size = simplejpeg.decode_jpeg_header(content, strict=False)[:2]
            top, left, height, width = box(*size)
            content = shortened(content, *size, top + height)
            image = simplejpeg.decode_jpeg(content, buffer=self._memory.pixels(math.prod(size)), strict=False)
        except ValueError as error:
            raise DataError(
                f"{self.store.directory}: image {row - self._starts[domain]} of {self._domains[domain]} is damaged "
                f"({str(error).splitlines()[0]}); delete the directory and run snakemake again to prepare it anew"
            ) from None
        return image[top : top + height, left : left + width]


def shortened(content: bytes, height: int, width: int, rows: int) -> bytes:
    """A JPEG without what lies below its first rows, which are decoded to the same values: a quarter less to decode.

    Only the height in the frame header is changed; decoders pass over the rest of the data with a warning.

    Args:
        content: JPEG of three channels; another one comes back as it is.
        height: Of the image.
        width: Of the image.
        rows: How many of its rows are needed.
    """
    # Length of the header, bits per value, height, width, channels (ITU T.81, B.2.2).
    header = struct.pack(">HBHHB", 17, 8, height, width, 3)
    place = content.find(header) + 3
    # The rows next to the last one have a part in its colours, which are stored at half the resolution.
    rows = min(height, rows + 4)
    return content if place < 3 else b"".join((content[:place], rows.to_bytes(2, "big"), content[place + 2 :]))


class _Memory(threading.local):
    """Memory that each thread decodes into: as large as its largest image so far."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.uint8)

    def pixels(self, count: int) -> np.ndarray:
        """Room for so many pixels."""
        if len(self._values) < 3 * count:
            self._values = np.empty(3 * count, np.uint8)
        return self._values


def _pixels(count: int, size: int) -> torch.Tensor:
    """Memory for a batch, channels last: as the decoder gives images and convolutions want them."""
    # Evaluation asks in inference mode, of which the threads that fill it know nothing.
    with torch.inference_mode(False):
        return torch.empty(count, size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2)


class _Making:
    """A batch of uint8 images that threads are filling, in memory of its own or in ``images``."""

    def __init__(
        self, data: EncodedData, rows: list[int], crops: Crops | None, images: torch.Tensor | None = None
    ) -> None:
        self._data, self._rows, self._crops = data, rows, crops
        self._images = _pixels(len(rows), data.size_in_pixels) if images is None else images
        firsts = range(0, len(rows), CHUNK)
        self._parts: list[Future] = [data._pool.submit(self._fill, first) for first in firsts]

    def result(self) -> torch.Tensor:
        """The whole batch, as soon as it is there."""
        try:
            for part in self._parts:
                part.result()
        finally:
            self.leave()
        return self._images

    def leave(self) -> None:
        """Give up what was not begun."""
        for part in self._parts:
            part.cancel()

    def _fill(self, first: int) -> None:
        results = self._images.permute(0, 2, 3, 1).numpy()
        for number in range(first, min(first + CHUNK, len(self._rows))):
            box = functools.partial(self._crops.box, number) if self._crops else middle
            cut, result = self._data._cut_out(self._rows[number], box), results[number]
            # Not antialiased: crops are at most 341 pixels wide or high, so 224 of them pass over none.
            cv2.resize(cut, result.shape[1::-1], dst=result, interpolation=cv2.INTER_LINEAR)
            if self._crops and self._crops.flipped[number]:
                cv2.flip(result, 1, dst=result)


class _Middles:
    """The images for evaluation; a slice is followed by making the next one of the same length, if there is one."""

    def __init__(self, data: EncodedData) -> None:
        self._data = data
        self._next: tuple[slice, _Making] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Images, channels, height, width."""
        size = self._data.size_in_pixels
        return len(self._data.labels), 3, size, size

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """uint8 [B, C, H, W] on the device."""
        making = self._take(rows) or self._make(rows)
        stop = min([b[1] for b in self._data._bounds.values() if b[0] <= rows.start < b[1]], default=rows.stop)
        following = slice(rows.stop, min(2 * rows.stop - rows.start, stop))
        if following.start < following.stop:
            self._next = following, self._make(following)
        return making.result().to(self._data.device)

    def _make(self, rows: slice) -> _Making:
        return _Making(self._data, list(range(rows.start, rows.stop)), None)

    def _take(self, rows: slice) -> _Making | None:
        found, self._next = self._next, None
        if found is None or found[0] == rows:
            return found and found[1]
        found[1].leave()
        return None
