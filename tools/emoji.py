"""The common part of the emoji benchmarks' scripts: icon sets, Unicode's metadata, rendering, files.

Six icon sets draw Unicode's emoji. Each is an npm package in the format of Iconify: ``icons.json`` has the body of an
SVG per icon name and aliases of names, ``chars.json`` maps sequences of codepoints to names. Names, tags and subgroups
of the emoji come from ``emojibase-data``.

Rebuilding needs npm and resvg-py 0.5.0, which the other programs of this project do not need.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import lzma
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rebuild import RebuildError, Source, npy_bytes, sha256sums

from scalarization.benchmarks.archives import read_entries
from scalarization.benchmarks.bundled import CHECKSUM_FILE
from scalarization.benchmarks.emoji_files import TABLE_FILE, images_file

SIDE = 32
RESVG_VERSION = "0.5.0"
#: The skin tones of Unicode, from light to dark.
TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")

_ALIAS_LIMIT = 8  # longest chain of aliases
# The dictionary bounds the memory of readers; it is larger than every array, so a larger one would not help.
_XZ_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 8 * 1024 * 1024}]


METADATA = Source(
    "emojibase-data@17.0.0",
    "emojibase-data-17.0.0.tgz",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
#: Vendor -> its icon set.
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


# --- Bundled files --------------------------------------------------------------------------------------------


def pack_images(images: np.ndarray) -> bytes:
    """Images uint8 [N, 32, 32, 3] as a .npy file (version 1.0, C order) compressed with xz (LZMA2, preset 9e)."""
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"expected uint8 of shape [N, {SIDE}, {SIDE}, 3], got {images.dtype} {images.shape}")
    return lzma.compress(npy_bytes(images), format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=_XZ_FILTERS)


def table_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as a CSV file in UTF-8 with a header and lines that end in a line feed."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8")


def bundled_files(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, object]],
    images: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, bytes]:
    """Name -> content of a benchmark's bundled files: the table, the images of each vendor, and ``SHA256SUMS``.

    Args:
        columns: Columns of the table.
        rows: Rows of the table.
        images: Vendor -> sequence -> image uint8 [32, 32, 3].
    """
    files = {TABLE_FILE: table_bytes(columns, rows)}
    for vendor, drawings in images.items():
        files[images_file(vendor)] = pack_images(np.stack(list(drawings.values())))
    files[CHECKSUM_FILE] = sha256sums(files)
    return files


# --- Unicode's metadata -------------------------------------------------------------------------------------------


def normalise(hexcode: str) -> str:
    """A sequence in one spelling: lower-case codepoints joined by ``-``, without the variation selector ``fe0f``."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


@dataclass(frozen=True)
class Emoji:
    """One emoji in Unicode's metadata.

    Attributes:
        sequence: Codepoints, in the spelling of :func:`normalise`.
        name: English short name of CLDR, such as ``man firefighter: medium skin tone``.
        group: Group's key, such as ``people-body``.
        subgroup: Subgroup's key, such as ``person-role``.
        tags: Keywords of the emoji; a variant with a skin tone has those of the emoji without one.
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
    names = ("package/meta/groups.json", "package/en/data.json")
    document, entries = _read_json(archive, names, METADATA)
    try:
        groups = {int(number): key for number, key in document["groups"].items()}
        subgroups = {int(number): key for number, key in document["subgroups"].items()}
        emoji = []
        for entry in entries:
            if "group" in entry:
                group, subgroup = groups[entry["group"]], subgroups[entry["subgroup"]]
                tags = frozenset(entry.get("tags", ()))
                for each in (entry, *entry.get("skins", ())):
                    emoji.append(Emoji(normalise(each["hexcode"]), each["label"], group, subgroup, tags))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RebuildError(f"{archive}: not the format of {METADATA.package} ({error!r})") from error
    return emoji


# --- Icon sets ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IconSet:
    """An icon set in Iconify's format.

    Attributes:
        icons: Name -> icon: its SVG ``body``, and ``left``, ``top``, ``width`` and ``height`` if they differ from the
            defaults.
        aliases: Name -> ``parent`` (a name) and changes to it (``hFlip``, ``vFlip``).
        chars: Sequence of codepoints -> name; empty where the package has none.
        defaults: ``left``, ``top``, ``width`` and ``height`` of the set.
    """

    icons: Mapping[str, Mapping]
    aliases: Mapping[str, Mapping]
    chars: Mapping[str, str]
    defaults: Mapping[str, float]

    def name(self, emoji: Emoji) -> str | None:
        """Name of an emoji's icon (None: no icon), by sequence or, in a set without sequences, by English name."""
        if self.chars:
            return self.chars.get(emoji.sequence)
        name = slug(emoji.name)
        return name if name in self.icons or name in self.aliases else None

    def svg(self, name: str) -> str:
        """An icon as an SVG document of 32 x 32 pixels with its whole view box; proportions are kept."""
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
    """An English name in the spelling of icon sets: lower-case ASCII words joined by ``-``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "-", plain.lower().replace("'", "")).strip("-")


def read_icon_set(archive: Path, source: Source) -> IconSet:
    """Read an icon set from the tarball of its npm package, in memory."""
    document, chars = _read_json(archive, ("package/icons.json", "package/chars.json"), source)
    try:
        defaults = {key: document.get(key, standard) for key, standard in _DIMENSIONS.items()}
        names = {normalise(sequence): name for sequence, name in chars.items()}
        return IconSet(document["icons"], document.get("aliases", {}), names, defaults)
    except (KeyError, TypeError, AttributeError) as error:
        raise RebuildError(f"{archive}: not the format of {source.package} ({error!r})") from error


#: Iconify's defaults.
_DIMENSIONS = {"left": 0, "top": 0, "width": 16, "height": 16}


def _read_json(archive: Path, names: Sequence[str], source: Source) -> list[Any]:
    """The content of JSON files in the archive of a package."""
    documents = []
    for name, content in read_entries(archive, names).items():
        try:
            documents.append((name, json.loads(content)))
        except ValueError as error:
            raise RebuildError(f"{name} in {archive} is not JSON: {error}. Use {source.package}.") from error
    return [dict(documents)[name] for name in names]


# --- Rendering ----------------------------------------------------------------------------------------------------


def render(svg: str) -> np.ndarray:
    """An SVG of 32 x 32 pixels, rendered on white by resvg-py 0.5.0 without fonts, uint8 [32, 32, 3] (RGB)."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        raise RebuildError(f"{error.name} cannot be imported; install resvg-py=={RESVG_VERSION} and pillow") from error
    version = importlib.metadata.version("resvg-py")
    if version != RESVG_VERSION:
        raise RebuildError(f"resvg-py {version} may draw other pixels; install resvg-py=={RESVG_VERSION}")
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, background="#ffffff")
    except ValueError as error:
        raise RebuildError(f"resvg cannot draw {svg[:200]!r}...: {error}") from error
    image = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
    if image.shape != (SIDE, SIDE, 4) or image[..., 3].min() < 255:
        raise RebuildError(f"resvg drew {image.shape} with alpha {image[..., 3].min()}, not an opaque {SIDE} x {SIDE}")
    return image[..., :3].copy()


def draw(icon_set: IconSet, emoji: Iterable[Emoji]) -> dict[str, np.ndarray]:
    """Sequence -> drawing (uint8 [32, 32, 3]) of the emoji that the set has, in the given order."""
    named = ((each, icon_set.name(each)) for each in emoji)
    return {each.sequence: render(icon_set.svg(name)) for each, name in named if name is not None}


def alike(drawings: Mapping[str, np.ndarray], tolerance: int) -> list[list[str]]:
    """Groups of drawings (uint8 [32, 32, 3]) that are alike, in the order of each group's last drawing.

    Two drawings are alike if no channel of any pixel differs by more than ``tolerance``. A chain of such drawings is
    one group, and a drawing unlike all others is a group of its own.
    """

    def close(others: np.ndarray, one: np.ndarray) -> np.ndarray:
        return (np.maximum(others, one) - np.minimum(others, one) <= tolerance).all(axis=1)

    names = list(drawings)
    flat = np.stack([drawing.ravel() for drawing in drawings.values()])
    few = np.ascontiguousarray(flat[:, ::53])  # quickly separates most pairs
    group = np.arange(len(flat))
    for row in range(len(flat)):
        candidates = np.flatnonzero(close(few[:row], few[row]))
        matches = candidates[close(flat[candidates], flat[row])]
        for number in {int(group[other]) for other in matches}:
            group[group == number] = row
    return [[names[row] for row in np.flatnonzero(group == number)] for number in np.unique(group)]
