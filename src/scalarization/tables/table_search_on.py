"""Searched on a small model, retrained on a large one: one block per retrained model, one row per searched model."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalarization.plotting.labels import NOT_RUN, TIMES, format_number
from scalarization.tables import method_lines, searches
from scalarization.tables.render import EMPTY, NO_VALUE, Block, Entry, Group, Row, Table, diverged_entry

HEADS = ("gain over uniform", "trainings", "relative to direct", "search time")
BLOCK_COLUMNS = ["benchmark", "task_set", "architecture"]
NOTES = [
    "Average: test average over tasks of models retrained on the whole training set with the policy that the search "
    "found. Gain over uniform: paired by seed.",
    "Trainings: FLOPs of all members of the search and of one retraining, divided by the FLOPs of one training of the "
    "retrained model. Relative to direct: the same, divided by that of the search on the retrained model itself. "
    "Search time: measured seconds of training and validation, summed over members, mean over repetitions of the "
    "search.",
]


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.table_search_on``."""
    blocks = [_block(rows) for _, rows in summary.groupby(BLOCK_COLUMNS, sort=False)]
    has_spread = (summary["seeds"] > 1).any()
    deviation = searches.deviation_notes(summary) if has_spread else [method_lines.NOTE_ONE_SEED]
    return Table(blocks, [*NOTES, *deviation])


def _block(rows: pd.DataFrame) -> Block:
    title = method_lines.capacity_title(rows.iloc[0], ["task_set"])
    if not rows["present"].any():
        return Block.not_run(title)
    has_interval = bool((rows["seeds"] > 1).any())
    heads = ("average", *([method_lines.INTERVAL_HEAD] if has_interval else []), *HEADS)
    return Block(title, "", heads, [Group("", [_line(row, has_interval) for _, row in rows.iterrows()])])


def _line(row: pd.Series, has_interval: bool) -> Row:
    label = row["label"]
    if not pd.isna(row["searched_on"]):
        direct = row["searched_on"] == row["architecture"]
        label += f", N={row['population']:.0f}, searched on {'itself' if direct else row['searched_on']}"
    if not row["present"]:
        return Row(label, (Entry(NOT_RUN), *[EMPTY] * (len(HEADS) + has_interval)))
    entries = [diverged_entry(row["diverged"], row["seeds"]) if row["diverged"] else _mean(row)]
    if has_interval:
        entries.append(method_lines.interval_entry(row))
    gain = Entry(NO_VALUE)
    if not pd.isna(row["gain_diverged"]) and row["method"] != "uniform":
        gain = method_lines.gain_entry(row)
    entries += [
        gain,
        Entry(f"{row['trainings']:.2f}"),
        Entry(NO_VALUE if pd.isna(row["of_direct"]) else f"{row['of_direct']:.2f}{TIMES}"),
        Entry(NO_VALUE if pd.isna(row["search_seconds"]) else f"{row['search_seconds']:,.0f} s"),
    ]
    return Row(label, tuple(entries))


def _mean(row: pd.Series) -> Entry:
    places = method_lines.decimals(row["metric"])
    return Entry(format_number(row["mean"], places), method_lines.deviation(row["std"], places))
