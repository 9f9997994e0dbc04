"""Figure C: one panel per capacity, error on one dense task against error on the other, coloured by p."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from scalarization.figures import _style, figure_b


@_style.styled
def draw(summary: pd.DataFrame, facts: dict[str, Any]) -> Figure:
    """Draw ``analysis.figure_c``'s summary as figure B, with the error of the best constant at each axis."""
    constants = summary.dropna(subset="constant").groupby("task")["constant"].first()
    metric = _style.metric_of(summary)
    return figure_b.draw_trade_off(
        summary, facts, lambda task: f"{_style.axis_label(task, metric)} (constant: {constants[task]:.2f})"
    )
