"""Costs of searches: a block per benchmark and task set, a line per search; a block of sessions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalarization.figures import _style
from scalarization.tables._render import NOTHING, Block, Cell, Group, Row, Table

HEADS = ("N", "E", "Q", "r", "intervals", "N r + 1", "measured", "configurations", "measured", "training")
SESSION_HEADS = ("searches", "workers", "wall time", "training / workers", "start", "overhead per search")
NOTES = [
    "N r + 1: expected cost in trainings, N members on the fraction r of the training set and one retraining on all "
    "of it; measured: steps of all members over those of one training, plus 1. A step of a search and one of a "
    "training are alike, but an epoch of a search is rounded up to whole batches.",
    "Configurations: weight settings that are tried, N + ceil(N Q) (intervals \N{MINUS SIGN} 1), without copying N; "
    "measured: distinct ones in the history, fewer where a perturbation multiplied all weights by the same factor, or "
    "PB2 kept those that it copied. Training: seconds of training and validation, summed over members.",
    "Overhead per search: (wall time \N{MINUS SIGN} training / workers) / searches of the session: start of Ray and of "
    "its workers, which all searches of a session share, waiting for the last member, decisions, states handed on.",
]


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.table_search_cost``'s summary."""
    blocks = [_block(place, rows) for place, rows in summary.groupby(["benchmark", "task_set"], sort=False)]
    sessions = summary[summary["present"].astype(bool)].drop_duplicates("session")
    lines = [_session(row) for _, row in sessions.iterrows()]
    return Table([*blocks, Block("Sessions of Ray", "", SESSION_HEADS, [Group("", lines)])], NOTES)


def _block(place: tuple[str, str], rows: pd.DataFrame) -> Block:
    groups = [Group(label, [_line(row) for _, row in of.iterrows()]) for label, of in rows.groupby("label", sort=False)]
    return Block(", ".join(place), "", HEADS, groups)


def _line(row: pd.Series) -> Row:
    label = f"{row['search']}, {row['architecture']}"
    quantile = NOTHING if pd.isna(row["quantile"]) else f"{row['quantile']:g}"
    counts = (Cell(f"{row[name]:.0f}") for name in ("population", "epochs_ready"))
    setting = (*counts, Cell(quantile), Cell(f"{row['fraction']:g}"), Cell(f"{row['intervals']:.0f}"))
    if not row["present"]:
        return Row(label, (*setting, Cell(_style.NOT_RUN), *[Cell("")] * 4))
    return Row(
        label,
        (
            *setting,
            Cell(f"{row['trainings']:.2f}"),
            Cell(f"{row['trainings_measured']:.2f}"),
            Cell(f"{row['configurations']:.0f}"),
            Cell(f"{row['configurations_measured']:.0f}"),
            Cell(f"{row['seconds']:,.0f} s"),
        ),
    )


def _session(row: pd.Series) -> Row:
    """The session of a search."""
    seconds = (
        row["session_seconds"],
        row["trained_seconds"] / row["workers"],
        row["startup_seconds"],
        row["overhead_seconds"],
    )
    counts = (Cell(f"{row['session_searches']:.0f}"), Cell(f"{row['workers']:.0f}"))
    return Row(row["session"], (*counts, *(Cell(f"{found:,.1f} s") for found in seconds)))
