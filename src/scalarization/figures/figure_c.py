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
    return draw_trade_off(
        summary, metadata, lambda task: f"{labels.axis_label(task, metric)} (constant: {constants[task]:.2f})"
    )
