"""Appendix table A: groups of attributes, and how often each attribute is positive."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalarization.tables.render import NO_VALUE, Block, Entry, Group, Row, Table

NOTE = (
    "Number of positives in each split, and in parentheses their percentage of the split's images. Attributes of a "
    "group share one weight."
)


def describe(summary: pd.DataFrame, metadata: dict[str, Any]) -> Table:
    """Describe the summary of ``analysis.table_a``."""
    sizes = summary.drop_duplicates("split").set_index("split")["images"]
    counted = summary["positives"].notna().any()
    groups = [
        Group(
            group.replace("_", " "),
            [
                Row(
                    str(attribute).replace("_", " "),
                    tuple(_entry(row) for _, row in splits.iterrows()) if counted else (),
                )
                for attribute, splits in rows.groupby("attribute", sort=False)
            ],
        )
        for group, rows in summary.groupby("group", sort=False)
    ]
    heads = tuple(f"{split} ({size:,})" for split, size in sizes.items()) if counted else ()
    return Table([Block(summary["benchmark"].iloc[0], "", heads, groups)], [NOTE] if counted else [])


def _entry(row: pd.Series) -> Entry:
    if pd.isna(row["positives"]):
        return Entry(NO_VALUE)
    return Entry(f"{row['positives']:,}", f"({row['percent']:.1f} %)")
