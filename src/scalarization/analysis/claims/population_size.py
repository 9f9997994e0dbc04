"""C10: larger populations help little (rebuttal table 1a)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from scalarization.analysis import names, searches
from scalarization.analysis.claims import reported
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, Group, by_family
from scalarization.analysis.claims.method_pairs import POPULATION_BASED, paired
from scalarization.analysis.method_lines import Line
from scalarization.plan.cells import Cell


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained after a search with the smallest population, minus those after one with each larger one.

    Only searches on the same task set and capacity are compared that differ in N (and their seed) alone, each with the
    smallest of its own setting. Settings, such as the epochs E of an interval, and capacities are averaged within each
    seed.
    """
    for groups in by_family(evidence.groups):
        matched: dict[tuple[str, int, int], list[tuple[Group, Line, Line]]] = {}
        for group in groups:
            for (method, _), by_size in _populations(group).items():
                smallest, *larger = sorted(by_size)
                for size in larger:
                    lines = ((group, small, large) for small in by_size[smallest] for large in by_size[size])
                    matched.setdefault((method, smallest, size), []).extend(lines)
        for (method, smallest, size), pairs in sorted(matched.items()):
            yield paired(pairs, f"{names.LABELS[method]}: N = {smallest} - N = {size}", evidence.margin)


def _populations(group: Group) -> dict[tuple[str, str], dict[int, list[Line]]]:
    """Method, and settings of a search but N and its seed -> population size N -> lines."""
    populations: dict[tuple[str, str], dict[int, list[Line]]] = {}
    for line, results in group.lines.items():
        if line.method in POPULATION_BASED and searches.is_direct(results.cell):
            size, setting = _size_and_setting(results.cell)
            populations.setdefault((line.method, setting), {}).setdefault(size, []).append(line)
    return populations


def _size_and_setting(cell: Cell) -> tuple[int, str]:
    """N of the search that a cell takes its weights from, and all else that the search depends on but its seed."""
    reference = cell.specification.search
    assert reference is not None  # of a cell that is retrained after a search
    details = {name: value for name, value in reference.details.items() if name not in ("population", "seed")}
    return reference.details["population"], json.dumps(details, sort_keys=True)


CLAIM = Claim(
    10,
    "Larger populations help little.",
    "rebuttal table 1a",
    "not_worse",
    compare,
    {
        "supported": "Larger populations gain less than the margin over the smallest one.",
        "contradicted": "In at least one case, a larger population gains more than the margin.",
        "undecided": "It is open whether larger populations gain more than the margin.",
    },
    reported=reported.population_size,
)
