"""Table A: groups of attributes, and how often each is positive."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalarization.tables._render import NOTHING, Block, Cell, Group, Row, Table

NOTE = "Positives of each split, and in parentheses percent of its images. Attributes of a group share one weight."


def describe(summary: pd.DataFrame, facts: dict[str, Any]) -> Table:
    """Describe ``analysis.table_a``'s summary."""
    sizes = summary.drop_duplicates("split").set_index("split")["images"]
    counted = summary["positives"].notna().any()
    groups = [
        Group(
            group.replace("_", " "),
            [
                Row(
                    str(attribute).replace("_", " "),
                    tuple(_cell(row) for _, row in found.iterrows()) if counted else (),
                )
                for attribute, found in rows.groupby("attribute", sort=False)
            ],
        )
        for group, rows in summary.groupby("group", sort=False)
    ]
    heads = tuple(f"{split} ({size:,})" for split, size in sizes.items()) if counted else ()
    return Table([Block(summary["benchmark"].iloc[0], "", heads, groups)], [NOTE] if counted else [])


def _cell(row: pd.Series) -> Cell:
    return Cell(NOTHING) if pd.isna(row["positives"]) else Cell(f"{row['positives']:,}", f"({row['percent']:.1f} %)")
