"""One neutral description of a table, and what is made of it: Markdown, LaTeX (booktabs), a figure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

import matplotlib as mpl
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

from scalarization.figures import _style

#: What stands where there is no value.
NOTHING = "\N{EN DASH}"
#: Points: font sizes, height of a line, space between columns, margin, widths of rules.
SIZE, SMALL, LINE, GAP, MARGIN, RULE, THIN = 8.0, 6.5, 12.5, 11.0, 6.0, 0.9, 0.5
POINTS = 72


@dataclass(frozen=True)
class Cell:
    """A value.

    Attributes:
        text: What matters, the mean.
        spread: What follows it and is never bold, such as ``± 0.12``.
        bold: Whether it is the best of its column.
    """

    text: str
    spread: str = ""
    bold: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.spread}".rstrip()


@dataclass(frozen=True)
class Row:
    """A line; ``minor`` ones belong to the line above and are printed small."""

    label: str
    cells: tuple[Cell, ...]
    minor: bool = False


@dataclass(frozen=True)
class Group:
    """Lines under a common heading, which may be empty."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Block:
    """A part with its own columns.

    Attributes:
        title: Above its columns; may be empty.
        corner: Head of the column of labels.
        columns: Heads of the other columns.
        groups: Lines; none if there is only a note.
        note: Said instead of lines, such as ``not run``.
    """

    title: str
    corner: str
    columns: tuple[str, ...]
    groups: list[Group]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Blocks below each other, and notes below them."""

    blocks: list[Block]
    notes: list[str] = field(default_factory=list)


def markdown(table: Table) -> str:
    """GitHub's Markdown: one table per block."""
    parts = []
    for block in table.blocks:
        if block.title:
            parts.append(f"**{_markdown(block.title)}**")
        if block.note:
            parts.append(f"*{_markdown(block.note)}*")
            continue
        lines = [[_markdown(block.corner), *map(_markdown, block.columns)], ["---", *["---:"] * len(block.columns)]]
        for group in block.groups:
            if group.title:
                lines.append([f"*{_markdown(group.title)}*", *[""] * len(block.columns)])
            for row in group.rows:
                label = f"<sub>{_markdown(row.label)}</sub>" if row.minor else _markdown(row.label)
                lines.append([label, *(_markdown_cell(cell, row.minor) for cell in row.cells)])
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join([*parts, *map(_markdown, table.notes)]) + "\n"


def latex(table: Table) -> str:
    """One tabular with booktabs' rules."""
    width = max(len(block.columns) for block in table.blocks)
    lines = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{l{'r' * width}}}", "\\toprule"]
    for number, block in enumerate(table.blocks):
        if number:
            lines.append("\\midrule")
        if block.title:
            lines.append(_latex_span(width, f"\\textbf{{{_latex(block.title)}}}"))
        if block.note:
            lines.append(_latex_span(width, f"\\textit{{{_latex(block.note)}}}"))
            continue
        lines += [_latex_line(map(_latex, [block.corner, *block.columns])), "\\midrule"]
        for group in block.groups:
            if group.title:
                lines.append(_latex_span(width, f"\\textit{{{_latex(group.title)}}}"))
            for row in group.rows:
                texts = [_latex(row.label), *map(_latex_cell, row.cells)]
                lines.append(_latex_line(f"{{\\scriptsize {t}}}" if row.minor and t else t for t in texts))
    lines += ["\\bottomrule", "\\end{tabular}"]
    if table.notes:
        lines += ["", "\\medskip", "{\\footnotesize"]
        lines += [f"{_latex(note)}\\par" for note in table.notes] + ["}"]
    return "\n".join(lines) + "\n"


def figure(table: Table) -> Figure:
    """The table as a figure, as large as its text needs."""
    with mpl.style.context(["default", _style.STYLE]):
        return _Page(table).draw()


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]#~])", r"\\\1", text)


def _markdown_cell(cell: Cell, minor: bool) -> str:
    text = f"**{_markdown(cell.text)}**" if cell.bold else _markdown(cell.text)
    text = f"{text} {_markdown(cell.spread)}".rstrip()
    return f"<sub>{text}</sub>" if minor and text else text


_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "²": "$^2$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_cell(cell: Cell) -> str:
    text = f"\\textbf{{{_latex(cell.text)}}}" if cell.bold else _latex(cell.text)
    return f"{text} {_latex(cell.spread)}".rstrip()


def _latex_line(texts: Iterator[str]) -> str:
    return f"{' & '.join(texts)} \\\\"


def _latex_span(width: int, text: str) -> str:
    return f"\\multicolumn{{{width + 1}}}{{l}}{{{text}}} \\\\"


class _Page:
    """Lays a table out: columns as wide as their widest text, numbers flush right, lines from the top."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._measure = TextToPath()
        count = max(len(block.columns) for block in table.blocks)
        self.label_width = 0.0
        self.widths = [0.0] * count
        for block in table.blocks:
            if block.note:
                continue
            self.label_width = max(self.label_width, self._width(block.corner))
            for column, head in enumerate(block.columns):
                self.widths[column] = max(self.widths[column], self._width(head))
            for row in (row for group in block.groups for row in group.rows):
                size = SMALL if row.minor else SIZE
                self.label_width = max(self.label_width, self._indent(row) + self._width(row.label, size))
                for column, cell in enumerate(row.cells):
                    self.widths[column] = max(self.widths[column], self._cell_width(cell, size))
        inner = self.label_width + sum(width + GAP for width in self.widths)
        titles = [self._width(block.title, bold=True) for block in table.blocks]
        titles += [self._width(g.title) for block in table.blocks for g in block.groups]
        titles += [self._width(block.note) for block in table.blocks]
        self.inner = max(inner, *titles, 200.0)
        letters = max(20, int(self.inner / self._width("n" * 100, SMALL) * 100))
        self.notes = [line for note in table.notes for line in textwrap.wrap(note, letters)]

    def draw(self) -> Figure:
        """Make the figure."""
        height = 2 * MARGIN + sum(self._block_height(b) for b in self.table.blocks) + RULE
        height += len(self.notes) * SMALL * 1.35 + (4 if self.notes else 0)
        self.size = (self.inner + 2 * MARGIN, height)
        self.page = Figure(figsize=(self.size[0] / POINTS, self.size[1] / POINTS))
        self.y = height - MARGIN
        for number, block in enumerate(self.table.blocks):
            self._rule(THIN if number else RULE)
            self._block(block)
        self._rule(RULE)
        self.y -= 4
        for line in self.notes:
            self._text(MARGIN, line, SMALL, color="0.3", y=self.y - SMALL)
            self.y -= SMALL * 1.35
        return self.page

    def _block_height(self, block: Block) -> float:
        rows = sum(len(group.rows) + bool(group.title) for group in block.groups)
        minor = sum(row.minor for group in block.groups for row in group.rows)
        lines = bool(block.title) + (1 if block.note else 1 + rows)
        return lines * LINE - minor * (LINE - SMALL * 1.4) + 4

    def _block(self, block: Block) -> None:
        self.y -= 2
        if block.title:
            self._line(block.title, weight="bold")
        if block.note:
            self._line(block.note, style="italic", color="0.3")
            self.y -= 2
            return
        self._cells(block.corner, [Cell(head) for head in block.columns], SIZE)
        self._rule(THIN)
        for group in block.groups:
            if group.title:
                self._line(group.title, style="italic")
            for row in group.rows:
                self._cells(
                    row.label,
                    row.cells,
                    SMALL if row.minor else SIZE,
                    self._indent(row),
                    "0.35" if row.minor else "black",
                )
        self.y -= 2

    def _line(self, text: str, **look: str) -> None:
        self.y -= LINE
        self._text(MARGIN, text, SIZE, **look)

    def _cells(self, label: str, cells: list[Cell], size: float, indent: float = 0.0, color: str = "black") -> None:
        self.y -= LINE if size == SIZE else SMALL * 1.4
        self._text(MARGIN + indent, label, size, color=color)
        right = MARGIN + self.label_width
        for width, cell in zip(self.widths, cells, strict=False):
            right += GAP + width
            x = right
            if cell.spread:
                self._text(x, cell.spread, size, color=color, ha="right")
                x -= self._width(f" {cell.spread}", size)
            self._text(x, cell.text, size, color=color, ha="right", weight="bold" if cell.bold else "normal")

    def _text(self, x: float, text: str, size: float, y: float | None = None, **look: str) -> None:
        if text:
            at = (x / self.size[0], (self.y + 3.2 if y is None else y) / self.size[1])
            self.page.text(*at, text, fontsize=size, va="baseline", parse_math=False, **look)

    def _rule(self, width: float) -> None:
        y = self.y / self.size[1]
        ends = [MARGIN / self.size[0], 1 - MARGIN / self.size[0]]
        self.page.add_artist(Line2D(ends, [y, y], color="black", linewidth=width))

    def _indent(self, row: Row) -> float:
        return 14.0 if row.minor else 6.0

    def _width(self, text: str, size: float = SIZE, bold: bool = False) -> float:
        font = FontProperties(size=size, weight="bold" if bold else "normal")
        return self._measure.get_text_width_height_descent(text, font, False)[0] if text else 0.0

    def _cell_width(self, cell: Cell, size: float) -> float:
        return self._width(cell.text, size, cell.bold) + (self._width(f" {cell.spread}", size) if cell.spread else 0.0)
