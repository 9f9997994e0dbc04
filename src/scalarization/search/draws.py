"""Random numbers of a search: what its members start with, and how they explore.

They depend on the root seed, the search's seed index, the benchmark, the tasks, the architecture and the method. So
searches of other architectures or by other methods start and explore independently of each other, whereas searches
that differ only in their settings, such as the number of members, are paired unless their seeds differ.
"""

from __future__ import annotations

import numpy as np

from scalarization import seeds
from scalarization.plan.cells import Search


def initial(search: Search) -> np.random.Generator:
    """Generator of what the members start with."""
    root, seed = search.cell.specification.root_seed, search.seed
    return seeds.generator(root, seed, "search", _key(search))


def of_round(search: Search, interval: int, size: int) -> list[int]:
    """Seeds below 2^63 of the exploitation and exploration after an interval."""
    root, seed = search.cell.specification.root_seed, search.seed
    return seeds.integers(root, seed, "search_round", _key(search), interval, size=size)


def _key(search: Search) -> int:
    cell = search.cell
    return seeds.key(cell.benchmark, *cell.tasks, cell.architecture.name, search.method)
