"""Finding equal images by their contents while a store is written."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from scalarization.benchmarks.images import listed
from scalarization.errors import DataError

#: An image: domain, split, and row (or key) within the domain's data.
Place = tuple[str, str, Any]
log = logging.getLogger(__name__)


class EqualImages:
    """Finds images with equal contents, within a split and in two splits, of one domain or of two.

    Args:
        benchmark: The benchmark's name.
        tolerated: Largest share of a domain's images that may be in two splits, because published data have some.
        name_of: From an image to its name, for messages.
    """

    def __init__(self, benchmark: str, tolerated: float, name_of: Callable[[Place], str]) -> None:
        self._benchmark, self._tolerated, self._name_of = benchmark, tolerated, name_of
        self._places: dict[bytes, Place] = {}
        self._pairs: list[tuple[Place, Place]] = []
        self._images: Counter[str] = Counter()

    def add(self, content: Any, place: Place) -> None:
        """Note an image; ``content`` are its bytes, or contiguous memory of them."""
        self._images[place[0]] += 1
        first = self._places.setdefault(hashlib.sha256(content).digest()[:16], place)
        if first is not place:
            self._pairs.append((first, place))

    def describe(self) -> dict[str, Any]:
        """What ``dataset.json`` says of equal images: pairs of names, within a split and in two splits.

        Raises:
            DataError: More images of a domain are in two splits than are tolerated.
        """
        shared = [(one, other) for one, other in self._pairs if one[1] != other[1]]
        within = [(one, other) for one, other in self._pairs if one[1] == other[1]]
        for domain, number in Counter(other[0] for _, other in shared).items():
            bound = int(self._tolerated * self._images[domain])
            if number > bound:
                names = listed(self._equal(pair) for pair in shared if pair[1][0] == domain)
                allowed = f" ({bound} are tolerated)" if bound else ""
                raise DataError(
                    f"{self._benchmark}: {number} images of {domain} are in two splits{allowed}: {names}; leave each "
                    "of them in one split only"
                )
        for pairs, where in ((shared, "in two splits"), (within, "twice in a split")):
            if pairs:
                names = listed(map(self._equal, pairs))
                log.warning("%s: %d images are %s: %s", self._benchmark, len(pairs), where, names)
        return {
            "equal_images": {
                "in_two_splits": [[self._name_of(place) for place in pair] for pair in shared],
                "within_a_split": [[self._name_of(place) for place in pair] for pair in within],
            }
        }

    def _equal(self, pair: tuple[Place, Place]) -> str:
        return " = ".join(f"{self._name_of(place)} ({place[1]})" for place in pair)
