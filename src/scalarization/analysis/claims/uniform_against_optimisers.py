"""C6: uniform weights are on par with each MTO method (abstract; appendix 5.3)."""

from __future__ import annotations

from collections.abc import Iterator

from scalarization.analysis.claims import reported
from scalarization.analysis.claims.base import Claim, Comparison
from scalarization.analysis.claims.evidence import Evidence
from scalarization.analysis.claims.method_pairs import optimisers, pairs
from scalarization.analysis.method_lines import Line

UNIFORM = Line("uniform", "")


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Uniform weights minus each MTO method: all that act on losses or gradients at every step, but not RLW."""
    for method in optimisers():
        yield from pairs(evidence, UNIFORM, Line(method, ""), evidence.margin)


CLAIM = Claim(
    6,
    "Uniform weights are on par with every multi-task optimiser.",
    "abstract, appendix 5.3",
    "equivalent",
    compare,
    {
        "supported": "Uniform weights and the optimisers differ by less than the margin.",
        "contradicted": "Uniform weights and an optimiser differ by more than the margin; uniform weights are better "
        "where the estimate is positive.",
        "undecided": "It is open whether uniform weights and the optimisers differ by less than the margin.",
    },
    reported=reported.uniform_against_optimisers,
)
