"""What tables of methods share: entries with spread, the best in bold, and numbers reported in the paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from scalarization.analysis.names import AVERAGE
from scalarization.plotting.labels import format_number
from scalarization.tables.render import EMPTY, NO_VALUE, Entry, Group, Row, diverged_entry

#: Metric -> decimals that are printed; 2 for any other metric.
DECIMALS = {"l1": 4}
BASELINE = "single"
#: Columns that tell conditions apart.
CONDITION = ("benchmark", "task_set", "listed_under", "architecture")
INTERVAL_HEAD = "95 % interval"
NOTE_SPREAD = (
    "±: standard deviation over seeds. For an average, the number in brackets is the deviation that the paper reports: "
    "the square root of the sum of the tasks' variances, divided by the number of tasks T."
)
NOTE_ONE_SEED = "One seed: no standard deviations."
NOTE_BOLD = "Bold: best mean of its column among jointly trained methods. Means that print the same are all bold."
#: Marks reported means that are outside our interval.
OUTSIDE = "†"
NOTE_OUTSIDE = f"{OUTSIDE}: the reported mean is outside the 95 % t interval of our mean."
NOTE_REPORTED = f"Small rows: reported in the paper. Parentheses: our mean minus the reported mean. {NOTE_OUTSIDE}"


def capacity_title(row: pd.Series, columns: Sequence[str]) -> str:
    """Title of the block of one capacity: benchmark, further columns of the summary, architecture.

    Args:
        row: Any row of the block.
        columns: Columns that are needed to tell the blocks apart.
    """
    family = row["architecture"].split("_")[0]
    family = "ViT" if family == "vit" else re.sub(r"^resnet", "ResNet-", family)
    layers = int(row["depth"])
    depth = f", {layers} layer{'s' * (layers > 1)}" if family == "ViT" else ""
    shared = "" if pd.isna(row["shared_layers"]) else f", {int(row['shared_layers'])} shared decoder layers"
    architecture = f"{family}{depth}, width {int(row['width'])}{shared}"
    return ", ".join([row["benchmark"], *(row[column] for column in columns), architecture])


def decimals(metric: str) -> int:
    """Number of decimals with which values of a metric are printed."""
    return DECIMALS.get(metric, 2)


def deviation(std: float, places: int) -> str:
    """A standard deviation as it follows a mean; empty with one seed."""
    return "" if pd.isna(std) else f"± {format_number(std, places)}"


def mean_entry(row: pd.Series | None, bold: bool = False) -> Entry:
    """Mean and standard deviations of one row of a summary; ``diverged`` if one of its runs did."""
    if row is not None and row["diverged"]:
        return diverged_entry(row["diverged"], row["seeds"])
    if row is None or pd.isna(row["mean"]):
        return Entry(NO_VALUE)
    places = decimals(row["metric"])
    spread = deviation(row["std"], places)
    if spread and row["task"] == AVERAGE:
        spread += f" [{format_number(row['paper_std'], places)}]"
    return Entry(format_number(row["mean"], places), spread, bold)


def interval_entry(row: pd.Series | None) -> Entry:
    """The 95 % t interval of one row of a summary; ``diverged`` if one of its runs did."""
    if row is not None and row["diverged"]:
        return diverged_entry(row["diverged"], row["seeds"])
    if row is None or pd.isna(row["low"]):
        return Entry(NO_VALUE)
    places = decimals(row["metric"])
    return Entry(f"{format_number(row['low'], places)} to {format_number(row['high'], places)}")


def reported_entry(row: pd.Series | None) -> Entry:
    """What the paper reports for one row of a summary; empty if it reports nothing."""
    if row is None or pd.isna(row["reported_mean"]):
        return EMPTY
    text = f"{row['reported_mean']:.2f}"
    if not pd.isna(row["reported_std"]):
        std = f"{row['reported_std']:.2f}"
        text += f" ± [{std}]" if row["task"] == AVERAGE else f" ± {std}"
    return Entry(text, difference_text(row))


def difference_text(row: pd.Series) -> str:
    """Our mean minus the reported one in parentheses, marked if that is outside our interval; empty without ours."""
    if pd.isna(row["difference"]):
        return ""
    outside = not pd.isna(row["within_ci"]) and not row["within_ci"]
    return f"({format_number(row['difference'], 2, sign=True)}){OUTSIDE if outside else ''}"


def gain_entry(row: pd.Series) -> Entry:
    """Gain over a baseline; empty without one, ``diverged`` if a run of either did."""
    if pd.isna(row["gain_diverged"]):
        return EMPTY
    if row["gain_diverged"]:
        return diverged_entry(row["gain_diverged"], row["seeds"])
    places = decimals(row["metric"])
    return Entry(format_number(row["gain"], places, sign=True), deviation(row["gain_std"], places))


def best_labels(rows: pd.DataFrame) -> set[str]:
    """Labels of the lines with the best mean as printed. The SD baseline and diverged runs do not take part.

    Args:
        rows: One column of a block, with one row per line.
    """
    joint = rows[(rows["method"] != BASELINE) & rows["mean"].notna()]
    if joint.empty:
        return set()
    metric = joint["metric"].iloc[0]
    printed = np.array([float(f"{mean:.{decimals(metric)}f}") for mean in joint["mean"]])
    best = printed.min() if metric == "l1" else printed.max()
    return set(joint["label"][printed == best])


def row_of(rows: pd.DataFrame, label: str) -> pd.Series | None:
    """The row of one line in one column of a block."""
    rows = rows[rows["label"] == label]
    return None if rows.empty else rows.iloc[0]


def method_groups(
    rows: pd.DataFrame, lines: Callable[[str, str], Iterable[Row]], order: Callable[[str], tuple] | None = None
) -> list[Group]:
    """Lines of every method of a block, under the names of the groups of methods.

    Args:
        rows: The block's rows of the summary.
        lines: (method, label) -> its rows of the table.
        order: Sort key of methods; None: in the order of the summary.
    """
    methods = rows[["group", "method", "label"]].drop_duplicates()
    if order:
        methods = methods.iloc[sorted(range(len(methods)), key=lambda n: order(methods["method"].iloc[n]))]
    return [
        Group(
            "" if set(entries["method"]) == {BASELINE} else group,
            [row for m, label in zip(entries["method"], entries["label"], strict=True) for row in lines(m, label)],
        )
        for group, entries in methods.groupby("group", sort=False)
    ]


def notes(rows: pd.DataFrame) -> list[str]:
    """Notes below a table of methods."""
    present = rows[rows["metric"].notna()]
    texts = [NOTE_SPREAD if present["seeds"].max() > 1 else NOTE_ONE_SEED, NOTE_BOLD, *solver_notes(present)]
    return [*texts, NOTE_REPORTED] if present["difference"].notna().any() else texts


def solver_notes(rows: pd.DataFrame) -> list[str]:
    """One note for every line whose solver failed: at how many steps of the runs in which it did."""
    failed = rows[rows["solver_failures"].notna()].drop_duplicates([*CONDITION, "label"])
    return [
        f"{label}: the solver failed at {of_line['solver_failures'].sum():,} of {of_line['solver_steps'].sum():,} "
        "steps of the runs concerned, which used the mean gradient instead."
        for label, of_line in failed.groupby("label", sort=False)
    ]
