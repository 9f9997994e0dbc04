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
#: In place of a verdict where something was run that bears on a claim, but gives no estimate.
NO_ESTIMATE = "no estimate"
#: The unit that is not named where it is the only one.
SEEDS = "seeds"
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
        verdict: On all comparisons together; ``no estimate`` without one, ``not run`` without a comparison.
        answer: What the verdict means; empty without an estimate.
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
        """``3 of 8 comparisons supported, 5 undecided``; ``not run`` without a comparison."""
        if not self.rows:
            return NOT_RUN
        tested = len(self.tested)
        missing = len(self.rows) - tested
        present = [verdict for verdict in VERDICTS if self.count(verdict)]
        if not present:
            return f"{_comparisons(missing)} without an estimate"
        first, *others = present
        parts = [f"{self.count(first)} of {_comparisons(tested)} {first}"]
        parts += [f"{self.count(verdict)} {verdict}" for verdict in others]
        return ", ".join([*parts, *([f"{missing} without an estimate"] if missing else [])])

    @property
    def units(self) -> list[str]:
        """What the independent units of the estimates are, such as ``seeds``."""
        return list(dict.fromkeys(row["unit"] for row in self.tested))

    @property
    def needed(self) -> str:
        """How many units would decide the comparisons that are undecided, as a sentence; empty if none can be told.

        ``Those undecided would need 5 to 12 seeds each.``
        """
        undecided = [row for row in self.tested if row["verdict"] == "undecided" and row["p"] is not None]
        by_unit: dict[str, list[int]] = {}
        for row in undecided:
            if row["seeds_needed"] is not None:
                by_unit.setdefault(row["unit"], []).append(int(row["seeds_needed"]))
        if not by_unit:
            return ""
        numbers = " or ".join(f"{_range(counts)} {unit}" for unit, counts in by_unit.items())
        told = sum(map(len, by_unit.values()))
        which = "Those undecided" if told == len(undecided) else f"{told} of those undecided"
        return f"{which} would need {numbers} each."

    @property
    def untested(self) -> str:
        """How many comparisons are undecided because nothing can be tested, and why, as a sentence; empty if none."""
        rows = [row for row in self.tested if row["p"] is None and row["verdict"] == "undecided"]
        return f"{len(rows)} cannot be tested{_in_parentheses(reasons(rows))}." if rows else ""

    @property
    def without_estimate(self) -> str:
        """Why comparisons have no estimate, in their own words; empty if all have one."""
        rows = [row for row in self.rows if row["estimate"] is None]
        return "; ".join(dict.fromkeys(row["note"] or row["reason"] for row in rows if row["note"] or row["reason"]))

    @property
    def groups(self) -> dict[tuple[str, ...], list[Row]]:
        """Values of :data:`GROUP` -> comparisons, in order."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(tuple(row[column] or "" for column in GROUP), []).append(row)
        return groups


def reasons(rows: Iterable[Row]) -> list[str]:
    """Why comparisons could not be tested, each reason once: ``too few seeds``, ``diverged``."""
    texts = (f"too few {row['unit']}" if row["reason"] == "too few" else row["reason"] for row in rows)
    return list(dict.fromkeys(text for text in texts if text))


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
    """How often each verdict was found: ``4 claims supported, 1 contradicted, 1 without estimate, 8 not run``.

    Returns:
        Of the claims that are tested on the user's runs; if there are none, of those tested on the paper's numbers,
        which the text says. Empty if there are none either.
    """
    claims = list(claims)
    for origin, whose in (("runs", ""), ("paper", f" by {ORIGINS['paper']}")):
        counts = Counter(claim.verdict for claim in claims if claim.origin == origin)
        names = {verdict: verdict for verdict in VERDICTS} | {NO_ESTIMATE: "without estimate", NOT_RUN: NOT_RUN}
        present = [(counts[verdict], name) for verdict, name in names.items() if counts[verdict]]
        if present:
            (number, name), *others = present
            first = f"{number} claim{'s' * (number != 1)} {name}{whose}"
            return ", ".join([first, *(f"{number} {name}" for number, name in others)])
    return ""


def _comparisons(number: int) -> str:
    return f"{number} comparison{'s' * (number != 1)}"


def _range(numbers: Sequence[int]) -> str:
    """``5``, or ``5 to 12``."""
    least, largest = min(numbers), max(numbers)
    return str(least) if least == largest else f"{least} to {largest}"


def _in_parentheses(texts: Sequence[str]) -> str:
    return f" ({', '.join(texts)})" if texts else ""


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


def units_text(row: Row) -> str:
    """Number of independent units: ``5`` if they are seeds, else ``5 conditions``; a dash without an estimate."""
    return NO_VALUE if row["seeds"] is None else _counted(int(row["seeds"]), row["unit"])


def seeds_needed_text(row: Row) -> str:
    """How many units would decide a comparison, as :func:`units_text`; a dash if nothing can be tested."""
    if row["p"] is None:
        return NO_VALUE
    return _counted("> 1000" if row["seeds_needed"] is None else int(row["seeds_needed"]), row["unit"])


def _counted(number: int | str, unit: str) -> str:
    return str(number) if unit == SEEDS else f"{number} {unit}"
