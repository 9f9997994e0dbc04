"""Main-text tables 1 and 2: the average over tasks of every method, on several benchmarks and capacities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scalarization.analysis import method_lines, method_rows, names, preconditions, reported_numbers, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENTS, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """As ``table_methods``, for several experiments, with the rows of ``average`` only and one line per method.

    Of searched weights the line is what the paper's tables have: the whole policy of a search on the same architecture.

    Returns:
        The columns of ``table_methods``. Of a benchmark of the paper, rows without an ``architecture`` hold what the
        authors' poster reports (``reported_mean``, ``reported_std``); it does not state the capacity.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file is missing, damaged or incomplete.
    """
    return runs.table(method_rows.correct(_rows(plan, artifact)), method_rows.TYPES)


def _rows(plan: Plan, artifact: str) -> Iterator[dict[str, Any]]:
    groups = method_lines.compared_methods(plan, artifact)
    for group in groups:
        undetailed = {line: cell for line, cell in group.joint.items() if not line.detail}
        reduced = replace(group, joint=undetailed or group.joint)
        yield from (row for row in method_rows.rows(plan, reduced) if row["task"] == names.AVERAGE)
    for benchmark in dict.fromkeys(group.first.benchmark for group in groups):
        if not plan.benchmarks[benchmark].reported:
            continue
        for method, theirs in reported_numbers.poster().get(benchmark, {}).items():
            yield {
                "benchmark": benchmark,
                "present": True,
                **names.describe(method),
                "task": names.AVERAGE,
                "metric": "accuracy",
                **statistics.spread([]),
                "reported_mean": theirs.mean,
                "reported_std": theirs.std,
            }


KIND = ArtifactKind(
    "table_main", "table", "runs", EXPERIMENTS, summarize, (preconditions.joint_training,), columns=method_rows.TYPES
)
