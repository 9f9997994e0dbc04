"""Writing a prepared store of images with maps, one image at a time, because all of them may not fit into memory.

Values have at most 16 bits and are stored unchanged. Counts of the 65,536 codes, made in one pass, give the exact mean,
standard deviation and median over the train split.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scalarization.benchmarks.base import SPLITS, DenseData, MapFormat
from scalarization.data.store import FORMAT
from scalarization.errors import DataError
from scalarization.storage import replacing, write_json

#: Images that are read in advance.
CHUNK = 256


def write_dense_store(
    directory: Path,
    benchmark: str,
    domain: str,
    data: DenseData,
    formats: Mapping[str, MapFormat],
    metadata: Mapping[str, Any],
) -> None:
    """Write a prepared store of images with maps; ``dataset.json`` is written last and makes it complete.

    Args:
        directory: Directory of the store.
        benchmark: Benchmark's name.
        domain: Name of the one set of images.
        data: Its images and maps.
        formats: Task -> format of its maps, of the tasks to store.
        metadata: Further content of ``dataset.json``: source, licence.

    Raises:
        DataError: A map is not in its format, or has fewer than two values.
    """
    keys = [key for split in SPLITS for key in data.splits[split]]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{benchmark}: splits of {domain} overlap")
    bounds = np.cumsum([0, *(len(data.splits[s]) for s in SPLITS)]).tolist()
    if 0 in np.diff(bounds):
        raise DataError(f"{benchmark}: a split of {domain} has no image")
    writers: dict[str, _Writer] = {}
    counts: dict[str, np.ndarray] = {}
    with ExitStack() as stack:
        for row, arrays in enumerate(_read(data, keys)):
            _check(arrays, formats, f"{benchmark}: {keys[row]}")
            for kind, array in arrays.items():
                if kind not in writers:
                    path = stack.enter_context(replacing(directory / f"{domain}_{kind}.npy"))
                    file = stack.enter_context(path.open("wb"))
                    writers[kind] = _Writer(file, (len(keys), *array.shape), array.dtype)
                    counts[kind] = np.zeros((array.shape[-1], 1 << (8 * array.dtype.itemsize)), dtype=np.int64)
                writers[kind].add(array)
                if row < bounds[1]:
                    counts[kind] += _code_counts(array)
        maps = {
            task: _describe(counts["images" if form.image else task], form, f"{benchmark}: {task}")
            for task, form in formats.items()
        }
    files = {kind: writer.describe(f"{domain}_{kind}.npy") for kind, writer in writers.items()}
    files |= {task: files["images"] for task, form in formats.items() if form.image}
    moments = [moments_of(c, np.uint8, None) for c in counts["images"]]
    content = {
        "format": FORMAT,
        "benchmark": benchmark,
        **metadata,
        "maps": maps,
        "domains": {domain: {"splits": {s: bounds[i : i + 2] for i, s in enumerate(SPLITS)}, "files": files}},
        "normalisation": {k: [round(m[k] / 255, 6) for m in moments] for k in ("mean", "std")},
    }
    write_json(directory / "dataset.json", content)


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


def _read(data: DenseData, keys: Sequence[Any]) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each key, in order, read by several threads: decoders release the interpreter's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(keys), CHUNK):
            yield from pool.map(data.load, keys[first : first + CHUNK])


def _check(arrays: Mapping[str, np.ndarray], formats: Mapping[str, MapFormat], name: str) -> None:
    """Compare the maps of an image with their formats."""
    for task in [task for task in formats if task in arrays]:
        array, form = arrays[task], formats[task]
        expected = (*arrays["images"].shape[:2], form.channels)
        if array.shape != expected or array.dtype != form.dtype:
            raise DataError(f"{name}: {task}: {array.dtype} {array.shape}, expected {form.dtype} {expected}")


def _code_counts(array: np.ndarray) -> np.ndarray:
    """How often each code occurs, [C, codes]."""
    size = array.dtype.itemsize
    codes = np.ascontiguousarray(array).view(f"u{size}")
    return np.stack([np.bincount(codes[..., c].ravel(), minlength=1 << (8 * size)) for c in range(codes.shape[-1])])


class _Writer:
    """Writes a .npy file row by row and computes its checksum.

    Args:
        file: Open file.
        shape: Shape of the whole array.
        dtype: Type of its values.

    Attributes:
        digest: SHA-256 of the bytes written so far.
        bytes: Number of bytes written so far.
    """

    def __init__(self, file: BinaryIO, shape: Iterable[int], dtype: np.dtype) -> None:
        self.file, self.digest, self.bytes = file, hashlib.sha256(), 0
        self.shape, self.dtype = tuple(shape), dtype
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_2_0(self, header)

    def write(self, content: bytes) -> None:
        self.file.write(content)
        self.digest.update(content)
        self.bytes += len(content)

    def describe(self, name: str) -> dict[str, Any]:
        """Entry of ``dataset.json`` for the file under its final name."""
        return {"name": name, "bytes": self.bytes, "sha256": self.digest.hexdigest()}

    def add(self, row: np.ndarray) -> None:
        if row.shape != self.shape[1:] or row.dtype != self.dtype:
            raise DataError(f"{self.file.name}: a row of {row.dtype} {row.shape} among others of {self.shape[1:]}")
        self.write(np.ascontiguousarray(row).tobytes())
