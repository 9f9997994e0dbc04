"""Claims: every statement of the paper tested on what was run, with a verdict (docs/claims.md).

One module per claim, which exports ``CLAIM``, a :class:`scalarization.analysis.claims.base.Claim`. A new claim is one
file; there is no list to extend.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import runs
from scalarization.plan import Plan
from scalarization.plan.artifacts import NOTHING, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

    from scalarization.analysis.claims.base import Claim, Comparison
    from scalarization.analysis.inference import Decision, Verdict

TYPES = {
    "claim": "string",
    "sentence": "string",
    "source": "string",
    "origin": "string",
    "benchmark": "string",
    "task_set": "string",
    "comparison": "string",
    "capacity": "string",
    "statistic": "string",
    "hypothesis": "string",
    "estimate": "float64",
    "low": "float64",
    "high": "float64",
    "p": "float64",
    "p_adjusted": "float64",
    "p_contradiction": "float64",
    "p_contradiction_adjusted": "float64",
    "seeds": "Int64",
    "unit": "string",
    "margin": "float64",
    "verdict": "string",
    "seeds_needed": "Int64",
    "reason": "string",
    "note": "string",
    "claim_verdict": "string",
    "answer": "string",
}
#: In place of a verdict: nothing was run that bears on a claim; something was, but gives no estimate.
NOT_RUN, NO_ESTIMATE = "not run", "no estimate"


@functools.cache
def all_claims() -> tuple[Claim, ...]:
    """All claims in the order of their numbers."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    modules = (vars(importlib.import_module(f"{__name__}.{name}")) for name in names)
    return tuple(sorted((m["CLAIM"] for m in modules if "CLAIM" in m), key=lambda claim: claim.number))


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per comparison, those of the user's runs before those of the paper's numbers; claims in order.

    Returns:
        ``claim``, ``sentence``, ``source``; ``origin``: ``runs`` or ``paper``; ``benchmark``, ``task_set``;
        ``comparison``, ``capacity`` (an architecture, ``all``, or ``all`` and a family), ``statistic``, ``hypothesis``;
        ``estimate``, its 95 % interval ``low`` to ``high``, ``p``, ``p_adjusted``, ``p_contradiction``,
        ``p_contradiction_adjusted`` (see
        :class:`scalarization.analysis.inference.Decision`); ``seeds``, the number of independent units, and ``unit``,
        what these are; ``margin``; ``verdict`` of the comparison (``no estimate`` without one), ``seeds_needed``;
        ``reason``, why nothing could be tested, and ``note``; ``claim_verdict`` of all comparisons of the claim and
        origin together, and ``answer``, what it means. A claim on which nothing bears has one row, ``not run``.

    Raises:
        DataError: A file is missing, damaged or incomplete.
    """
    from scalarization.analysis.claims.evidence import Evidence

    margin = plan.preset.claims.margin
    evidence = Evidence(plan, margin)
    return table(lambda claim: [*claim.compare(evidence), *_reported(claim, margin)])


def table(comparisons_of: Callable[[Claim], Iterable[Comparison]]) -> pd.DataFrame:
    """The table of all claims under :data:`TYPES`.

    Args:
        comparisons_of: Claim -> its comparisons.
    """
    return runs.table((row for claim in all_claims() for row in _rows(claim, comparisons_of(claim))), TYPES)


def overall(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The verdict on a claim.

    Args:
        verdicts: Of the comparisons that have an estimate, each adjusted for all of them.

    Returns:
        ``contradicted`` if one is; ``supported`` if all are; else ``undecided``; None without a verdict.
    """
    verdicts = list(verdicts)
    if not verdicts:
        return None
    if "contradicted" in verdicts:
        return "contradicted"
    return "undecided" if "undecided" in verdicts else "supported"


def _reported(claim: Claim, margin: float) -> Iterable[Comparison]:
    return claim.reported(margin) if claim.reported else ()


def _rows(claim: Claim, comparisons: Iterable[Comparison]) -> Iterator[dict[str, Any]]:
    described = {"claim": claim.name, "sentence": claim.sentence, "source": claim.source}
    comparisons = list(comparisons)
    for origin in ("runs", "paper"):
        of_origin = [comparison for comparison in comparisons if comparison.origin == origin]
        if not of_origin and origin == "runs":
            yield {**described, "origin": origin, "verdict": NOT_RUN, "claim_verdict": NOT_RUN, "note": NOT_RUN}
        yield from ({**described, **row} for row in _decided(claim, of_origin))


def _decided(claim: Claim, comparisons: list[Comparison]) -> Iterator[dict[str, Any]]:
    """Rows of the comparisons of one claim and origin."""
    from scalarization.analysis.inference import decide

    estimated = [(c.estimate, c.margin, c.hypothesis or claim.hypothesis) for c in comparisons if c.estimate]
    decisions = iter(decide(estimated))
    decided = [None if c.estimate is None else next(decisions) for c in comparisons]
    verdict = overall(decision.verdict for decision in decided if decision)
    for comparison, decision in zip(comparisons, decided, strict=True):
        yield {
            "origin": comparison.origin,
            "benchmark": comparison.benchmark,
            "task_set": comparison.task_set,
            "comparison": comparison.comparison,
            "capacity": comparison.capacity,
            "statistic": comparison.statistic,
            "hypothesis": comparison.hypothesis or claim.hypothesis,
            "margin": comparison.margin,
            "unit": comparison.unit,
            "reason": comparison.reason,
            "note": comparison.note,
            "claim_verdict": verdict or NO_ESTIMATE,
            "answer": claim.answers[verdict] if verdict else "",
            **_numbers(comparison, decision),
        }


def _numbers(comparison: Comparison, decision: Decision | None) -> dict[str, Any]:
    if decision is None or comparison.estimate is None:
        return {"verdict": NO_ESTIMATE}
    return {
        "estimate": comparison.estimate.reported_value,
        "seeds": comparison.estimate.units,
        **decision._asdict(),
    }


KIND = ArtifactKind("claims", "table", "everything", NOTHING, summarize, columns=TYPES)
