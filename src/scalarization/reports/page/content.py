"""What the front page shows of artifacts: their pictures and tables, and the verdicts on claims."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from scalarization.plan import Plan, artifacts
from scalarization.plotting import claims
from scalarization.plotting.claims import Tested
from scalarization.provenance import MISSING, Problem
from scalarization.reports.page import markup
from scalarization.storage import read_table

#: Kinds whose summaries hold claims; of those that are drawn the first counts.
CLAIM_KINDS = ("claims", "claims_forest", "claims_reported")
LABELS = {"pdf": "PDF", "png": "PNG", "md": "Markdown", "tex": "LaTeX"}


@dataclass(frozen=True)
class Displayed:
    """A figure or table of the page.

    Attributes:
        name: Of the artifact.
        kind: Its kind.
        output: ``figure`` or ``table``.
        title: What its caption calls it; its name if the caption has no title.
        source: Where the paper has it; may be empty.
        caption: The rest of the caption.
        body: The figure as a data URI, or the table as HTML.
        links: Label -> relative address.
    """

    name: str
    kind: str
    output: str
    title: str
    source: str
    caption: Markup
    body: str
    links: dict[str, str]


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one claim, on each origin's numbers."""

    claim: str
    sentence: str
    source: str
    tested: Sequence[Tested]


def displayed(plan: Plan, artifact: str) -> Displayed:
    """An artifact whose files are current."""
    kind, files = artifacts.kind_of(plan, artifact), artifacts.files_of(plan, artifact)
    title, source, caption = markup.caption(kind.caption.read_text(encoding="utf-8"))
    if kind.output == "table":
        body: str = markup.tables(files["md"].read_text(encoding="utf-8"), artifact)
    else:
        body = f"data:image/png;base64,{base64.b64encode(files['png'].read_bytes()).decode()}"
    page = plan.paths.page_file.parent
    targets = {LABELS[format]: file for format, file in files.items()} | {"Parquet": plan.paths.summary_file(artifact)}
    links = {label: quote(os.path.relpath(file, page)) for label, file in targets.items()}
    return Displayed(artifact, kind.name, kind.output, title or artifact, source, caption, body, links)


def reason(plan: Plan, problem: Problem | None) -> str:
    """Why an artifact is not on the page.

    Args:
        plan: The plan.
        problem: Why its files are not current; None if nothing of it is selected.
    """
    if problem is None:
        return f"nothing of it is selected by only: {plan.config.only.describe()}"
    return "not made yet" if str(problem) == MISSING else f"not current: {problem}"


def verdicts(plan: Plan, drawn: Iterable[str]) -> list[Tested]:
    """The claims and their verdicts; none if no artifact about claims is drawn."""
    kinds = {artifacts.kind_of(plan, name).name: name for name in reversed(list(drawn))}
    for kind in CLAIM_KINDS:
        if kind in kinds:
            summary = read_table(plan.paths.summary_file(kinds[kind]), "summary").to_pandas()
            return claims.tested_claims(claims.rows_of(summary))
    return []


def by_claim(tested: Iterable[Tested]) -> list[Verdicts]:
    """What was tested, by claim."""
    groups = (list(group) for _, group in itertools.groupby(tested, lambda claim: claim.claim))
    return [Verdicts(group[0].claim, group[0].sentence, group[0].source, group) for group in groups]
