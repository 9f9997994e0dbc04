"""Appendix figure C: error on one dense task against the error on another, one panel per capacity."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from scalarization.figures.figure_b import draw_trade_off
from scalarization.plotting import labels, style


@style.common_style
def draw(summary: pd.DataFrame, metadata: dict[str, Any]) -> Figure:
    """Draw the summary of ``analysis.figure_c`` like figure B, with the error of the best constant at each axis."""
    constants = summary.dropna(subset="constant").groupby("task")["constant"].first()
    metric = labels.metric_of(summary)

    def axis_label(task: str) -> str:
        label = labels.axis_label(task, metric)
        # Without a run that did not diverge the constant is not known.
        return f"{label} (constant: {constants[task]:.2f})" if task in constants else label

    return draw_trade_off(summary, metadata, axis_label)
