"""Figures: one module per kind, which draws a summary and reads nothing else. No module imports torch.

The module of a kind is named like the kind and has ``draw(summary, metadata)``. What several kinds share is in
:mod:`scalarization.plotting`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scalarization.analysis import summaries

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw(kind: str, summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw one figure.

    Args:
        kind: Name of the kind, which is the name of its module in this package.
        summary: As made by :func:`scalarization.analysis.summarize`, or read back from Parquet.
        metadata: As made by :func:`scalarization.analysis.metadata`.

    Raises:
        DataError: The summary has no rows, or lacks a column or metadata.
    """
    summaries.check_summary(kind, summary, metadata)
    return importlib.import_module(f"{__name__}.{kind}").draw(summary, metadata)
