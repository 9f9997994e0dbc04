"""Writing a prepared store of images with maps, one image at a time: neither all images nor all maps fit into memory.

Values of 16 bits at most are kept as they come. Mean, standard deviation and median over the train split follow from
how often each of the 65,536 codes occurs, exactly, in one pass.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scalarization.benchmarks import SPLITS, DenseData, MapFormat
from scalarization.data.store import FORMAT
from scalarization.errors import DataError
from scalarization.storage import replacing, write_json

#: Images that are read ahead.
CHUNK = 256


def write_dense_store(
    directory: Path,
    benchmark: str,
    domain: str,
    data: DenseData,
    maps: dict[str, MapFormat],
    facts: dict[str, Any],
) -> None:
    """Write a prepared store of images with maps; ``dataset.json`` comes last and makes it complete.

    Args:
        directory: Where to.
        benchmark: Benchmark's name.
        domain: Name of the one set of images.
        data: Its images and maps.
        maps: Task -> format of its maps, of the tasks that are wanted.
        facts: Source, licence and whatever else belongs into ``dataset.json``.

    Raises:
        DataError: A map is not as its format says, or has one value only.
    """
    keys = [key for split in SPLITS for key in data.splits[split]]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{benchmark}: splits of {domain} overlap")
    bounds = np.cumsum([0, *(len(data.splits[s]) for s in SPLITS)]).tolist()
    if 0 in np.diff(bounds):
        raise DataError(f"{benchmark}: a split of {domain} has no image")
    own = {task: form for task, form in maps.items() if not form.image}
    counts: dict[str, np.ndarray] = {}
    with ExitStack() as stack:
        writers: dict[str, _Writer] = {}
        for row, arrays in enumerate(_read(data, keys)):
            for kind, array in arrays.items():
                if kind in own:
                    _check(array, own[kind], arrays["images"].shape, f"{benchmark}: {keys[row]}: {kind}")
                if kind not in writers:
                    path = stack.enter_context(replacing(directory / f"{domain}_{kind}.npy"))
                    writers[kind] = _Writer(
                        stack.enter_context(path.open("wb")), (len(keys), *array.shape), array.dtype
                    )
                    counts[kind] = np.zeros((array.shape[-1], 1 << (8 * array.dtype.itemsize)), dtype=np.int64)
                writers[kind].add(array)
                if row < bounds[1]:
                    counts[kind] += _code_counts(array)
        described = {
            task: _describe(counts["images" if form.image else task], form, f"{benchmark}: {task}")
            for task, form in maps.items()
        }
        files = {
            kind: {"name": f"{domain}_{kind}.npy", "bytes": writer.bytes, "sha256": writer.digest.hexdigest()}
            for kind, writer in writers.items()
        }
    files |= {task: files["images"] for task, form in maps.items() if form.image}
    moments = [moments_of(c, np.uint8, None) for c in counts["images"]]
    content = {
        "format": FORMAT,
        "benchmark": benchmark,
        **facts,
        "maps": described,
        "domains": {
            domain: {
                "splits": {s: [bounds[i], bounds[i + 1]] for i, s in enumerate(SPLITS)},
                "files": files,
            }
        },
        "normalisation": {k: [round(m[k] / 255, 6) for m in moments] for k in ("mean", "std")},
    }
    write_json(directory / "dataset.json", content)


def moments_of(counts: np.ndarray, dtype: np.dtype | type, invalid: int | None) -> dict[str, float]:
    """Statistics of the known values behind counts of codes.

    Args:
        counts: How often each code occurs, [256] or [65536]; a code is a value's bits as an unsigned integer.
        dtype: What the codes stand for.
        invalid: Value that stands for an unknown one; NaN always does.

    Returns:
        ``mean``, ``std`` and (lower) ``median`` of the known values, ``known``, their share of all; NaN and 0 without
        any.
    """
    dtype = np.dtype(dtype)
    values = np.arange(len(counts), dtype=f"u{dtype.itemsize}").view(dtype).astype(np.float64)
    with np.errstate(invalid="ignore"):  # comparing signalling NaNs
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
    moments = [moments_of(c, form.dtype, form.invalid) for c in counts]
    for channel, found in enumerate(moments):
        if not found["std"] > 0:
            raise DataError(f"{name}: channel {channel} has fewer than two values in the train split")
    return {
        "channels": form.channels,
        "dtype": form.dtype,
        "invalid": form.invalid,
        "mirrored": {str(channel): centre for channel, centre in form.mirrored.items()},
        **{k: [m[k] for m in moments] for k in ("mean", "std", "median", "known")},
    }


def _read(data: DenseData, keys: list[Any]) -> Iterator[dict[str, np.ndarray]]:
    """What ``load`` returns for each key, in order; decoding of images lets several threads run."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(keys), CHUNK):
            yield from pool.map(data.load, keys[first : first + CHUNK])


def _check(array: np.ndarray, form: MapFormat, image_shape: tuple[int, ...], name: str) -> None:
    expected = (*image_shape[:2], form.channels)
    if array.shape != expected or array.dtype != form.dtype:
        raise DataError(f"{name}: {array.dtype} {array.shape}, expected {form.dtype} {expected}")


def _code_counts(array: np.ndarray) -> np.ndarray:
    """How often each code occurs, [C, codes]."""
    size = array.dtype.itemsize
    codes = np.ascontiguousarray(array).view(f"u{size}")
    return np.stack([np.bincount(codes[..., c].ravel(), minlength=1 << (8 * size)) for c in range(codes.shape[-1])])


class _Writer:
    """Writes a .npy file row by row and knows its checksum at the end.

    Args:
        file: Open file.
        shape: Of the whole array.
        dtype: Of its values.
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

    def add(self, row: np.ndarray) -> None:
        if row.shape != self.shape[1:] or row.dtype != self.dtype:
            raise DataError(f"{self.file.name}: a row of {row.dtype} {row.shape} among others of {self.shape[1:]}")
        self.write(np.ascontiguousarray(row).tobytes())
