"""What searches cost: one block per benchmark and task set with one row per search, and a block of Ray sessions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalarization.plotting.labels import DIVERGED, NOT_RUN
from scalarization.tables.render import EMPTY, NO_VALUE, Block, Entry, Group, Row, Table

SETTING_HEADS = ("N", "E", "Q", "r", "intervals")
COST_HEADS = ("trainings, N r + 1", "measured trainings", "settings", "measured settings", "training time")
CHOICE_HEADS = ("won by", "validation images")
SESSION_HEADS = ("searches", "workers", "wall time", "training / workers", "start-up", "overhead per search")
NOTE_DIVERGED = (
    "Diverged: members whose loss or predictions were not finite in some interval. They are never the best and never "
    "copied, and what they took is counted."
)
NOTES = [
    "N: members of the population. E: epochs of an interval. Q: fraction of the members that exploit others. r: "
    "fraction of the training set that members see.",
    "Trainings, N r + 1: expected cost. N members train on the fraction r, and one model is retrained on the whole "
    "training set. Measured trainings: steps of all members divided by the steps of one training, plus 1. They can be "
    "more than expected, because an epoch of a search is rounded up to whole batches.",
    "Settings: expected number of different weights (or learning rates), N + ceil(N Q) (intervals \N{MINUS SIGN} 1), "
    "or N without exploitation. Measured settings: different ones in the history. They are fewer where a perturbation "
    "multiplies all weights by the same factor, or where PB2 keeps the weights of the member that it exploits. "
    "Training time: seconds of training and validation, summed over members.",
    "Won by: validation score of the best member at the end minus that of the second best, in percentage points of "
    "accuracy or in the unit of the loss. The policy is the best member's. Validation images: what the score rests on.",
    "Overhead per search: (wall time \N{MINUS SIGN} training / workers) / searches of the session. It is the start-up "
    "of Ray and of its workers, which all searches of a session share, the waiting for the last member, the decisions, "
    "and the transfer of states between workers.",
]


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.table_search_cost``."""
    blocks = [
        _block(f"{benchmark}, {task_set}", rows)
        for (benchmark, task_set), rows in summary.groupby(["benchmark", "task_set"], sort=False)
    ]
    sessions = summary[summary["present"].astype(bool)].drop_duplicates("session")
    lines = [_session_line(row) for _, row in sessions.iterrows()]
    notes = [*NOTES, NOTE_DIVERGED] if (summary["diverged"] > 0).any() else NOTES
    return Table([*blocks, Block("Ray sessions", "", SESSION_HEADS, [Group("", lines)])], notes)


def _block(title: str, rows: pd.DataFrame) -> Block:
    diverged = bool((rows["diverged"] > 0).any())
    groups = [
        Group(label, [_search_line(row, diverged) for _, row in searches.iterrows()])
        for label, searches in rows.groupby("label", sort=False)
    ]
    heads = (*SETTING_HEADS, *COST_HEADS, *CHOICE_HEADS, *([DIVERGED] if diverged else []))
    return Block(title, "", heads, groups)


def _search_line(row: pd.Series, diverged: bool) -> Row:
    """The line of a search; with a column for the number of members that diverged if any search has some."""
    label = f"{row['search']}, {row['architecture']}"
    if row["repetitions"] > 1:
        label += f", seed {row['search_seed']}"
    setting = (
        Entry(f"{row['population']:.0f}"),
        Entry(f"{row['epochs_ready']:.0f}"),
        Entry(NO_VALUE if pd.isna(row["quantile"]) else f"{row['quantile']:g}"),
        Entry(f"{row['fraction']:g}"),
        Entry(f"{row['intervals']:.0f}"),
    )
    if not row["present"]:
        return Row(label, (*setting, Entry(NOT_RUN), *[EMPTY] * (len(COST_HEADS + CHOICE_HEADS) - 1 + diverged)))
    cost = (
        Entry(f"{row['trainings']:.2f}"),
        Entry(f"{row['trainings_measured']:.2f}"),
        Entry(f"{row['configurations']:.0f}"),
        Entry(f"{row['configurations_measured']:.0f}"),
        Entry(f"{row['seconds']:,.0f} s"),
    )
    choice = (
        Entry(NO_VALUE if pd.isna(row["won_by"]) else f"{row['won_by']:.3g}"),
        Entry(f"{row['validation_images']:,.0f}"),
    )
    count = [Entry(f"{row['diverged']:.0f} of {row['population']:.0f} members")] if diverged else []
    return Row(label, (*setting, *cost, *choice, *count))


def _session_line(row: pd.Series) -> Row:
    """The session of one search."""
    seconds = (
        row["session_seconds"],
        row["trained_seconds"] / row["workers"],
        row["startup_seconds"],
        row["overhead_seconds"],
    )
    counts = (Entry(f"{row['session_searches']:.0f}"), Entry(f"{row['workers']:.0f}"))
    return Row(row["session"], (*counts, *(Entry(f"{value:,.1f} s") for value in seconds)))
