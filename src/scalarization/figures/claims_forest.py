"""Claims as a forest plot: estimate and 95 % interval of every comparison, one panel per claim and unit."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from scalarization.plotting import claims, style
from scalarization.plotting.claims import Row, Tested
from scalarization.plotting.labels import NOT_RUN
from scalarization.plotting.style import Look

#: Verdict on a comparison -> look of its estimate; told apart by shape and filling as well as by colour.
LOOKS: dict[str, Look] = {
    "supported": {"marker": "o", "color": style.COLOURS[0]},
    "contradicted": {"marker": "D", "color": style.COLOURS[1]},
    "undecided": {"marker": "o", "color": "0.35", "markerfacecolor": "white"},
}
MARKER: Look = {"markersize": 4, "markeredgewidth": 0.9, "linestyle": "none"}
#: Where the claim holds.
REGION: Look = {"facecolor": style.COLOURS[5], "alpha": 0.16, "linewidth": 0}
ZERO: Look = {"color": "black", "linewidth": 0.7, "zorder": 1}
MARGIN: Look = {"color": "0.3", "linewidth": 0.7, "linestyle": (0, (3, 2)), "zorder": 1}
NOTE_BOX: Look = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
#: Left edge, right edge and seeds' right edge of the panels, inches.
LEFT, RIGHT, SEEDS = 2.55, 4.75, 5.35
INDENT = 0.1
#: Heights of a comparison's or heading's line, of a line of a title, of an axis with its label, inches.
LINE, TITLE_LINE, AXIS = 0.16, 0.14, 0.37
#: Space between panels, and around the figure, inches.
GAP, EDGE = 0.14, 0.08
#: Letters of a line of a sentence (bold), of another title, of a label, and of a note.
BOLD_LETTERS, LETTERS, LABEL_LETTERS, NOTE_LETTERS = 72, 84, 46, 50
#: Intervals may reach beyond estimates and margins by this multiple of their range; an arrow stands for the rest.
REACH = 0.75


@dataclass(frozen=True)
class Line:
    """A line of a panel: a comparison with its label, or a heading.

    Attributes:
        label: On the left.
        row: The comparison.
        remark: On the right, the number of units; in place of an estimate, why there is none.
    """

    label: str
    row: Row | None = None
    remark: str = ""


@dataclass(frozen=True)
class Panel:
    """Comparisons of one claim that share an axis.

    Attributes:
        sentence: Lines of the claim above it; none if the panel above is of the same claim.
        verdict: Lines below these.
        unit: Label of the axis; empty if nothing has an estimate, which needs no axis.
        lines: From top to bottom.
    """

    sentence: list[str]
    verdict: list[str]
    unit: str
    lines: list[Line]

    @property
    def rows(self) -> list[Row]:
        """The comparisons that have an estimate."""
        return [line.row for line in self.lines if line.row and line.row["estimate"] is not None]

    @property
    def height(self) -> float:
        """Inches."""
        axis = AXIS if self.unit else 0.0
        titles = len(self.sentence) + len(self.verdict)
        return titles * TITLE_LINE + 0.04 + len(self.lines) * LINE + axis


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.claims``."""
    tested = claims.tested_claims(claims.rows_of(summary))
    panels = [panel for claim in tested if claim.tested for panel in _panels(claim)]
    absent = _absent(tested)
    legend = 0.45
    height = 2 * EDGE + legend + sum(panel.height + GAP for panel in panels) + TITLE_LINE * len(absent)
    page = Figure(figsize=(style.TEXT_WIDTH, height))
    _draw_legend(page, 1 - EDGE / height)
    top = height - EDGE - legend
    for panel in panels:
        _draw_panel(page, panel, top)
        top -= panel.height + GAP
    for line in absent:
        _write(page, 0.0, top - TITLE_LINE, line, color="0.3")
        top -= TITLE_LINE
    return page


def _panels(claim: Tested) -> Iterator[Panel]:
    """One panel per unit; the first has the title of the claim."""
    sentence = textwrap.wrap(f"{claim.claim}  {claim.sentence}", BOLD_LETTERS)
    verdict = f"{claims.ORIGINS[claim.origin].capitalize()}: {claim.verdict} ({claim.counts})"
    if len(claim.units) == 1 and claim.units != [claims.SEEDS]:
        verdict += f"; n is the number of {claim.units[0]}"
    titles = sentence, textwrap.wrap(verdict, LETTERS)
    by_unit: dict[str, list[Line]] = {}
    for (benchmark, task_set, unit), rows in claim.groups.items():
        lines = by_unit.setdefault(unit, [])
        lines += [Line(text) for text in _wrapped(f"{benchmark}, {task_set}")]
        for row in rows:
            capacity = "" if row["capacity"] == "all" else f", {row['capacity']}"
            *first, last = _wrapped(f"{row['comparison']}{capacity}")
            lines += [*(Line(f"  {text}") for text in first), Line(f"  {last}", row, _remark(row, claim.units))]
    for unit, lines in by_unit.items():
        has_estimates = any(line.row and line.row["estimate"] is not None for line in lines)
        yield Panel(*titles, unit if has_estimates else "", lines)
        titles = [], []


def _remark(row: Row, units: Sequence[str]) -> str:
    """The remark of a comparison; where those of a claim have different units, each names its own."""
    if row["estimate"] is None:
        return textwrap.shorten(row["note"] or row["reason"] or claims.NO_ESTIMATE, NOTE_LETTERS, placeholder=" ...")
    count = int(row["seeds"])
    return f"n = {count}" if len(units) == 1 else f"{count} {row['unit']}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, LABEL_LETTERS) or [""]


def _absent(tested: Iterable[Tested]) -> list[str]:
    """Lines that name the claims without an estimate, with the reasons, and those of which nothing was run."""
    of_runs = [claim for claim in tested if claim.origin == "runs" and not claim.tested]
    failed = [f"{claim.claim} ({claim.without_estimate})" for claim in of_runs if claim.rows]
    not_run = [claim.claim for claim in of_runs if not claim.rows]
    named = {claims.NO_ESTIMATE: failed, NOT_RUN: not_run}
    texts = (f"{name.capitalize()}: {', '.join(names)}" for name, names in named.items() if names)
    return [line for text in texts for line in textwrap.wrap(text, LETTERS)]


def _draw_panel(page: Figure, panel: Panel, top: float) -> None:
    """Draw a panel whose upper edge is so many inches above the page's lower edge."""
    for lines, weight in ((panel.sentence, "bold"), (panel.verdict, "normal")):
        for text in lines:
            top -= TITLE_LINE
            _write(page, 0.0, top, text, weight=weight)
    top -= 0.04
    height = len(panel.lines) * LINE
    if panel.unit:
        width, full = page.get_size_inches()
        ax = page.add_axes((LEFT / width, (top - height) / full, (RIGHT - LEFT) / width, height / full))
        _draw_axis(ax, panel)
        for number, line in enumerate(panel.lines):
            if line.row:
                _draw_comparison(ax, len(panel.lines) - number - 0.5, line.row)
    for number, line in enumerate(panel.lines):
        y = top - (number + 1) * LINE + 0.04
        indented = line.label.startswith("  ")
        _write(page, INDENT * indented, y, line.label.strip(), style="normal" if indented else "italic", size=7)
        if line.row and line.row["estimate"] is not None:
            _write(page, SEEDS, y, line.remark, size=7, ha="right", color="0.3")
        elif line.row:
            _write(page, LEFT, y, line.remark, size=6.5, color="0.3", bbox=NOTE_BOX)


def _draw_axis(ax: Axes, panel: Panel) -> None:
    low, high = _limits(panel.rows)
    ax.set(xlim=(low, high), ylim=(0, len(panel.lines)), yticks=[])
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(panel.unit, labelpad=1)
    by_line = {number: _region(line.row) for number, line in enumerate(reversed(panel.lines)) if line.row}
    is_shared = len(set(by_line.values())) == 1
    regions = {(0, len(panel.lines)): next(iter(by_line.values()))} if is_shared else {}
    for (bottom, top), (start, stop) in (regions or {(n, n + 1): region for n, region in by_line.items()}).items():
        ax.add_patch(Rectangle((max(start, low), bottom), min(stop, high) - max(start, low), top - bottom, **REGION))
        for bound in (start, stop):
            if math.isfinite(bound) and bound != 0:
                ax.plot((bound, bound), (bottom, top), **MARGIN)
    ax.axvline(0, **ZERO)


def _region(row: Row) -> tuple[float, float]:
    """Where an estimate supports the claim."""
    if row["margin"] is None:
        return 0.0, math.inf
    return -row["margin"], row["margin"] if row["hypothesis"] == "equivalent" else math.inf


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Limits of an axis: all estimates, zero and margins, and of the intervals what is not far beyond these."""
    margins = [sign * (row["margin"] or 0.0) for row in rows for sign in (-1, 1)]
    inner = [0.0, *margins, *(row["estimate"] for row in rows)]
    span = max(inner) - min(inner) or 1.0
    least, largest = min(inner) - REACH * span, max(inner) + REACH * span
    outer = [*inner, *(row[end] for row in rows for end in ("low", "high") if row[end] is not None)]
    low, high = max(min(outer), least), min(max(outer), largest)
    edge = 0.06 * (high - low) or 1.0
    return low - edge, high + edge


def _draw_comparison(ax: Axes, y: float, row: Row) -> None:
    """Estimate and interval; the part of the interval outside of the axis becomes an arrow."""
    if row["estimate"] is None:
        return
    look = LOOKS[row["verdict"]]
    if row["low"] is not None and row["high"] is not None:
        low, high = ax.get_xlim()
        ends = max(row["low"], low), min(row["high"], high)
        ax.plot(ends, (y, y), color=look["color"], linewidth=1.1, zorder=2)
        for end, inside, marker in ((ends[0], row["low"] >= low, "<"), (ends[1], row["high"] <= high, ">")):
            if not inside:
                ax.plot([end], [y], marker=marker, markersize=3.5, color=look["color"], clip_on=False, zorder=2)
    ax.plot([row["estimate"]], [y], **look, **MARKER, zorder=3)


def _draw_legend(page: Figure, top: float) -> None:
    verdicts = [Line2D([], [], **look, **MARKER, label=verdict) for verdict, look in LOOKS.items()]
    lines = [
        Line2D([], [], **{k: v for k, v in ZERO.items() if k != "zorder"}, label="zero"),
        Line2D([], [], **{k: v for k, v in MARGIN.items() if k != "zorder"}, label="margin"),
        Patch(**REGION, label="where the claim holds"),
    ]
    handles = [handle for pair in zip(verdicts, lines, strict=True) for handle in pair]
    page.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, top), ncols=3, borderaxespad=0.2)


def _write(page: Figure, x: float, y: float, text: str, size: float = 8, **look: Any) -> None:
    """Write a text at so many inches from the left edge and the lower edge."""
    width, height = page.get_size_inches()
    page.text((EDGE + x) / width, y / height, text, fontsize=size, va="baseline", parse_math=False, **look)
