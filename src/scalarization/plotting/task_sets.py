"""Parts of a summary by task set, and the order in which the tasks or domains of a task set are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd


def by_task_set(summary: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Task set, label and rows of every combination of task set and variant, in the summary's order.

    The label names the variant only if the summary has several.
    """
    several = summary["variant"].nunique() > 1
    for (task_set, variant), rows in summary.groupby(["task_set", "variant"], sort=False):
        yield task_set, f"{task_set}, {variant}" if several else task_set, rows


def task_order(metadata: dict[str, Any], task_set: str) -> list[str]:
    """Tasks or domains of a task set, the reference domain first."""
    tasks = metadata["task_sets"][task_set]
    return sorted(tasks, key=lambda task: task != metadata["reference"])


def weight_tasks(metadata: dict[str, Any], task_set: str) -> list[str]:
    """Tasks or domains whose weights are drawn. Of two it is the first, because the two weights sum to 1."""
    tasks = task_order(metadata, task_set)
    return tasks[:1] if len(tasks) == 2 else tasks
