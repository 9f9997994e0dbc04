"""R table 2: a block per place, methods by what they cost and reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis._names import AVERAGE
from scalarization.figures import _style
from scalarization.tables import _methods, table_methods
from scalarization.tables._render import NOTHING, Block, Cell, Row, Table

PLACE = ["benchmark", "task_set", "architecture"]
NOTE = (
    "Trainings: what it costs to find the weights and to have one model trained with them on the whole training set: "
    "all points of the grid, or N members on the fraction r of the training set and one retraining. Of the grid, the "
    "point with the best validation average; of a search, the last weights of its policy, while the model was trained "
    "with all of it."
)


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.rebuttal_table_2``'s summary."""
    blocks = [_block(rows) for _, rows in summary.groupby(PLACE, sort=False)]
    spread = _methods.NOTE_SPREAD if (summary["seeds"] > 1).any() else _methods.NOTE_ONE_SEED
    return Table(blocks, [spread, NOTE, _methods.NOTE_BOLD])


def _block(rows: pd.DataFrame) -> Block:
    title = table_methods.title(rows.iloc[0], ["task_set"])
    ran = rows[rows["present"].astype(bool)]
    if ran.empty:
        return Block(title, "", (), [], _style.NOT_RUN)
    tasks = list(ran["tasks"].iloc[0])
    columns = {task: ran[ran["task"] == task] for task in (AVERAGE, *tasks)}
    bold = {task: _methods.best(found) for task, found in columns.items()}
    intervals = (columns[AVERAGE]["seeds"] > 1).any()

    def lines(method: str, label: str) -> Iterator[Row]:
        picked = {task: _methods.pick(found, label) for task, found in columns.items()}
        average = picked[AVERAGE]
        cells = [_trainings(average), _methods.value(average, label in bold[AVERAGE])]
        if intervals:
            cells.append(_methods.interval(average))
        cells += [_methods.value(picked[task], label in bold[task]) for task in tasks]
        cells.append(Cell("(" + ", ".join(f"{weight:.2f}" for weight in average["weights"]) + ")"))
        yield Row(label + _search(average), tuple(cells))

    heads = ["trainings", AVERAGE, *(["95 % interval"] if intervals else []), *(t.replace("_", " ") for t in tasks)]
    weights = "p(" + ", ".join(task.replace("_", " ") for task in tasks) + ")"
    return Block(title, "", (*heads, weights), _methods.groups(ran, lines))


def _search(row: pd.Series) -> str:
    if pd.isna(row["population"]):
        return ""
    quantile = "" if pd.isna(row["quantile"]) else f", E={row['epochs_ready']:.0f}, Q={row['quantile']:g}"
    return f", N={row['population']:.0f}{quantile}"


def _trainings(row: pd.Series) -> Cell:
    if pd.isna(row["trainings"]):
        return Cell(NOTHING)
    count = f"{row['trainings']:.3g}"
    return Cell(count, "" if pd.isna(row["cost"]) else f"({row['cost']})")
