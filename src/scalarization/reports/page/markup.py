"""Captions (reStructuredText) and tables (the Markdown that this package writes) as HTML."""

from __future__ import annotations

import html
import re
from collections import Counter
from typing import Any

from markupsafe import Markup

#: How docutils writes: formulas as MathML, which browsers draw themselves; nothing is read from other files.
DOCUTILS: dict[str, Any] = {
    "_disable_config": True,
    "file_insertion_enabled": False,
    "initial_header_level": 4,
    "math_output": "MathML",
    "raw_enabled": False,
    "report_level": 3,
}
_TITLE = re.compile(r"\*\*(?P<title>.+?)\*\*\s*(?:\((?P<source>[^()]*)\))?\.?\s*", re.DOTALL)
_INLINE = re.compile(r"\\(?P<escaped>.)|(?P<tag>\*\*|\*|</?sub>)|(?P<text>[^\\*<]+|.)", re.DOTALL)
_CELLS = re.compile(r"(?:\\.|[^|\\])*")


def caption(text: str) -> tuple[Markup, str, Markup]:
    """A caption's title, its source (such as ``appendix 2.1``; may be empty), and the rest.

    Args:
        text: reStructuredText. If it does not begin with a bold sentence, the title is empty.
    """
    match = _TITLE.match(text)
    if not match:
        return Markup(""), "", restructured(text)
    title = restructured(match["title"].rstrip("."))
    source = " ".join((match["source"] or "").split())
    return Markup(re.sub(r"</?p>", "", title).strip()), source, restructured(text[match.end() :])


def restructured(text: str) -> Markup:
    """HTML of a text in reStructuredText."""
    from docutils.core import publish_parts

    return Markup(publish_parts(text, writer="html5", settings_overrides=DOCUTILS)["body"])


def tables(text: str, prefix: str) -> Markup:
    """What :func:`scalarization.tables.render.markdown` wrote, as HTML.

    Args:
        text: Blocks with titles, tables, and notes.
        prefix: Of the anchors of titles: ``claims`` gives ``claims-C6`` to the first title that begins with ``C6``, and
            ``claims-C6-2`` to the second.
    """
    used: Counter[str] = Counter()
    return Markup("\n".join(_block(block, prefix, used) for block in text.strip().split("\n\n")))


def _block(block: str, prefix: str, used: Counter[str]) -> str:
    """HTML of a title, a table or a note; counts the anchors that are used."""
    if block.startswith("|"):
        return _table(block.splitlines())
    if block.startswith("**") and block.endswith("**"):
        title = _inline(block[2:-2])
        anchor = f"{prefix}-{re.split(r'[^A-Za-z0-9_]', title, maxsplit=1)[0]}"
        used[anchor] += 1
        if used[anchor] > 1:
            anchor += f"-{used[anchor]}"
        return f'<h4 id="{anchor}">{title}</h4>'
    return f'<p class="note">{_inline(block)}</p>'


def _table(lines: list[str]) -> str:
    head, _, *rows = (_cells(line) for line in lines)
    parts = ['<div class="scroll"><table>', "<thead><tr>"]
    parts += [f'<th scope="col">{_inline(cell)}</th>' for cell in head]
    parts.append("</tr></thead><tbody>")
    for first, *others in rows:
        if first.startswith("*") and not any(others):
            parts.append(f'<tr class="group"><th colspan="{len(head)}">{_inline(first)}</th></tr>')
        else:
            values = "".join(f"<td>{_inline(cell)}</td>" for cell in others)
            parts.append(f'<tr><th scope="row">{_inline(first)}</th>{values}</tr>')
    return "".join([*parts, "</tbody></table></div>"])


def _cells(line: str) -> list[str]:
    """Cells of ``| a | b |``; a bar after a backslash is part of a cell."""
    cells, position = [], 1
    while position < len(line):
        match = _CELLS.match(line, position)
        assert match is not None  # it matches the empty text
        cells.append(match[0].strip())
        position = match.end() + 1
    return cells


def _inline(text: str) -> str:
    """Bold, italics, small text and escapes."""
    parts, is_open = [], {"**": False, "*": False}
    for match in _INLINE.finditer(text):
        tag = match["tag"]
        if tag in is_open:
            name = "b" if tag == "**" else "i"
            parts.append(f"</{name}>" if is_open[tag] else f"<{name}>")
            is_open[tag] = not is_open[tag]
        elif tag:
            parts.append(tag.replace("sub", "small"))
        else:
            parts.append(html.escape(match["escaped"] or match["text"]))
    return "".join(parts)
