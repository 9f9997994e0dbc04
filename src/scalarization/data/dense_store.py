"""Writing a prepared store of images with maps, one image at a time, because all of them may not fit into memory.

Values have at most 16 bits and are stored unchanged. Counts of the 65,536 codes, made in one pass, give the exact mean,
standard deviation and median over the train split.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from scalarization.benchmarks.base import SPLITS, DenseData, MapFormat
from scalarization.benchmarks.images import Unusable, UnusableError, listed
from scalarization.data.equal_images import EqualImages
from scalarization.data.files import HashedFile
from scalarization.data.store import FORMAT, complete_store, normalisation
from scalarization.errors import DataError
from scalarization.storage import replacing

#: Images that are read in advance.
CHUNK = 256


def write_dense_store(
    directory: Path,
    benchmark: str,
    domain: str,
    data: DenseData,
    formats: Mapping[str, MapFormat],
    metadata: Mapping[str, Any],
    image_shape: tuple[int, int, int] | None = None,
    shared_images: float = 0.0,
) -> None:
    """Write a prepared store of images with maps; ``dataset.json`` is written last and makes it complete.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domain: Name of the one set of images.
        data: Its images and maps; its splits are not empty and do not overlap.
        formats: Task -> format of its maps, of the tasks to store.
        metadata: Further content of ``dataset.json``: source, licence.
        image_shape: Height, width and channels of the images; None: those of the first one.
        shared_images: Largest share of the images that may be in two splits.

    Raises:
        DataError: More images or maps than are tolerated are damaged or not in their format, too many images are in
            two splits, or a task has no known values in a split or fewer than two in training.
    """
    places = [(domain, split, key) for split in SPLITS for key in data.splits[split]]
    unusable = Unusable(benchmark, len(places), data.tolerated)
    equal = EqualImages(benchmark, shared_images, lambda place: f"{place[2]}")
    arrays = _Arrays(directory, domain, formats, image_shape, len(places))
    with ExitStack() as stack:
        for place, loaded in zip(places, _read(data, [key for *_, key in places]), strict=True):
            try:
                if isinstance(loaded, UnusableError):
                    raise loaded
                arrays.add(loaded, place[1], f"{place[2]}", stack)
            except UnusableError as error:
                unusable.add(error)
            else:
                equal.add(np.ascontiguousarray(loaded["images"]), place)
        unusable.check("unpack or fetch them again")
        arrays.finish(benchmark)
        maps = {
            task: _describe(arrays.counts["images" if form.image else task], form, f"{benchmark}: {task}")
            for task, form in formats.items()
        }
        described = {**equal.describe(), "remarks": {**data.remarks, "left_out": unusable.reasons}}
    moments = [moments_of(c, np.uint8, None) for c in arrays.counts["images"]]
    content = {
        "format": FORMAT,
        "benchmark": benchmark,
        **metadata,
        **described,
        "maps": maps,
        "domains": {domain: arrays.describe()},
        "normalisation": normalisation(benchmark, *(np.array([m[k] for m in moments]) / 255 for k in ("mean", "std"))),
    }
    complete_store(directory, content)


def moments_of(counts: np.ndarray, dtype: np.dtype | type, invalid: int | None) -> dict[str, float]:
    """Statistics of known values from counts of their codes.

    Args:
        counts: How often each code occurs, [256] or [65536]; a code is a value's bits as an unsigned integer.
        dtype: Type of the values.
        invalid: Value that stands for an unknown one, in addition to NaN; None: there is no such value.

    Returns:
        ``mean``, ``std`` and (lower) ``median`` of the known values, and ``known``, their fraction of all values.
        Without known values the first three are NaN and the last is 0.
    """
    dtype = np.dtype(dtype)
    values = np.arange(len(counts), dtype=f"u{dtype.itemsize}").view(dtype).astype(np.float64)
    with np.errstate(invalid="ignore"):  # comparing signalling NaNs warns
        known = np.isfinite(values) & (values != invalid) & (counts > 0)
    values, weights, total = values[known], counts[known], counts.sum()
    if not len(values):
        return {"mean": np.nan, "std": np.nan, "median": np.nan, "known": 0.0}
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    mean = float(np.average(values, weights=weights))
    return {
        "mean": mean,
        "std": float(np.sqrt(np.average((values - mean) ** 2, weights=weights))),
        "median": float(values[np.searchsorted(np.cumsum(weights), weights.sum() / 2)]),
        "known": float(weights.sum() / total),
    }


def _describe(counts: np.ndarray, form: MapFormat, name: str) -> dict[str, Any]:
    """Format and statistics of a task's maps, as ``dataset.json`` has them."""
    moments = [moments_of(c, np.dtype(form.dtype), form.invalid) for c in counts]
    for channel, values in enumerate(moments):
        if not values["std"] > 0:
            raise DataError(f"{name}: channel {channel} has fewer than two values in the train split")
    return {
        "channels": form.channels,
        "dtype": form.dtype,
        "invalid": form.invalid,
        "mirrored": {str(channel): centre for channel, centre in form.mirrored.items()},
        **{k: [m[k] for m in moments] for k in ("mean", "std", "median", "known")},
    }


def _read(data: DenseData, keys: Sequence[Any]) -> Iterator[dict[str, np.ndarray] | UnusableError]:
    """The arrays of each key, in order, read by several threads: decoders release the interpreter's lock."""

    def load(key: Any) -> dict[str, np.ndarray] | UnusableError:
        try:
            return data.load(key)
        except UnusableError as error:
            return error
        except Exception as error:  # of a reader of the user's own
            return UnusableError(f"{key}", f"could not be read ({type(error).__name__}: {error})")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(keys), CHUNK):
            yield from pool.map(load, keys[first : first + CHUNK])


def _code_counts(array: np.ndarray) -> np.ndarray:
    """How often each code occurs, [C, codes]."""
    size = array.dtype.itemsize
    codes = np.ascontiguousarray(array).view(f"u{size}")
    return np.stack([np.bincount(codes[..., c].ravel(), minlength=1 << (8 * size)) for c in range(codes.shape[-1])])


class _Arrays:
    """The arrays of a store while they are written, one image after the other.

    Args:
        directory: Directory of the store.
        domain: Name of the one set of images.
        formats: Task -> format of its maps.
        image_shape: Height, width and channels of the images; None: those of the first one.
        total: Number of images, of which some may turn out to be unusable.

    Attributes:
        counts: Array -> how often each code occurs in the train split, [C, codes].
    """

    def __init__(
        self,
        directory: Path,
        domain: str,
        formats: Mapping[str, MapFormat],
        image_shape: tuple[int, ...] | None,
        total: int,
    ) -> None:
        self._directory, self._domain, self._formats = directory, domain, formats
        self._image_shape, self._total = image_shape, total
        self._kinds = {"images", *(task for task, form in formats.items() if not form.image)}
        self._writers: dict[str, _Writer] = {}
        self._sizes = dict.fromkeys(SPLITS, 0)
        self.counts: dict[str, np.ndarray] = {}

    def add(self, loaded: dict[str, np.ndarray], split: str, name: str, stack: ExitStack) -> None:
        """Append an image and its maps.

        Args:
            loaded: ``images`` and task -> map.
            split: Its split.
            name: Its name, for messages.
            stack: Closes the files, and gives them their names.

        Raises:
            UnusableError: An array is not in its format; nothing was appended.
        """
        self._check(loaded, name)
        for kind, array in loaded.items():
            if kind not in self._writers:
                path = stack.enter_context(replacing(self._path(kind)))
                file = stack.enter_context(path.open("w+b"))
                self._writers[kind] = _Writer(file, (self._total, *array.shape), array.dtype)
                self.counts[kind] = np.zeros((array.shape[-1], 1 << (8 * array.dtype.itemsize)), dtype=np.int64)
            self._writers[kind].add(array)
            if split == SPLITS[0]:
                self.counts[kind] += _code_counts(array)
        self._image_shape = loaded["images"].shape
        self._sizes[split] += 1

    def finish(self, source: str) -> None:
        """Correct the headers if images were left out.

        Raises:
            DataError: A split has no image.
        """
        if empty := [split for split in SPLITS if not self._sizes[split]]:
            raise DataError(f"{source}: no usable image is in {' and '.join(empty)}")
        for writer in self._writers.values():
            writer.finish(sum(self._sizes.values()))

    def describe(self) -> dict[str, Any]:
        """Entry of ``dataset.json`` for the one set of images: bounds of splits, and files."""
        bounds = np.cumsum([0, *self._sizes.values()]).tolist()
        files = {kind: writer.describe(self._path(kind).name) for kind, writer in self._writers.items()}
        files |= {task: files["images"] for task, form in self._formats.items() if form.image}
        return {"splits": {split: bounds[i : i + 2] for i, split in enumerate(SPLITS)}, "files": files}

    def _path(self, kind: str) -> Path:
        return self._directory / f"{self._domain}_{kind}.npy"

    def _check(self, arrays: Any, name: str) -> None:
        """Compare an image and its maps with their formats."""
        if not isinstance(arrays, Mapping) or set(arrays) != self._kinds:
            returned = listed(sorted(arrays)) if isinstance(arrays, Mapping) else type(arrays).__name__
            raise UnusableError(name, f"has {returned}, expected {listed(sorted(self._kinds))}")
        image = arrays["images"]
        shape = self._image_shape or getattr(image, "shape", None)
        _check_array(image, np.dtype(np.uint8), shape, name, "images")
        for task in self._kinds - {"images"}:
            form = self._formats[task]
            dtype = np.dtype(form.dtype)
            _check_array(arrays[task], dtype, (*image.shape[:2], form.channels), name, task)
            if dtype.kind == "f" and np.isinf(arrays[task]).any():
                raise UnusableError(name, f"has infinite values in {task}; unknown ones must be NaN")
            known = ~np.isnan(arrays[task]) if dtype.kind == "f" else arrays[task] != form.invalid
            if not np.any(known):
                raise UnusableError(name, f"has no known value in {task}")


def _check_array(array: Any, dtype: np.dtype, shape: tuple[int, ...] | None, name: str, kind: str) -> None:
    if not isinstance(array, np.ndarray):
        raise UnusableError(name, f"has a {type(array).__name__} as {kind}, expected an array")
    if array.ndim != 3 or array.shape != shape or array.dtype != dtype:
        raise UnusableError(name, f"has {kind}: {array.dtype} {array.shape}, expected {dtype} {shape or '[H, W, C]'}")


class _Writer(HashedFile):
    """Writes a .npy file row by row.

    Args:
        file: File, open for reading and writing.
        shape: Shape of the whole array, if no row is left out.
        dtype: Type of its values.
    """

    def __init__(self, file: io.BufferedRandom, shape: Iterable[int], dtype: np.dtype) -> None:
        super().__init__(file)
        self._reread = file
        self.shape, self.dtype = tuple(shape), dtype
        self._write_header(self)

    def add(self, row: np.ndarray) -> None:
        """Append a row."""
        self.write(np.ascontiguousarray(row).tobytes())

    def finish(self, rows: int) -> None:
        """Put the number of written rows into the header; the file is then read once more for its checksum."""
        if rows == self.shape[0]:
            return
        start, self.shape = self.file.tell(), (rows, *self.shape[1:])
        header = io.BytesIO()
        self._write_header(header)
        self.file.seek(0)
        # NumPy leaves room for any number of rows, so the header keeps its length.
        self.file.write(header.getvalue())
        self.file.seek(0)
        self.digest = hashlib.file_digest(self._reread, "sha256")
        self.file.seek(start)

    def describe(self, name: str, **shape: Any) -> dict[str, Any]:
        """Entry of ``dataset.json`` for the file under its final name."""
        return super().describe(name, dtype=self.dtype.str, shape=list(self.shape), **shape)

    def _write_header(self, file: Any) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_2_0(file, header)
