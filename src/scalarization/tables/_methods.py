"""What tables of methods have in common: cells with spread, the best in bold, reported numbers beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from scalarization.analysis._names import AVERAGE
from scalarization.figures import _style
from scalarization.tables._render import NOTHING, Cell, Group, Row

#: Metric -> decimals that are printed.
DECIMALS = {"l1": 4}
BASELINE = "single"
#: How the paper's kind of deviation is told from ours.
NOTE_SPREAD = (
    "± standard deviation over seeds; of an average, in brackets, the deviation that the paper reports, "
    "the root of the sum of the tasks' variances over T."
)
NOTE_ONE_SEED = "One seed: no deviations."
NOTE_BOLD = "Bold: best of the column among jointly trained methods, with all that are equal as printed."
#: Marks reported means that are outside of our interval.
OUTSIDE = "†"
NOTE_REPORTED = (
    "Small lines: reported in the paper, and in parentheses ours less theirs; "
    f"{OUTSIDE} theirs is outside the 95 % t interval of our mean."
)


def decimals(metric: str) -> int:
    """Decimals of a metric's values."""
    return DECIMALS.get(metric, 2)


def value(row: pd.Series | None, bold: bool = False) -> Cell:
    """Mean and spread of one row of a summary."""
    if row is None or pd.isna(row["mean"]):
        return Cell(NOTHING)
    places = decimals(row["metric"])
    spread = ""
    if not pd.isna(row["std"]):
        spread = f"± {_style.number(row['std'], places)}"
        if row["task"] == AVERAGE:
            spread += f" [{_style.number(row['paper_std'], places)}]"
    return Cell(_style.number(row["mean"], places), spread, bold)


def interval(row: pd.Series | None) -> Cell:
    """95 % t interval of one row of a summary."""
    if row is None or pd.isna(row["low"]):
        return Cell(NOTHING)
    places = decimals(row["metric"])
    return Cell(f"{_style.number(row['low'], places)} to {_style.number(row['high'], places)}")


def reported(row: pd.Series | None) -> Cell:
    """What the paper has for one row of a summary, empty if nothing."""
    if row is None or pd.isna(row["reported_mean"]):
        return Cell("")
    text = f"{row['reported_mean']:.2f}"
    if not pd.isna(row["reported_std"]):
        std = f"{row['reported_std']:.2f}"
        text += f" ± [{std}]" if row["task"] == AVERAGE else f" ± {std}"
    return Cell(text, difference(row))


def difference(row: pd.Series) -> str:
    """Ours less theirs in parentheses, marked if theirs is outside our interval; empty without ours."""
    if pd.isna(row["difference"]):
        return ""
    outside = not pd.isna(row["inside"]) and not row["inside"]
    return f"({_style.number(row['difference'], 2, sign=True)}){OUTSIDE if outside else ''}"


def best(rows: pd.DataFrame) -> set[str]:
    """Labels of the lines whose mean is the best as printed, the baseline left out.

    Args:
        rows: One column of a block: one row per line.
    """
    found = rows[(rows["method"] != BASELINE) & rows["mean"].notna()]
    if found.empty:
        return set()
    places = decimals(found["metric"].iloc[0])
    printed = np.array([float(f"{mean:.{places}f}") for mean in found["mean"]])
    top = printed.min() if found["metric"].iloc[0] == "l1" else printed.max()
    return set(found["label"][printed == top])


def pick(rows: pd.DataFrame, label: str) -> pd.Series | None:
    """The row of a line in one column of a block."""
    found = rows[rows["label"] == label]
    return None if found.empty else found.iloc[0]


def groups(
    rows: pd.DataFrame, lines: Callable[[str, str], Iterable[Row]], order: Callable[[str], tuple] | None = None
) -> list[Group]:
    """Lines of every method of a block, under the headings of the groups.

    Args:
        rows: The block's rows of the summary.
        lines: (method, label) -> its lines.
        order: Sorts methods; None: as they come.
    """
    methods = rows[["group", "method", "label"]].drop_duplicates()
    if order:
        methods = methods.iloc[sorted(range(len(methods)), key=lambda n: order(methods["method"].iloc[n]))]
    return [
        Group(
            "" if set(found["method"]) == {BASELINE} else group,
            [line for m, label in zip(found["method"], found["label"], strict=True) for line in lines(m, label)],
        )
        for group, found in methods.groupby("group", sort=False)
    ]


def notes(rows: pd.DataFrame) -> list[str]:
    """What must be said below a table of methods."""
    found = rows[rows["metric"].notna()]
    said = [NOTE_SPREAD if found["seeds"].max() > 1 else NOTE_ONE_SEED, NOTE_BOLD]
    return [*said, NOTE_REPORTED] if found["difference"].notna().any() else said
