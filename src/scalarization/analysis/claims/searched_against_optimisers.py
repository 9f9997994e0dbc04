"""C7: searched weights are on par with or better than each MTO method (appendix 5.1, 5.3)."""

from __future__ import annotations

from collections.abc import Iterator

from scalarization.analysis.claims import reported
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence
from scalarization.analysis.claims.method_pairs import POPULATION_BASED, optimisers, pairs
from scalarization.analysis.method_lines import Line


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained with the whole policy of PBT or PB2, minus each MTO method."""
    for searched in POPULATION_BASED:
        for method in optimisers():
            yield from pairs(evidence, Line(searched, ""), Line(method, ""), evidence.margin)


CLAIM = Claim(
    7,
    "Weights that a population-based search found are on par with or better than every multi-task optimiser.",
    "appendix 5.1, 5.3",
    "not_worse",
    compare,
    {
        "supported": "Searched weights are not worse than the optimisers by the margin.",
        "contradicted": "Searched weights are worse than at least one optimiser, by more than the margin.",
        "undecided": "It is open whether searched weights are worse than the optimisers by the margin.",
    },
    reported=reported.searched_against_optimisers,
)
