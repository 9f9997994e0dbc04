"""Tables: one module per kind, which turns a summary into a neutral description. No module imports torch.

The module of a kind is named like the kind and has ``describe(summary, metadata)``, which returns a
:class:`scalarization.tables.render.Table`. Markdown, LaTeX and a figure are made of it in the same way for all kinds.
``render`` and ``method_lines`` are shared and no kinds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scalarization.analysis import summaries

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw(kind: str, summary: pd.DataFrame, metadata: dict[str, Any]) -> tuple[Figure, dict[str, str]]:
    """Lay out one table.

    Args:
        kind: Name of the kind, which is the name of its module in this package.
        summary: As made by :func:`scalarization.analysis.summarize`, or read back from Parquet.
        metadata: As made by :func:`scalarization.analysis.metadata`.

    Returns:
        The figure, and the text files' contents by their suffix: ``md`` and ``tex`` (needs booktabs).

    Raises:
        DataError: The summary has no rows, or lacks a column or metadata.
    """
    summaries.check_summary(kind, summary, metadata)
    from scalarization.plotting.labels import settings_note
    from scalarization.tables import render

    table = importlib.import_module(f"{__name__}.{kind}").describe(summary, metadata)
    note = settings_note(summary, "Grid, p*") if "settings_diverged" in summary else ""
    table = render.with_notes_on_divergence(table, note)
    return render.figure(table), {"md": render.markdown(table), "tex": render.latex(table)}
