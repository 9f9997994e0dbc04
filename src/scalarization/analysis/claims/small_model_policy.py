"""C9: a policy that was searched on a small model serves a large one (appendix 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scalarization.analysis import searches
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, Group, by_family
from scalarization.analysis.claims.method_pairs import noted, paired
from scalarization.analysis.method_lines import Line
from scalarization.analysis.names import LABELS
from scalarization.plan import Plan, estimates
from scalarization.plan.cells import Cell, Search


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained with the whole policy of a smaller model minus those with a policy searched on themselves.

    Both searches must have the same settings: otherwise the comparison is one of budgets, and has no estimate.
    """
    for groups in by_family(evidence.groups):
        found: dict[tuple[str, str], list[tuple[Group, Line, Line]]] = {}
        for group in groups:
            own = [line for line, results in group.lines.items() if searches.is_direct(results.cell)]
            for line, results in group.lines.items():
                if small := _smaller(group, results.cell):
                    lines = found.setdefault((line.method, small), [])
                    lines.extend((group, line, other) for other in own if other.method == line.method)
        for (method, small), matched in found.items():
            if matched:
                name = f"{LABELS[method]}: searched on {small} - on the model itself"
                yield _comparison(matched, name, evidence.margin)


def _comparison(matched: list[tuple[Group, Line, Line]], name: str, margin: float) -> Comparison:
    """Of models with the policy of a smaller one and with their own, at several capacities."""
    equal: list[tuple[Group, Line, Line]] = []
    unequal: dict[str, list[str]] = {}
    for group, line, own in matched:
        ours, theirs = (_search(group, of_line) for of_line in (line, own))
        if _settings(ours) == _settings(theirs):
            equal.append((group, line, own))
        else:
            unequal.setdefault(f"{_budget(ours)} against {_budget(theirs)}", []).append(group.architecture)
    if equal:
        compared = {group.architecture for group, *_ in equal}
        missing = sorted({group.architecture for group, *_ in matched} - compared)
        return noted(paired(equal, name, margin), f"{', '.join(missing)} left out: unequal searches" if missing else "")
    group = matched[0][0]
    budgets = (f"{budget} on {', '.join(large)}" for budget, large in unequal.items())
    return Comparison(
        group.benchmark,
        group.task_set,
        name,
        group.evidence.capacity(group.methods.first for group, *_ in matched),
        f"test average, {group.unit}",
        None,
        margin,
        f"unequal searches: {'; '.join(budgets)}",
        reason="not comparable",
    )


def _smaller(group: Group, cell: Cell) -> str:
    """The model whose whole policy a cell takes, if that takes fewer operations than the cell's own; else empty."""
    plan, search = group.evidence.plan, group.evidence.plan.search_of(cell)
    if search is None or not searches.searches_weights(cell):
        return ""
    if searches.detail(cell) != f"searched on {search.cell.architecture.name}":
        return ""
    is_smaller = _operations(plan, search.cell) < _operations(plan, cell)
    return search.cell.architecture.name if is_smaller else ""


def _operations(plan: Plan, cell: Cell) -> float:
    """Floating point operations that a model takes for one training image."""
    return estimates.flops(plan, cell) / estimates.images(cell)


def _search(group: Group, line: Line) -> Search:
    search = group.evidence.plan.search_of(group.methods.joint[line])
    assert search is not None  # of a cell that is retrained after a search
    return search


def _settings(search: Search) -> dict[str, Any]:
    """What must be equal for two searches on different models to be compared: all but the model and the seed."""
    settings = {name: value for name, value in search.describe().items() if name not in ("seed", "trains")}
    specification = search.cell.specification
    return {**settings, "epochs": specification.epochs, "fraction": specification.fraction}


def _budget(search: Search) -> str:
    """``N = 4, E = 2, Q = 0.25, r = 0.5, 10 epochs``."""
    quantile = f"Q = {search.quantile:g}, " if search.exploits else ""
    specification = search.cell.specification
    share = f"r = {specification.fraction or 1:g}, {specification.epochs} epochs"
    return f"N = {search.population}, E = {search.epochs_ready}, {quantile}{share}"


CLAIM = Claim(
    9,
    "A schedule of weights that was searched on a small model serves a large one.",
    "appendix 4",
    "not_worse",
    compare,
    {
        "supported": "Large models lose less than the margin if the search is made on a small one.",
        "contradicted": "In at least one case, searching on a small model costs a large one more than the margin.",
        "undecided": "It is open whether searching on a small model costs a large one more than the margin.",
    },
)
