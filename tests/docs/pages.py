"""The documentation as the tests see it: code blocks, links, headings."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Pages in the order in which a reader would follow them.
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "docs/tutorial.md",
        "docs/presets.md",
        "docs/reproducing.md",
        "docs/cluster.md",
        "slurm/README.md",
        "docs/benchmarks.md",
        "docs/own-data.md",
        "docs/methods.md",
        "docs/run-files.md",
        "docs/claims.md",
        "docs/extending.md",
        "docs/architecture.md",
        "docs/choices.md",
        "performance/RESULTS.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    )
]
#: Pages whose files are examples for other tests.
EXTENDING = ROOT / "docs" / "extending.md"
_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s{2,}# .*$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path of the page below the checkout.
        language: Word after the fence, such as `sh`.
        text: Content without the page's indentation.
    """

    page: str
    language: str
    text: str

    @property
    def file(self):
        """The file that the block is the content of: what its first line, a comment, names; None if it does not."""
        match = re.match(r"(?:#|\.\.|//) ([\w./-]+\.\w+)\n", self.text)
        return match[1] if match else None

    @property
    def commands(self):
        """Commands of a block in `sh`, one a line, without comments."""
        lines = (_COMMENT.sub("", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page):
    """All fenced blocks of a page, in order."""
    found = []
    for indent, language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        text = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        found.append(Block(str(page.relative_to(ROOT)), language, text))
    return found


def without_code(text):
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def links(page):
    """Targets of all Markdown links and images of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
