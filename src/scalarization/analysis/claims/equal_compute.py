"""C13: searched weights gain more than a searched learning rate (a control that the paper lacks).

Kurin et al. (2022) and Xin et al. (2022) find that well-tuned uniform weights match most multi-task methods. A search
of weights takes N r + 1 trainings where uniform weights take one: part of its gain may come from the budget alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from scalarization.analysis import searches
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence, Group
from scalarization.analysis.claims.method_pairs import POPULATION_BASED, noted, paired, title, trainings
from scalarization.analysis.method_lines import Line

#: The method that searches for a learning rate under uniform weights.
CONTROL = "search_lr"


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """PBT and PB2 minus a search of the learning rate under uniform weights that took as many trainings, N r + 1.

    MTO methods are not compared: no search gives one of them such a budget.
    """
    for method in POPULATION_BASED:
        searched = Line(method, "")
        for groups in evidence.groups_with(searched):
            controlled = [group for group in groups if _controls(group)]
            if controlled:
                yield _comparison(controlled, searched)


def _comparison(groups: list[Group], searched: Line) -> Comparison:
    """Of one benchmark and task set; without an estimate where no capacity has a control of the same budget."""
    equal = [
        (group, control)
        for group in groups
        for control in _controls(group)
        if math.isclose(trainings(group, control), trainings(group, searched), rel_tol=1e-6)
    ]
    name, first = title(searched, Line(CONTROL, "")), groups[0]
    ours = trainings(first, searched)
    if equal:
        comparison = paired([(group, searched, control) for group, control in equal], name)
        return noted(comparison, f"{ours:.4g} trainings each")
    theirs = ", ".join(f"{trainings(first, control):.4g}" for control in _controls(first))
    note = f"not at equal compute: {ours:.4g} trainings against {theirs}"
    statistic = f"test average, {first.unit}"
    capacity = first.evidence.capacity(group.methods.first for group in groups)
    return Comparison(
        first.benchmark, first.task_set, name, capacity, statistic, None, note=note, reason="not comparable"
    )


def _controls(group: Group) -> list[Line]:
    """Lines of one capacity whose learning rate was searched at that capacity."""
    return [
        line for line, results in group.lines.items() if line.method == CONTROL and searches.is_direct(results.cell)
    ]


CLAIM = Claim(
    13,
    "At equal compute, searched weights gain more than a searched learning rate.",
    "not in the paper (Kurin et al. 2022, Xin et al. 2022)",
    "positive",
    compare,
    {
        "supported": "At the same budget, searching weights is better than searching the learning rate.",
        "contradicted": "At the same budget, searching the learning rate is better than searching weights.",
        "undecided": "At the same budget, a search of weights and one of the learning rate cannot be told apart.",
    },
)
