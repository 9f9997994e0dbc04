"""Rebuttal table 1b: formulas of a step's time and memory, and measured time and memory by number of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from scalarization.plotting.labels import DIVERGED, TIMES
from scalarization.tables import method_lines
from scalarization.tables.render import EMPTY, NO_VALUE, Block, Entry, Row, Table

#: Column of the summary -> head.
FORMULAS = {
    "forward_passes": "forward passes",
    "backward_passes": "backward passes",
    "additional_computation": "extra computation",
    "additional_storage": "extra storage",
}
#: Marks methods that the paper's table does not have.
NOT_REPORTED = "‡"
NOTES = [
    "Formulas are relative to a step of uniform scalarization, for T tasks and N models. Storage counts gradients. "
    f"Brackets: the paper's formula where it differs from ours. {NOT_REPORTED}: not in the paper's table. In "
    "multi-domain learning without BatchNorm each batch is split by domain. Then T backward passes take about as long "
    "as one.",
    "Time per step and peak memory are relative to uniform scalarization and were measured side by side. Small row: "
    "absolute values of uniform scalarization.",
]


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.table_costs``."""
    blocks = [_block(rows) for _, rows in summary.groupby(["benchmark", "architecture", "batch_size"], sort=False)]
    device = (metadata.get("environment") or {}).get("device")
    return Table(blocks, [*NOTES, *([f"Measured on: {device}."] if device else [])])


def _block(rows: pd.DataFrame) -> Block:
    first = rows.iloc[0]
    counts = sorted(int(count) for count in rows["tasks"].dropna().unique())
    heads = [*FORMULAS.values(), *(f"{quantity}, T={count}" for quantity in ("time", "memory") for count in counts)]

    def lines(method: str, label: str) -> Iterator[Row]:
        of_method = rows[rows["method"] == method]
        formulas = [_formula(of_method.iloc[0], name) for name in FORMULAS]
        by_count = [of_method[of_method["tasks"] == count] for count in counts]
        ratios = [_ratio(part, name) for name in ("time_ratio", "memory_ratio") for part in by_count]
        reported = pd.notna(of_method.iloc[0]["reported_forward_passes"])
        yield Row(label if reported else f"{label}{NOT_REPORTED}", (*formulas, *ratios))
        if method == "uniform":
            absolute = [_milliseconds(part) for part in by_count] + [_mebibytes(part) for part in by_count]
            yield Row("measured", (*[EMPTY] * len(FORMULAS), *absolute), minor=True)

    title = f"{first['benchmark']}, {first['architecture']}, batches of {first['batch_size']}"
    return Block(title, "", tuple(heads), method_lines.method_groups(rows, lines))


def _formula(row: pd.Series, name: str) -> Entry:
    """Our formula, and in brackets the reported one if it is another."""
    ours, reported = row[name], row[f"reported_{name}"]
    if pd.isna(ours):
        return Entry(NO_VALUE if pd.isna(reported) else _with_powers(f"[{reported}]"))
    differs = pd.notna(reported) and reported != ours
    return Entry(_with_powers(ours), _with_powers(f"[{reported}]") if differs else "")


def _with_powers(text: str) -> str:
    return text.replace("^2", "²")


def _ratio(rows: pd.DataFrame, name: str) -> Entry:
    return _measured(rows, name, lambda value: f"{value:.2f}{TIMES}")


def _milliseconds(rows: pd.DataFrame) -> Entry:
    return _measured(rows, "seconds_per_step", lambda value: f"{1000 * value:.3g} ms")


def _mebibytes(rows: pd.DataFrame) -> Entry:
    return _measured(rows, "peak_bytes", lambda value: f"{value / 2**20:.3g} MiB")


def _measured(rows: pd.DataFrame, name: str, text: Callable[[float], str]) -> Entry:
    """What was measured with one number of tasks; a time is NaN if the method, or uniform scalarization, diverged."""
    if not len(rows):
        return Entry(NO_VALUE)
    value = rows[name].iloc[0]
    return Entry(DIVERGED if pd.isna(value) else text(value))
