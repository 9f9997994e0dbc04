"""Reading original image files, the only place that calls Pillow on them; unusable ones are named all at once."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scalarization.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

#: Names that a message lists; the log has all of them.
LISTED = 10
#: Files and folders that operating systems put next to others.
COMPANIONS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"})
log = logging.getLogger(__name__)


class UnusableError(DataError):
    """One original cannot be used. Readers raise it; whoever calls them collects it in :class:`Unusable`.

    Args:
        name: Name of the original.
        reason: What is wrong with it, as a sentence about it: "is damaged".

    Attributes:
        name: Name of the original.
        reason: What is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


class Unusable:
    """Originals that cannot be used, collected so that one message names all of them. Threads may share it.

    Args:
        source: Benchmark or directory, for messages.
        total: Number of all originals.
        tolerated: Largest share of the originals that may be unusable; these are left out.

    Attributes:
        reasons: Name of the original -> what is wrong with it.
    """

    def __init__(self, source: str, total: int, tolerated: float = 0.0) -> None:
        self.reasons: dict[str, str] = {}
        self._source, self._total, self._bound = source, total, int(tolerated * total)
        self._lock = threading.Lock()

    def add(self, error: UnusableError) -> None:
        """Note an original, and write its name to the log."""
        with self._lock:
            self.reasons[error.name] = error.reason
        log.info("unusable: %s", error)

    def check(self, way_out: str) -> None:
        """Refuse if there are too many.

        Args:
            way_out: What the user can do.

        Raises:
            DataError: More originals are unusable than are tolerated.
        """
        if len(self.reasons) > self._bound:
            bound = f", at most {self._bound} may be" if self._bound else ""
            count = f"{len(self.reasons)} of {self._total} originals cannot be used{bound}"
            reasons = listed((f"{n} {r}" for n, r in sorted(self.reasons.items())), "; ")
            raise DataError(f"{self._source}: {count}: {reasons}; {way_out}")
        if self.reasons:
            log.warning(
                "%s: %d of %d originals cannot be used and are left out: %s",
                *(self._source, len(self.reasons), self._total, listed(sorted(self.reasons))),
            )


def listed(names: Iterable[object], separator: str = ", ") -> str:
    """The first names, and how many there are beyond them."""
    texts = [str(name) for name in names]
    more = len(texts) - LISTED
    return separator.join(texts[:LISTED]) + (f"{separator}and {more} more" if more > 0 else "")


def is_companion(path: str) -> bool:
    """Whether a path is that of a file that an operating system put next to others, such as ``._1.png``."""
    return any(part in COMPANIONS or part.startswith("._") for part in path.split("/"))


@contextlib.contextmanager
def opened_image(content: bytes | Path, name: str, strict: bool = False) -> Iterator[Image.Image]:
    """An image file, opened by Pillow; it is decoded when its pixels are first needed, inside of the block.

    Args:
        content: Content of the file, or its path.
        name: Name of the file, for messages.
        strict: Whether to compare a PNG's checksums, which Pillow ignores when it decodes.

    Raises:
        UnusableError: It is no image, or damaged. Damaged files make Pillow raise errors of any type (OSError,
            SyntaxError, struct.error, zlib.error, EOFError, MemoryError and others), now or when it decodes.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        content = content.read_bytes() if isinstance(content, Path) else content
        if strict:
            Image.open(io.BytesIO(content)).verify()
        with Image.open(io.BytesIO(content)) as image:
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise UnusableError(name, "is not readable as an image (its format is unknown)") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnusableError(name, f"is not readable as an image ({reason})") from None
