"""Rebuttal table 2: one block per capacity, methods by trainings and test values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis.names import AVERAGE
from scalarization.plotting.labels import DIVERGED
from scalarization.tables import method_lines, searches
from scalarization.tables.render import NO_VALUE, Block, Entry, Row, Table

BLOCK_COLUMNS = ["benchmark", "task_set", "architecture"]
NOTE = (
    "Trainings: cost of finding the weights and of training one model with them on the whole training set. A grid "
    "trains all its points. A search trains N members on the fraction r of the training set, and one model is "
    "retrained. p: the grid point with the best validation average, or the last weights of the search's policy, of the "
    "first policy if the search was repeated. The retrained model uses the whole policy. Values of the grid are those "
    "of each seed at the point that the other seeds choose."
)


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.rebuttal_table_2``."""
    blocks = [_block(rows) for _, rows in summary.groupby(BLOCK_COLUMNS, sort=False)]
    spread = method_lines.NOTE_SPREAD if (summary["seeds"] > 1).any() else method_lines.NOTE_ONE_SEED
    bold = method_lines.bold_note(summary)
    return Table(blocks, [spread, *searches.deviation_notes(summary), NOTE, bold])


def _block(rows: pd.DataFrame) -> Block:
    title = method_lines.capacity_title(rows.iloc[0], ["task_set"])
    present = rows[rows["present"].astype(bool)]
    if present.empty:
        return Block.not_run(title)
    tasks = list(present["tasks"].iloc[0])
    columns = {task: present[present["task"] == task] for task in (AVERAGE, *tasks)}
    best = {task: method_lines.tested_labels(column) for task, column in columns.items()}
    has_interval = (columns[AVERAGE]["seeds"] > 1).any()

    def lines(method: str, label: str) -> Iterator[Row]:
        average = columns[AVERAGE][columns[AVERAGE]["label"] == label].iloc[0]
        cells = {task: method_lines.row_of(column, label) for task, column in columns.items()}
        values = {task: method_lines.mean_entry(cell, label in best[task]) for task, cell in cells.items()}
        entries = [_trainings(average), values[AVERAGE]]
        if has_interval:
            entries.append(method_lines.interval_entry(average))
        entries += [values[task] for task in tasks]
        weights = ", ".join(f"{weight:.2f}" for weight in average["weights"])
        entries.append(Entry(f"({weights})" if weights else DIVERGED))
        yield Row(label + _search_setting(average), tuple(entries))

    names = [task.replace("_", " ") for task in tasks]
    interval = [method_lines.INTERVAL_HEAD] if has_interval else []
    heads = ("trainings", AVERAGE, *interval, *names, f"p({', '.join(names)})")
    return Block(title, "", heads, method_lines.method_groups(present, lines))


def _search_setting(row: pd.Series) -> str:
    """Setting of the search, as it follows the label of the method; empty without a search."""
    if pd.isna(row["population"]):
        return ""
    exploitation = "" if pd.isna(row["quantile"]) else f", E={row['epochs_ready']:.0f}, Q={row['quantile']:g}"
    return f", N={row['population']:.0f}{exploitation}"


def _trainings(row: pd.Series) -> Entry:
    if pd.isna(row["trainings"]):
        return Entry(NO_VALUE)
    return Entry(f"{row['trainings']:.3g}", "" if pd.isna(row["cost"]) else f"({row['cost']})")
