"""The front page of a preset, ``reports/<preset>/index.html``: what came out, what was trained, every figure and table.

It is one file: pictures are inside of it, there is no script, and nothing is fetched. Only the links to Parquet and PDF
lead to other files, by relative paths.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scalarization.plan import Plan, artifacts
from scalarization.plotting.claims import count_verdicts
from scalarization.provenance import Provenance, record_drawing
from scalarization.reports.page import content, trained
from scalarization.storage import write_bytes

TEMPLATE = "page.html.j2"


def make_page(plan: Plan) -> str:
    """Make the front page from what is there and current; what is not is named.

    Returns:
        One line for the terminal: where the page is, and how many claims have which verdict.

    Raises:
        DataError: A file cannot be read or written.
    """
    provenance = Provenance(plan)
    selected = artifacts.selected(plan)
    problems = {name: provenance.problem(plan.paths.drawing_record(name)) for name in selected}
    drawn = [name for name in selected if problems[name] is None]
    origin = provenance.origin(plan.paths.page_record, map(plan.paths.drawing_record, drawn))
    listed = {name: content.displayed(plan, name) for name in drawn}
    tested = content.verdicts(plan, drawn)
    absent = {name: content.reason(plan, problems.get(name)) for name in plan.preset.artifacts if name not in listed}
    page = _render(
        preset=plan.config.preset_name,
        description=plan.preset.description,
        only=plan.config.only.describe(),
        claims=content.by_claim(tested),
        margin=plan.preset.claims.margin,
        forest=next((artifact for artifact in listed.values() if artifact.kind == "claims_forest"), None),
        claims_table=next((artifact for artifact in listed.values() if artifact.kind == "claims"), None),
        trained=trained.summary(plan, drawn, provenance),
        commit=trained.commit(),
        figures=[a for a in listed.values() if a.output == "figure" and a.kind != "claims_forest"],
        tables=[a for a in listed.values() if a.output == "table"],
        absent=absent,
        headline=(headline := count_verdicts(tested) or f"{len(listed)} figures and tables"),
    )
    write_bytes(plan.paths.page_file, page.encode())
    record_drawing(plan.paths.page_record, [plan.paths.page_file], {**origin, "headline": headline})
    return f"{plan.paths.page_file}: {headline}"


def _render(**values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(**values)
