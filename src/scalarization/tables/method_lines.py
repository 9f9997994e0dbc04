"""What tables of methods share: entries with spread, bold, differences to uniform, and the paper's numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from scalarization.analysis.names import AVERAGE, MAJORITY, MAJORITY_LABEL
from scalarization.analysis.table_tests import FEW_SEEDS
from scalarization.plotting.labels import format_number
from scalarization.tables.render import EMPTY, NO_VALUE, Entry, Group, Row, diverged_entry

#: Metric -> decimals that are printed; 2 for any other metric.
DECIMALS = {"l1": 4}
BASELINE = "single"
#: Of these lines nothing is trained jointly; they stand above the groups of methods.
BASELINES = {MAJORITY, BASELINE}
#: A difference to uniform weights, and its interval.
GAIN = ("gain_over_uniform", "gain_low", "gain_high")
#: Columns that tell conditions apart.
CONDITION = ("benchmark", "task_set", "listed_under", "architecture")
INTERVAL_HEAD, GAIN_HEAD = "95 % interval", "vs uniform"
NOTE_SPREAD = (
    "±: standard deviation over seeds. For an average, the number in brackets is the deviation that the paper reports: "
    "the square root of the sum of the tasks' variances, divided by the number of tasks T."
)
NOTE_ONE_SEED = "One seed: no standard deviations."
#: Marks reported means that differ from ours.
OUTSIDE = "†"
NOTE_OUTSIDE = f"{OUTSIDE}: the reported mean is outside the 95 % t interval of our mean."
NOTE_TESTED = (
    "Bold: the best mean of its column among jointly trained methods, and every line that is not separated from it by "
    "a t test, paired by seed, at 5 percent after Holm's correction over all pairs of lines of the column. A column in "
    "which no line is separated from the best has no bold: its order is no ranking."
)
NOTE_NONE_SEPARATED = (
    "Nothing is bold: in no column is any line separated from the best mean by a t test, paired by seed, at 5 percent "
    "after Holm's correction over all pairs of lines of the column. The order of the lines is no ranking."
)
NOTE_UNTESTED = "Nothing is bold, because nothing can be tested with one seed: the order of the lines is no ranking."
NOTE_INTERVAL = (
    "95 % intervals are t intervals, each for its own line, not for all lines together. They cover other seeds, not "
    "other test images."
)
NOTE_GAIN = (
    "vs uniform: mean difference to uniform weights, paired by seed, positive where better, with its 95 % interval."
)
NOTE_POOLED = (
    f"With fewer than {FEW_SEEDS} seeds their error is estimated from all lines of a block, which are taken to vary "
    "alike over seeds."
)
NOTE_SHARED = (
    "Some intervals of averages are wide because the seeds move all lines of the block together, so that more lines "
    "say no more about a mean; differences to uniform do not suffer from that."
)
NOTE_MAJORITY = (
    f"{MAJORITY_LABEL}: always the most frequent class of the training split, of each domain or attribute, without "
    "looking at the image."
)
NOTE_REPORTED = "Small rows: reported in the paper. Parentheses: our mean minus the reported mean."
NOTE_DIFFERS = (
    f"{OUTSIDE}: the two means differ by Welch's t test, with the reported deviation and seeds, after the correction "
    "of Benjamini and Hochberg (false discovery rate 5 percent) over all {count} numbers compared in this table."
)


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
    """Our mean minus the reported one in parentheses, marked if they differ; empty without ours.

    Tables whose reported numbers have no deviations have ``within_ci`` in place of ``differs``.
    """
    if pd.isna(row["difference"]):
        return ""
    verdict = row["differs"] if "differs" in row else not row["within_ci"] if not pd.isna(row["within_ci"]) else False
    outside = not pd.isna(verdict) and bool(verdict)
    return f"({format_number(row['difference'], 2, sign=True)}){OUTSIDE if outside else ''}"


def gain_entry(row: pd.Series) -> Entry:
    """Gain over a baseline; empty without one, ``diverged`` if a run of either did."""
    if pd.isna(row["gain_diverged"]):
        return EMPTY
    if row["gain_diverged"]:
        return diverged_entry(row["gain_diverged"], row["seeds"])
    places = decimals(row["metric"])
    return Entry(format_number(row["gain"], places, sign=True), deviation(row["gain_std"], places))


def over_uniform_entry(row: pd.Series | None) -> Entry:
    """Difference to uniform weights with its interval; ``diverged`` if a run of either did."""
    if row is None or pd.isna(row["gain_diverged"]):
        return Entry(NO_VALUE)
    if row["gain_diverged"]:
        return diverged_entry(row["gain_diverged"], row["seeds"])
    places = decimals(row["metric"])
    gain, low, high = (format_number(row[name], places, sign=True) for name in GAIN)
    return Entry(gain, "" if pd.isna(row["gain_low"]) else f"({low} to {high})")


def tested_labels(rows: pd.DataFrame) -> set[str]:
    """Labels of the lines that tests leave as the best of one column of a block; empty if they separate none."""
    return set(rows["label"][rows["best"].fillna(False).astype(bool)])


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
        keys = [(method != MAJORITY, order(method)) for method in methods["method"]]
        methods = methods.iloc[sorted(range(len(methods)), key=keys.__getitem__)]
    return [
        Group(
            "" if set(entries["method"]) <= BASELINES else group,
            [row for m, label in zip(entries["method"], entries["label"], strict=True) for row in lines(m, label)],
        )
        for group, entries in methods.groupby("group", sort=False)
    ]


def notes(rows: pd.DataFrame, intervals_of_means: bool = True) -> list[str]:
    """Notes below a table of methods.

    Args:
        rows: The summary, without numbers of the poster.
        intervals_of_means: Whether the table prints them, and not only those of differences to uniform.
    """
    present = rows[rows["metric"].notna()]
    several = present["seeds"].max() > 1
    texts = [NOTE_SPREAD, *_interval_notes(present, intervals_of_means)] if several else [NOTE_ONE_SEED]
    texts.append(bold_note(present))
    if (present["method"] == MAJORITY).any():
        texts.append(NOTE_MAJORITY)
    texts += solver_notes(present)
    if present["difference"].notna().any():
        count = int(present["difference_p"].notna().sum())
        texts.append(" ".join([NOTE_REPORTED, *([NOTE_DIFFERS.format(count=count)] if count else [])]))
    return texts


def bold_note(rows: pd.DataFrame) -> str:
    """What bold means in a table, or why nothing is bold.

    Args:
        rows: The summary, with ``seeds`` and ``best``.
    """
    if rows["seeds"].max() <= 1:
        return NOTE_UNTESTED
    return NOTE_TESTED if rows["best"].any() else NOTE_NONE_SEPARATED


def _interval_notes(rows: pd.DataFrame, of_means: bool) -> list[str]:
    """What intervals say, and where their errors come from."""
    few = rows[(rows["seeds"] < FEW_SEEDS) & rows["pooled_lines"].notna()]
    texts = [NOTE_INTERVAL, *([NOTE_GAIN] if rows["gain_diverged"].notna().any() else [])]
    if (few["pooled_lines"] > 1).any():
        texts.append(NOTE_POOLED)
        shared = few[(few["pooled_lines"] > 1) & (few["task"] == AVERAGE)]
        if of_means and (shared["interval_dof"] == shared["seeds"] - 1).any():
            texts.append(NOTE_SHARED)
    return [" ".join(texts)]


def solver_notes(rows: pd.DataFrame) -> list[str]:
    """One note for every line whose solver failed: at how many steps of the runs in which it did."""
    failed = rows[rows["solver_failures"].notna()].drop_duplicates([*CONDITION, "label"])
    return [
        f"{label}: the solver failed at {of_line['solver_failures'].sum():,} of {of_line['solver_steps'].sum():,} "
        "steps of the runs concerned, which used the mean gradient instead."
        for label, of_line in failed.groupby("label", sort=False)
    ]
