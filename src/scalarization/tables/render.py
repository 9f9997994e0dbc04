"""A neutral description of a table, and what is made of it: Markdown, LaTeX (booktabs) and a figure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from scalarization.plotting import style
from scalarization.plotting.labels import DIVERGED, MINUS, NOT_RUN, TIMES, diverged_count

#: Written where there is no value.
NO_VALUE = "\N{EN DASH}"
NOTE_DIVERGED = (
    "Diverged: a run whose loss or predictions were not finite has no value. In parentheses: how many of the runs that "
    "the entry is about. Such an entry is never the best, and there is no mean of the other runs."
)
#: Font sizes of normal and of minor rows, points.
SIZE, MINOR_SIZE = 8.0, 6.5
#: Heights of normal rows, of minor rows and of a line of a note, points.
ROW_HEIGHT, MINOR_ROW_HEIGHT, NOTE_HEIGHT = 12.5, MINOR_SIZE * 1.4, MINOR_SIZE * 1.35
#: Space between columns, and around the table, points.
COLUMN_GAP, MARGIN = 11.0, 6.0
#: Line widths of the rules at the top and bottom, and of the others, points.
RULE, THIN_RULE = 0.9, 0.5
POINTS_PER_INCH = 72


@dataclass(frozen=True)
class Entry:
    """One entry of a row.

    Attributes:
        text: The value, such as a mean.
        spread: Written after the value and never bold, such as ``± 0.12``.
        bold: Whether the value is the best of its column.
    """

    text: str
    spread: str = ""
    bold: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.spread}".rstrip()


#: Leaves a column of a row empty.
EMPTY = Entry("")


def diverged_entry(diverged: int, seeds: int) -> Entry:
    """The entry in place of a mean over seeds of which some diverged."""
    return Entry(DIVERGED, diverged_count(diverged, seeds))


@dataclass(frozen=True)
class Row:
    """A row; ``minor`` rows add to the row above them and are printed small."""

    label: str
    entries: tuple[Entry, ...]
    minor: bool = False


@dataclass(frozen=True)
class Group:
    """Rows under a common heading, which may be empty."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Block:
    """A part with its own columns.

    Attributes:
        title: Above its columns; may be empty.
        corner: Head of the column of labels.
        columns: Heads of the other columns.
        groups: Its rows; none if there is only a note.
        note: Text instead of rows, such as ``not run``.
    """

    title: str
    corner: str
    columns: tuple[str, ...]
    groups: list[Group]
    note: str = ""

    @classmethod
    def not_run(cls, title: str) -> Block:
        """A block of something that was not run."""
        return cls(title, "", (), [], NOT_RUN)

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]


@dataclass(frozen=True)
class Table:
    """Blocks from top to bottom, and notes below them."""

    blocks: list[Block]
    notes: list[str] = field(default_factory=list)


def with_notes_on_divergence(table: Table, note: str) -> Table:
    """The table with a note on what ``diverged`` means, if it has such an entry, and a further note unless empty."""
    entries = (entry for block in table.blocks for row in block.rows for entry in row.entries)
    notes = [NOTE_DIVERGED] if any(entry.text == DIVERGED for entry in entries) else []
    return replace(table, notes=[*table.notes, *notes, *([f"{note}."] if note else [])])


def markdown(table: Table) -> str:
    """GitHub's Markdown: one table per block."""
    parts = []
    for block in table.blocks:
        if block.title:
            parts.append(f"**{_escape_markdown(block.title)}**")
        if block.note:
            parts.append(f"*{_escape_markdown(block.note)}*")
            continue
        lines = [
            [_escape_markdown(block.corner), *map(_escape_markdown, block.columns)],
            ["---", *["---:"] * len(block.columns)],
        ]
        for group in block.groups:
            if group.title:
                lines.append([f"*{_escape_markdown(group.title)}*", *[""] * len(block.columns)])
            for row in group.rows:
                label = _escape_markdown(row.label)
                entries = (_markdown_entry(entry, row.minor) for entry in row.entries)
                lines.append([f"<sub>{label}</sub>" if row.minor else label, *entries])
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join([*parts, *map(_escape_markdown, table.notes)]) + "\n"


def latex(table: Table) -> str:
    """One tabular with booktabs' rules."""
    width = max(len(block.columns) for block in table.blocks)
    lines = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{l{'r' * width}}}", "\\toprule"]
    for number, block in enumerate(table.blocks):
        if number:
            lines.append("\\midrule")
        if block.title:
            lines.append(_latex_span(width, f"\\textbf{{{_escape_latex(block.title)}}}"))
        if block.note:
            lines.append(_latex_span(width, f"\\textit{{{_escape_latex(block.note)}}}"))
            continue
        lines += [_latex_line(map(_escape_latex, [block.corner, *block.columns])), "\\midrule"]
        for group in block.groups:
            if group.title:
                lines.append(_latex_span(width, f"\\textit{{{_escape_latex(group.title)}}}"))
            for row in group.rows:
                texts = [_escape_latex(row.label), *map(_latex_entry, row.entries)]
                lines.append(_latex_line(f"{{\\scriptsize {t}}}" if row.minor and t else t for t in texts))
    lines += ["\\bottomrule", "\\end{tabular}"]
    if table.notes:
        lines += ["", "\\medskip", "{\\footnotesize"]
        lines += [f"{_escape_latex(note)}\\par" for note in table.notes] + ["}"]
    return "\n".join(lines) + "\n"


def figure(table: Table) -> Figure:
    """The table as a figure, as large as its text needs."""
    with mpl.style.context(["default", style.STYLE]):
        return _Page(table).draw()


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]#~])", r"\\\1", text)


def _markdown_entry(entry: Entry, minor: bool) -> str:
    text = f"**{_escape_markdown(entry.text)}**" if entry.bold else _escape_markdown(entry.text)
    text = f"{text} {_escape_markdown(entry.spread)}".rstrip()
    return f"<sub>{text}</sub>" if minor and text else text


_LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    TIMES: r"$\times$",
    "²": "$^2$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    MINUS: "$-$",
    "\N{EN DASH}": "--",
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX_CHARACTERS.get(character, character) for character in text)


def _latex_entry(entry: Entry) -> str:
    text = f"\\textbf{{{_escape_latex(entry.text)}}}" if entry.bold else _escape_latex(entry.text)
    return f"{text} {_escape_latex(entry.spread)}".rstrip()


def _latex_line(texts: Iterable[str]) -> str:
    return f"{' & '.join(texts)} \\\\"


def _latex_span(width: int, text: str) -> str:
    return f"\\multicolumn{{{width + 1}}}{{l}}{{{text}}} \\\\"


class _Page:
    """Lays a table out: columns as wide as their widest text, values aligned at the right, rows from top to bottom."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._text_to_path = TextToPath()
        self.label_width = 0.0
        self.widths = [0.0] * max(len(block.columns) for block in table.blocks)
        for block in table.blocks:
            if not block.note:
                self._fit_columns(block)
        inner = self.label_width + sum(width + COLUMN_GAP for width in self.widths)
        titles = [self._text_width(block.title, bold=True) for block in table.blocks]
        titles += [self._text_width(group.title) for block in table.blocks for group in block.groups]
        titles += [self._text_width(block.note) for block in table.blocks]
        #: Width without the margins.
        self.inner = max(inner, *titles, 200.0)
        letters = max(20, int(self.inner / self._text_width("n" * 100, MINOR_SIZE) * 100))
        self.note_lines = [line for note in table.notes for line in textwrap.wrap(note, letters)]

    def draw(self) -> Figure:
        """Make the figure."""
        height = 2 * MARGIN + sum(self._block_height(block) for block in self.table.blocks) + RULE
        height += len(self.note_lines) * NOTE_HEIGHT + (4 if self.note_lines else 0)
        self.size = (self.inner + 2 * MARGIN, height)
        self.page = Figure(figsize=(self.size[0] / POINTS_PER_INCH, self.size[1] / POINTS_PER_INCH))
        #: Where the next line begins, points above the bottom of the page.
        self.y = height - MARGIN
        for number, block in enumerate(self.table.blocks):
            self._draw_rule(THIN_RULE if number else RULE)
            self._draw_block(block)
        self._draw_rule(RULE)
        self.y -= 4
        for line in self.note_lines:
            self._draw_text(MARGIN, line, MINOR_SIZE, color="0.3", y=self.y - MINOR_SIZE)
            self.y -= NOTE_HEIGHT
        return self.page

    def _fit_columns(self, block: Block) -> None:
        """Widen the columns until all texts of a block fit."""
        self.label_width = max(self.label_width, self._text_width(block.corner))
        for column, head in enumerate(block.columns):
            self.widths[column] = max(self.widths[column], self._text_width(head))
        for row in block.rows:
            size = MINOR_SIZE if row.minor else SIZE
            self.label_width = max(self.label_width, self._indent(row) + self._text_width(row.label, size))
            for column, entry in enumerate(row.entries):
                self.widths[column] = max(self.widths[column], self._entry_width(entry, size))

    def _block_height(self, block: Block) -> float:
        rows = sum(len(group.rows) + bool(group.title) for group in block.groups)
        minor = sum(row.minor for row in block.rows)
        lines = bool(block.title) + (1 if block.note else 1 + rows)
        return lines * ROW_HEIGHT - minor * (ROW_HEIGHT - MINOR_ROW_HEIGHT) + 4

    def _draw_block(self, block: Block) -> None:
        self.y -= 2
        if block.title:
            self._draw_line(block.title, weight="bold")
        if block.note:
            self._draw_line(block.note, style="italic", color="0.3")
            self.y -= 2
            return
        self._draw_row(block.corner, [Entry(head) for head in block.columns], SIZE)
        self._draw_rule(THIN_RULE)
        for group in block.groups:
            if group.title:
                self._draw_line(group.title, style="italic")
            for row in group.rows:
                size, color = (MINOR_SIZE, "0.35") if row.minor else (SIZE, "black")
                self._draw_row(row.label, row.entries, size, self._indent(row), color)
        self.y -= 2

    def _draw_line(self, text: str, **look: Any) -> None:
        """Draw a text that spans all columns."""
        self.y -= ROW_HEIGHT
        self._draw_text(MARGIN, text, SIZE, **look)

    def _draw_row(
        self, label: str, entries: Sequence[Entry], size: float, indent: float = 0.0, color: str = "black"
    ) -> None:
        self.y -= ROW_HEIGHT if size == SIZE else MINOR_ROW_HEIGHT
        self._draw_text(MARGIN + indent, label, size, color=color)
        right = MARGIN + self.label_width
        for width, entry in zip(self.widths, entries, strict=False):
            right += COLUMN_GAP + width
            x = right
            if entry.spread:
                self._draw_text(x, entry.spread, size, color=color, ha="right")
                x -= self._text_width(f" {entry.spread}", size)
            self._draw_text(x, entry.text, size, color=color, ha="right", weight="bold" if entry.bold else "normal")

    def _draw_text(self, x: float, text: str, size: float, y: float | None = None, **look: Any) -> None:
        if text:
            position = (x / self.size[0], (self.y + 3.2 if y is None else y) / self.size[1])
            self.page.text(*position, text, fontsize=size, va="baseline", parse_math=False, **look)

    def _draw_rule(self, width: float) -> None:
        y = self.y / self.size[1]
        left, right = MARGIN / self.size[0], 1 - MARGIN / self.size[0]
        self.page.add_artist(Line2D([left, right], [y, y], color="black", linewidth=width))

    def _indent(self, row: Row) -> float:
        return 14.0 if row.minor else 6.0

    def _text_width(self, text: str, size: float = SIZE, bold: bool = False) -> float:
        font = FontProperties(size=size, weight="bold" if bold else "normal")
        return self._text_to_path.get_text_width_height_descent(text, font, False)[0] if text else 0.0

    def _entry_width(self, entry: Entry, size: float) -> float:
        spread = self._text_width(f" {entry.spread}", size) if entry.spread else 0.0
        return self._text_width(entry.text, size, entry.bold) + spread
