"""Drawings: a summary -> one figure, nothing else read. One module per kind; none imports torch.

A kind's module has ``draw(summary, facts)``. Modules with a leading underscore are shared and no kinds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw(kind: str, summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw one artifact.

    Args:
        kind: Module of this package.
        summary: As made by :func:`scalarization.analysis.summarize`, or read back from Parquet.
        facts: As made by :func:`scalarization.analysis.facts`.
    """
    return importlib.import_module(f"{__name__}.{kind}").draw(summary, facts)
