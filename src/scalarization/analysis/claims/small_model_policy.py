"""C9: a policy that was searched on a small model serves a large one (appendix 4)."""

from __future__ import annotations

from collections.abc import Iterator

from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, Group
from scalarization.analysis.claims.method_pairs import paired
from scalarization.analysis.method_lines import Line
from scalarization.analysis.names import LABELS
from scalarization.plan import Plan, estimates
from scalarization.plan.cells import Cell


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained with the whole policy of a smaller model minus those with a policy searched on themselves."""
    lines = dict.fromkeys(line for group in evidence.groups for line in group.lines if line.detail)
    for line in lines:
        own = Line(line.method, "")
        for groups in evidence.groups_with(line, own):
            matched = [(group, line, own) for group in groups if _is_from_smaller(group, line)]
            if matched:
                name = f"{LABELS[line.method]}: {line.detail} - on the model itself"
                yield paired(matched, name, evidence.margin)


def _is_from_smaller(group: Group, line: Line) -> bool:
    """Whether a line differs from its method's own only in a search on a model that takes fewer operations."""
    plan, cell = group.evidence.plan, group.methods.joint[line]
    search = plan.search_of(cell)
    if search is None or line.detail != f"searched on {search.cell.architecture.name}":
        return False
    return _operations(plan, search.cell) < _operations(plan, cell)


def _operations(plan: Plan, cell: Cell) -> float:
    """Floating point operations that a model takes for one training image."""
    return estimates.flops(plan, cell) / estimates.images(cell)


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
