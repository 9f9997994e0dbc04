"""C8: the whole policy of a search beats its last weights (appendix 5.2)."""

from __future__ import annotations

from collections.abc import Iterator

from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence
from scalarization.analysis.claims.method_pairs import POPULATION_BASED, paired
from scalarization.analysis.method_lines import Line
from scalarization.analysis.names import LABELS

LAST = "last weights"


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained with the whole policy minus those retrained with its last weights."""
    for method in POPULATION_BASED:
        whole, last = Line(method, ""), Line(method, LAST)
        for groups in evidence.groups_with(whole, last):
            matched = [(group, whole, last) for group in groups]
            yield paired(matched, f"{LABELS[method]}: whole policy - last weights")


CLAIM = Claim(
    8,
    "Training with the whole schedule of weights that a search found beats training with its last weights.",
    "appendix 5.2",
    "positive",
    compare,
    {
        "supported": "The schedule is better than its last weights alone.",
        "contradicted": "The last weights alone are better than the schedule.",
        "undecided": "The schedule and its last weights cannot be told apart.",
    },
)
