"""The claims tested on the paper's own numbers alone, with nothing trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import claims
from scalarization.plan import Plan
from scalarization.plan.artifacts import NOTHING, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """The rows of :func:`scalarization.analysis.claims.summarize` whose origin is ``paper``."""
    margin = plan.preset.claims.margin
    rows = claims.table(lambda claim: claim.reported(margin) if claim.reported else ())
    return rows[rows["origin"] == "paper"].reset_index(drop=True)


KIND = ArtifactKind("claims_reported", "table", "nothing", NOTHING, summarize, columns=claims.TYPES)
