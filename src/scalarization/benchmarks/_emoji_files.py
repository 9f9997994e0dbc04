"""Reading the bundled files of the emoji benchmarks: a table of emoji, and one file of drawings per vendor.

Kept apart from ``_emoji``, which makes these files: a job's code digest follows imports, and how the files were made
does not change what is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import lzma
from pathlib import Path

import numpy as np

from scalarization.errors import DataError

CHECKSUM_FILE = "SHA256SUMS"
TABLE_FILE = "emoji.csv"


def read_bundled(folder: Path, name: str) -> bytes:
    """The content of a bundled file, checked against ``SHA256SUMS`` beside it.

    Raises:
        DataError: The file is missing or differs from its checksum.
    """
    try:
        expected = dict(reversed(line.split()) for line in (folder / CHECKSUM_FILE).read_text("ascii").splitlines())
        content = (folder / name).read_bytes()
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; restore it with git checkout") from error
    if hashlib.sha256(content).hexdigest() != expected.get(name):
        raise DataError(f"{folder / name}: differs from {CHECKSUM_FILE}; restore it with git checkout")
    return content


def read_table(folder: Path) -> list[dict[str, str]]:
    """The rows of the bundled table, one per emoji: column -> text.

    Raises:
        DataError: The file is missing or differs from its checksum.
    """
    return list(csv.DictReader(io.StringIO(read_bundled(folder, TABLE_FILE).decode("utf-8"), newline="")))


def read_images(folder: Path, vendor: str) -> np.ndarray:
    """One vendor's drawings, uint8 [N, 32, 32, 3] (RGB), in the order of the table's rows where its column is 1.

    Raises:
        DataError: The file is missing or differs from its checksum.
    """
    return unpack_images(read_bundled(folder, images_file(vendor)))


def images_file(vendor: str) -> str:
    """The name of the file with a vendor's drawings."""
    return f"{vendor}.npy.xz"


def unpack_images(content: bytes) -> np.ndarray:
    """The array in a .npy file that is compressed with xz."""
    return np.lib.format.read_array(io.BytesIO(lzma.decompress(content)), allow_pickle=False)
