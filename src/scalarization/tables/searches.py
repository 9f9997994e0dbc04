"""What tables of retrained models say of the searches behind them."""

from __future__ import annotations

import pandas as pd

RETRAINING = (
    "Each search was run once: of searched weights, ± is the standard deviation over seeds of the retraining with one "
    "policy. It says nothing about what another search would have found."
)
SEARCHES = (
    "Searches were repeated with different seeds, and each seed of the retraining uses the policy of another one: of "
    "searched weights, ± is the standard deviation over searches and retraining together."
)
PARTLY = (
    "Some searches were repeated with different seeds, but not for every seed of the retraining: of searched weights, "
    "± is the standard deviation over retraining, and over fewer searches than seeds."
)


def deviation_notes(summary: pd.DataFrame) -> list[str]:
    """What the standard deviations of retrained models are of; nothing if no model has one.

    Args:
        summary: Rows with ``searches``, null without a search, and ``seeds``.
    """
    rows = summary[summary["searches"].notna() & (summary["seeds"] > 1)]
    if rows.empty:
        return []
    if (rows["searches"] == 1).all():
        return [RETRAINING]
    return [SEARCHES if (rows["searches"] == rows["seeds"]).all() else PARTLY]
