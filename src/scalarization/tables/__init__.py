"""Tables: a summary -> one neutral description -> Markdown, LaTeX and a figure. None imports torch.

A kind's module has ``describe(summary, facts)``. Modules with a leading underscore are shared and no kinds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw(kind: str, summary: pd.DataFrame, facts: dict[str, Any]) -> tuple[Figure, dict[str, str]]:
    """Lay out one table.

    Args:
        kind: Module of this package.
        summary: As made by :func:`scalarization.analysis.summarize`, or read back from Parquet.
        facts: As made by :func:`scalarization.analysis.facts`.

    Returns:
        The figure, and what belongs into the text files by their ending: ``md`` and ``tex`` (needs booktabs).
    """
    from scalarization.tables import _render

    table = importlib.import_module(f"{__name__}.{kind}").describe(summary, facts)
    return _render.figure(table), {"md": _render.markdown(table), "tex": _render.latex(table)}
