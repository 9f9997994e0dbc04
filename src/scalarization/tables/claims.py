"""Claims: one block per claim, with every comparison of the user's runs and of the paper's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from scalarization.plotting import claims
from scalarization.plotting.claims import Row as Comparison
from scalarization.plotting.claims import Tested
from scalarization.plotting.labels import DIVERGED, NOT_RUN
from scalarization.tables.render import Block, Entry, Group, Row, Table

COLUMNS = ("capacity", "estimate", "95 % interval", "p", "adjusted p", "seeds", "margin", "verdict", "seeds needed", "")
NOTES = [
    "Estimates of runs are paired by seed and averaged over capacities within a seed where the capacity is 'all'. p: "
    "of the test that supports the claim or, if it is smaller, of the test that contradicts it. Adjusted p: after "
    "Holm's correction over the comparisons of the claim. A comparison is supported or contradicted if its adjusted "
    "p-value is below 0.05, and undecided otherwise. Seeds: number of independent units.",
    "Margin: with ± the claim is that the estimate lies between both margins, with a minus that it lies above; without "
    "one that it is positive. Seeds needed: with so many the comparison is decided with a probability of 80 percent, "
    "if the true value and spread are those seen.",
    "A claim is contradicted if one of its comparisons is, supported if all of them are, and undecided otherwise.",
]


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.claims``."""
    tested = claims.tested_claims(claims.rows_of(summary))
    numbers = _numbered(row["note"] for claim in tested for row in claim.rows)
    blocks = [_block(list(group), numbers) for _, group in itertools.groupby(tested, lambda claim: claim.claim)]
    return Table(blocks, [*NOTES, *(f"[{number}] {_sentence(note)}" for note, number in numbers.items())])


def _numbered(notes: Iterable[str | None]) -> dict[str, int]:
    """Note -> its number, in the order of the table."""
    return {note: number for number, note in enumerate(dict.fromkeys(filter(None, notes)), 1)}


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:].rstrip(".") + "."


def _block(tested: list[Tested], numbers: Mapping[str, int]) -> Block:
    """The block of one claim, of one or both origins."""
    title = f"{tested[0].claim}  {tested[0].sentence} ({tested[0].source})"
    if not any(claim.rows for claim in tested):
        return Block.not_run(title)
    groups = [group for claim in tested for group in _groups(claim, numbers)]
    return Block(title, "", COLUMNS, groups)


def _groups(claim: Tested, numbers: Mapping[str, int]) -> list[Group]:
    """A line with the verdict, then the comparisons of each task set."""
    of_whom = claims.ORIGINS[claim.origin].capitalize()
    verdict = NOT_RUN if claim.verdict == NOT_RUN else f"{claim.verdict} ({claim.counts})"
    groups = [Group(f"{of_whom}: {verdict}", [])]
    for (benchmark, task_set, statistic), rows in claim.groups.items():
        places = claims.decimals(rows)
        lines = [_row(row, places, numbers) for row in rows]
        groups.append(Group(f"{benchmark}, {task_set}: {statistic}", lines))
    return groups


def _row(row: Comparison, places: int, numbers: Mapping[str, int]) -> Row:
    entries = [
        row["capacity"],
        claims.number_text(row["estimate"], places),
        claims.interval_text(row, places),
        *map(claims.p_text, _p_values(row)),
        claims.NO_VALUE if row["seeds"] is None else str(int(row["seeds"])),
        claims.margin_text(row, places),
    ]
    decided = row["verdict"] in ("supported", "contradicted")
    note = row["note"] or ""
    verdict = DIVERGED if row["estimate"] is None and note.startswith(DIVERGED) else row["verdict"]
    last = [Entry(verdict, bold=decided), Entry(claims.seeds_needed_text(row))]
    last.append(Entry(f"[{numbers[note]}]" if note else ""))
    return Row(row["comparison"], (*map(Entry, entries), *last))


def _p_values(row: Comparison) -> tuple[float | None, float | None]:
    """p-value, and adjusted p-value, of the direction in which the estimate points."""
    contradicts = row["p"] is not None and row["p_contradiction"] < row["p"]
    return (row["p_contradiction"], row["p_contradiction_adjusted"]) if contradicts else (row["p"], row["p_adjusted"])
