"""Fingerprints: what makes a job run again. The only user of :mod:`scalarization.digests`.

A fingerprint changes whenever a result would come out differently, or is of something else: with the slice of the
preset that it depends on, and with the code that makes it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from scalarization import digests, methods
from scalarization.digests import code_digest
from scalarization.plan import artifacts
from scalarization.plan.artifacts import ArtifactKind
from scalarization.plan.cells import Cell, Profile, Search, Shard

if TYPE_CHECKING:
    from scalarization.config import Benchmark
    from scalarization.plan import Plan


#: How prepared data are opened is chosen at run time, so that following imports from the training core misses it.
DATA = "data.loading"


def cell_code(cell: Cell) -> str:
    """Digest of the code that trains a cell: the training core, one backbone family, one method."""
    core = "training.conflicts" if cell.counts_conflicts else "training.loop"
    return code_digest(core, DATA, f"models.{cell.architecture.family}", f"methods.{methods.load(cell.method).module}")


def search_code(search: Search) -> str:
    """Digest of the code that trains the members of a search."""
    return code_digest("training.loop", DATA, f"models.{search.cell.architecture.family}", "methods.uniform")


def of_shard(shard: Shard) -> str:
    """Fingerprint of a shard's runs. Weights that a search determines are not in it: the search's file is a source."""
    searched = shard.cell.specification.search is not None
    runs = [(run.weight_setting, run.seed, None if searched else run.weights) for run in shard.runs]
    described = {key: value for key, value in shard.cell.describe().items() if key != "policy"}
    return _digest([described, runs], cell_code(shard.cell))


def of_search(search: Search) -> str:
    """Fingerprint of a search's history."""
    family = search.cell.architecture.family
    return _digest(search.describe(), code_digest("search.session", DATA, f"models.{family}", "methods.uniform"))


def of_profile(profile: Profile) -> str:
    """Fingerprint of a measurement of time and memory."""
    roots = [f"methods.{methods.load(method).module}" for method in profile.methods]
    code = code_digest("training.profile", DATA, f"models.{profile.cell.architecture.family}", *roots)
    return _digest(profile.describe(), code)


def of_store(benchmark: str, options: Benchmark) -> str:
    """Fingerprint of a prepared store.

    Args:
        benchmark: The benchmark.
        options: What the preset says of it.
    """
    limits = [options.limited_domains] if options.limited_domains else []
    return _digest([options.domains, options.tasks, *limits], code_digest("data.prepare", f"benchmarks.{benchmark}"))


def of_summary(plan: Plan, artifact: str) -> str:
    """Fingerprint of an artifact's query and of what it queries."""
    planned = [c.name for e in artifacts.experiments_of(plan, artifact) for c in plan.experiments[e]]
    planned += [c.name for n in artifacts.conflicts_of(plan, artifact) for c in plan.conflicts[n]]
    reported = sorted((digests.PACKAGE / "analysis" / "reported").glob("*.csv"))
    kind = artifacts.kind_of(plan, artifact)
    tests_claims = kind.needs == artifacts.NOTHING
    content = [
        plan.preset.artifacts[artifact].describe(),
        plan.preset.claims.model_dump() if tests_claims else None,
        planned,
        [(c.name, len(c.runs)) for c in artifacts.cells_of(plan, artifact)],
        [file.read_text(encoding="utf-8") for file in reported],
        [s.describe() for s in artifacts.searches_of(plan, artifact)],
        # Names, order and formulas in tables come from what methods declare, which digests leave out.
        [[m.name, m.label, m.group, m.rank, m.formulas and vars(m.formulas)] for m in methods.all_methods()],
    ]
    # Claims are found by the names of their modules, so that following imports misses them.
    claims = sorted(file.stem for file in (digests.PACKAGE / "analysis" / "claims").glob("[!_]*.py"))
    roots = [f"analysis.claims.{name}" for name in claims] if tests_claims else []
    return _digest(content, code_digest("analysis", f"analysis.{kind.name}", *roots))


def of_drawing(kind: ArtifactKind) -> str:
    """Digest of the code that draws a kind of artifact."""
    return code_digest(f"{kind.output}s", kind.drawing)


def of_page(plan: Plan) -> str:
    """Fingerprint of the front page: of all that it shows but results, and of the code that lays it out."""
    names = list(plan.preset.artifacts)
    captions = sorted({artifacts.kind_of(plan, name).caption for name in names})
    layout = [file for file in (digests.PACKAGE / "reports" / "page").iterdir() if file.suffix in (".j2", ".css")]
    content = [
        [plan.config.preset_name, plan.preset.description, plan.config.only.describe(), names],
        [file.read_text(encoding="utf-8") for file in (*captions, *sorted(layout))],
    ]
    return _digest(content, code_digest("reports.page"))


def _digest(content: Any, code: str) -> str:
    return hashlib.sha256(f"{json.dumps(content, sort_keys=True)} {code}".encode()).hexdigest()[:16]
