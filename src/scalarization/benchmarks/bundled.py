"""Reading files that come with this package, each compared with its checksum.

How the files were made is the matter of ``tools/``: a job's code digest follows imports, and how bundled files were
made does not change how they are read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from scalarization.errors import DataError

CHECKSUM_FILE = "SHA256SUMS"


def bundled_files(folder: Path) -> list[Path]:
    """The bundled files of a benchmark, all but its documentation."""
    return sorted(file for file in folder.iterdir() if file.is_file() and file.suffix != ".md")


def read_bundled(folder: Path, name: str) -> bytes:
    """The content of a bundled file after its checksum was compared with ``SHA256SUMS`` in the same folder.

    Raises:
        DataError: The file is missing or differs from its checksum.
    """
    try:
        lines = [line.split() for line in (folder / CHECKSUM_FILE).read_text("utf-8", "replace").splitlines()]
        content = (folder / name).read_bytes()
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; restore it with git checkout") from error
    if [hashlib.sha256(content).hexdigest(), name] not in lines:
        raise DataError(f"{folder / name}: differs from {CHECKSUM_FILE}; restore it with git checkout")
    return content
