"""R table 1b: formulas beside measured time and peak memory, methods by numbers of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.tables import _methods
from scalarization.tables._render import NOTHING, Block, Cell, Row, Table

#: Column of the summary -> head.
FORMULAS = {
    "forward_passes": "forward",
    "backward_passes": "backward",
    "additional_computation": "extra computation",
    "additional_storage": "extra storage",
}
NOTES = [
    "Formulas are relative to a step of uniform scalarization, in T tasks and N models; storage in gradients. "
    "In brackets the paper's, where ours differs; ‡ not in the paper's table. Under multi-domain learning without "
    "BatchNorm the batch is split by domain, and T backward passes cost about one.",
    "Time per step and peak memory relative to uniform, measured side by side; small: uniform itself.",
]


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.table_costs``'s summary."""
    blocks = [_block(rows) for _, rows in summary.groupby(["benchmark", "architecture", "batch_size"], sort=False)]
    device = (facts.get("environment") or {}).get("device")
    return Table(blocks, [*NOTES, *([f"Measured on: {device}."] if device else [])])


def _block(rows: pd.DataFrame) -> Block:
    first = rows.iloc[0]
    counts = sorted(int(count) for count in rows["tasks"].dropna().unique())
    heads = [*FORMULAS.values(), *(f"{what}, T={count}" for what in ("time", "memory") for count in counts)]

    def lines(method: str, label: str) -> Iterator[Row]:
        found = rows[rows["method"] == method]
        formulas = [_formula(found.iloc[0], name) for name in FORMULAS]
        of_count = [found[found["tasks"] == count] for count in counts]
        ratios = [_ratio(part, name) for name in ("time_ratio", "memory_ratio") for part in of_count]
        known = pd.notna(found.iloc[0]["reported_forward_passes"])
        yield Row(label if known else f"{label}‡", (*formulas, *ratios))
        if method == "uniform":
            absolute = [_milliseconds(part) for part in of_count] + [_mebibytes(part) for part in of_count]
            yield Row("measured", (*[Cell("")] * len(FORMULAS), *absolute), minor=True)

    title = f"{first['benchmark']}, {first['architecture']}, batches of {first['batch_size']}"
    return Block(title, "", tuple(heads), _methods.groups(rows, lines))


def _formula(row: pd.Series, name: str) -> Cell:
    ours, theirs = row[name], row[f"reported_{name}"]
    if pd.isna(ours):
        return Cell(NOTHING if pd.isna(theirs) else _powers(f"[{theirs}]"))
    differs = pd.notna(theirs) and theirs != ours
    return Cell(_powers(ours), _powers(f"[{theirs}]") if differs else "")


def _powers(text: str) -> str:
    return text.replace("^2", "²")


def _ratio(found: pd.DataFrame, name: str) -> Cell:
    return Cell(f"{found[name].iloc[0]:.2f}×") if len(found) else Cell(NOTHING)


def _milliseconds(found: pd.DataFrame) -> Cell:
    return Cell(f"{1000 * found['seconds_per_step'].iloc[0]:.3g} ms") if len(found) else Cell(NOTHING)


def _mebibytes(found: pd.DataFrame) -> Cell:
    return Cell(f"{found['peak_bytes'].iloc[0] / 2**20:.3g} MiB") if len(found) else Cell(NOTHING)
