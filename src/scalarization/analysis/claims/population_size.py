"""C10: larger populations help little (rebuttal table 1a)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from scalarization.analysis import names, searches
from scalarization.analysis.claims import reported
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, Group
from scalarization.analysis.claims.method_pairs import POPULATION_BASED, paired
from scalarization.analysis.method_lines import Line
from scalarization.plan.cells import Cell

#: Settings of a search but N and its seed -> lines of one population size, each with the group that it belongs to.
LinesBySetting = dict[str, list[tuple[Group, Line]]]


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained after a search with each larger population, minus those after one with the smallest.

    Only searches on the same task set and capacity are compared that differ in N (and their seed) alone. Settings, such
    as the epochs E of an interval, and capacities are averaged within each seed.
    """
    for (*_, method), by_size in _populations(evidence).items():
        smallest, *larger = sorted(by_size)
        for size in larger:
            matched = [
                (group, line, other)
                for setting, lines in by_size[size].items()
                for group, line in lines
                for _, other in by_size[smallest].get(setting, [])
            ]
            if matched:
                yield paired(matched, f"{names.LABELS[method]}: N = {size} - N = {smallest}", evidence.margin)


def _populations(evidence: Evidence) -> dict[tuple[str, str, str], dict[int, LinesBySetting]]:
    """Benchmark, task set and method -> population size N -> lines."""
    populations: dict[tuple[str, str, str], dict[int, LinesBySetting]] = {}
    for group in evidence.groups:
        for line, results in group.lines.items():
            if line.method in POPULATION_BASED and searches.is_direct(results.cell):
                size, setting = _size_and_setting(results.cell)
                by_size = populations.setdefault((group.benchmark, group.task_set, line.method), {})
                by_size.setdefault(size, {}).setdefault(setting, []).append((group, line))
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
    "equivalent",
    compare,
    {
        "supported": "Larger populations change the result by less than the margin.",
        "contradicted": "A larger population changes the result by more than the margin.",
        "undecided": "It is open whether larger populations change the result by less than the margin.",
    },
    reported=reported.population_size,
)
