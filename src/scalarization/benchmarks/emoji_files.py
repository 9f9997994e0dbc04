"""Reading the bundled files of the emoji benchmarks: a table of emoji, and one file of drawings per vendor."""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalarization.benchmarks.base import SPLITS
from scalarization.benchmarks.bundled import read_bundled

TABLE_FILE = "emoji.csv"


@dataclass(frozen=True)
class Drawings:
    """Drawings of several vendors, one vendor after the other.

    Attributes:
        images: uint8 [N, 32, 32, 3] (RGB on white).
        rows: Row of the table for each drawing: column -> text.
        split: Index in ``SPLITS`` of each drawing, uint8 [N].
        vendor: Vendor of each drawing, str [N].
    """

    images: np.ndarray
    rows: list[dict[str, str]]
    split: np.ndarray
    vendor: np.ndarray


def read_drawings(folder: Path, vendors: Sequence[str]) -> Drawings:
    """The drawings of some vendors, in this order.

    Raises:
        DataError: A bundled file is missing or differs from its checksum.
    """
    table = read_table(folder)
    pairs = [(vendor, row) for vendor in vendors for row in table if row[vendor] == "1"]
    return Drawings(
        images=np.concatenate([read_images(folder, vendor) for vendor in vendors]),
        rows=[row for _, row in pairs],
        split=np.array([SPLITS.index(row["split"]) for _, row in pairs], dtype=np.uint8),
        vendor=np.array([vendor for vendor, _ in pairs]),
    )


def read_table(folder: Path) -> list[dict[str, str]]:
    """The rows of the bundled table, one per emoji: column -> text.

    Raises:
        DataError: The file is missing or differs from its checksum.
    """
    return list(csv.DictReader(io.StringIO(read_bundled(folder, TABLE_FILE).decode("utf-8"), newline="")))


def read_images(folder: Path, vendor: str) -> np.ndarray:
    """One vendor's drawings, uint8 [N, 32, 32, 3] (RGB), in the order of the table's rows with 1 in its column.

    Raises:
        DataError: The file is missing or differs from its checksum.
    """
    return unpack_images(read_bundled(folder, images_file(vendor)))


def images_file(vendor: str) -> str:
    """Name of the file with a vendor's drawings."""
    return f"{vendor}.npy.xz"


def unpack_images(content: bytes) -> np.ndarray:
    """The array in a .npy file that is compressed with xz."""
    return np.lib.format.read_array(io.BytesIO(lzma.decompress(content)), allow_pickle=False)
