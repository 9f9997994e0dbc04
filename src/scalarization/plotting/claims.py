"""How claims are written and grouped: by the table, the forest plot and the front page.

Rows are those of :func:`scalarization.analysis.claims.summarize` as plain dicts, with None where there is no value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalarization.plotting.labels import NOT_RUN, format_number

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
VERDICTS = ("supported", "contradicted", "undecided")
#: Origin -> whose numbers these are.
ORIGINS = {"runs": "our runs", "paper": "the paper's numbers"}
#: Columns that a group of comparisons shares: they have one heading, and one unit.
GROUP = ("benchmark", "task_set", "statistic")
#: In place of a value that there is not.
NO_VALUE = "\N{EN DASH}"
#: A p-value below this is written as smaller than this.
SMALLEST_P = 0.001


@dataclass(frozen=True)
class Tested:
    """One claim, tested on the user's runs or on the paper's numbers.

    Attributes:
        claim: Its name, such as ``C6``.
        sentence: What is claimed.
        source: Where.
        origin: A key of :data:`ORIGINS`.
        verdict: On all comparisons together; ``not run`` without an estimate.
        answer: What the verdict means; empty if it is ``not run``.
        rows: The comparisons; none if nothing was run that bears on the claim.
    """

    claim: str
    sentence: str
    source: str
    origin: str
    verdict: str
    answer: str
    rows: tuple[Row, ...]

    @property
    def tested(self) -> list[Row]:
        """The comparisons that have an estimate."""
        return [row for row in self.rows if row["estimate"] is not None]

    def count(self, verdict: str) -> int:
        """Number of comparisons with a verdict."""
        return sum(row["verdict"] == verdict for row in self.tested)

    @property
    def counts(self) -> str:
        """``3 of 8 comparisons supported, 5 undecided``; ``not run`` without an estimate."""
        tested = len(self.tested)
        if not tested:
            return NOT_RUN
        present = [verdict for verdict in VERDICTS if self.count(verdict)]
        comparisons = "comparison" if tested == 1 else "comparisons"
        first, *others = (f"{self.count(verdict)} {verdict}" for verdict in present)
        number, _, verdict = first.partition(" ")
        parts = [f"{number} of {tested} {comparisons} {verdict}", *others]
        if missing := len(self.rows) - tested:
            parts.append(f"{missing} without an estimate")
        return ", ".join(parts)

    @property
    def needed(self) -> str:
        """How many seeds would decide the comparisons that are undecided, as a sentence; empty if none can be told."""
        undecided = [row for row in self.tested if row["verdict"] == "undecided" and row["p"] is not None]
        seeds = sorted(int(row["seeds_needed"]) for row in undecided if row["seeds_needed"] is not None)
        if not seeds:
            return ""
        numbers = str(seeds[0]) if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
        which = "Those undecided" if len(seeds) == len(undecided) else f"{len(seeds)} of those undecided"
        return f"{which} would need {numbers} seeds each."

    @property
    def untested(self) -> str:
        """How many comparisons have an estimate but cannot be tested, and why, as a sentence; empty if none."""
        rows = [row for row in self.tested if row["p"] is None]
        parts = [part for row in rows for part in (row["note"] or "").split("; ") if "test" in part]
        reasons = dict.fromkeys(part.partition(":")[0] for part in parts)
        return f"{len(rows)} cannot be tested ({', '.join(reasons)})." if rows else ""

    @property
    def groups(self) -> dict[tuple[str, ...], list[Row]]:
        """Values of :data:`GROUP` -> comparisons, in order."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(tuple(row[column] or "" for column in GROUP), []).append(row)
        return groups


def rows_of(summary: pd.DataFrame) -> list[Row]:
    """Rows of a summary."""
    plain = summary.astype(object)
    return list(plain.where(summary.notna(), None).to_dict("records"))


def tested_claims(rows: Iterable[Row]) -> list[Tested]:
    """The claims in order; of each the test on the user's runs, if it is there, before that on the paper's numbers."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["claim"], row["origin"]), []).append(row)
    return [_tested(of_claim) for of_claim in groups.values()]


def _tested(rows: Sequence[Row]) -> Tested:
    first = rows[0]
    return Tested(
        claim=first["claim"],
        sentence=first["sentence"],
        source=first["source"],
        origin=first["origin"],
        verdict=first["claim_verdict"],
        answer=first["answer"] or "",
        rows=tuple(row for row in rows if row["comparison"] is not None),
    )


def count_verdicts(claims: Iterable[Tested]) -> str:
    """How often each verdict was found on the user's runs: ``4 claims supported, 1 contradicted, 8 not run``.

    Returns:
        Empty if no claim is tested on runs.
    """
    counts = Counter(claim.verdict for claim in claims if claim.origin == "runs")
    present = [f"{counts[verdict]} {verdict}" for verdict in (*VERDICTS, NOT_RUN) if counts[verdict]]
    if not present:
        return ""
    number, _, verdict = present[0].partition(" ")
    return ", ".join([f"{number} claim{'s' * (number != '1')} {verdict}", *present[1:]])


def decimals(rows: Iterable[Row]) -> int:
    """Number of decimals with which estimates of a group are written."""
    values = [abs(row[column]) for row in rows for column in ("estimate", "margin") if row[column] is not None]
    return 3 if 0 < max(values, default=0.0) < 0.095 else 2


def number_text(value: float | None, places: int) -> str:
    """A number; a dash without one."""
    return NO_VALUE if value is None else format_number(value, places)


def interval_text(row: Row, places: int) -> str:
    """The 95 % interval of a comparison; a dash if nothing can be tested."""
    if row["low"] is None or row["high"] is None:
        return NO_VALUE
    return f"{format_number(row['low'], places)} to {format_number(row['high'], places)}"


def p_text(p: float | None) -> str:
    """A p-value with three decimals."""
    if p is None:
        return NO_VALUE
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def margin_text(row: Row, places: int) -> str:
    """The margin of a hypothesis with its sign: that of equivalence is on both sides of zero."""
    if row["margin"] is None:
        return NO_VALUE
    sign = {"equivalent": "±", "not_worse": "\N{MINUS SIGN}"}.get(row["hypothesis"], "")
    return f"{sign}{format_number(row['margin'], places)}"


def seeds_needed_text(row: Row) -> str:
    """How many seeds would decide a comparison; a dash if nothing can be tested."""
    if row["p"] is None:
        return NO_VALUE
    return "> 1000" if row["seeds_needed"] is None else str(int(row["seeds_needed"]))
