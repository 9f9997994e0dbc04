"""Figure C of the appendix: error on one dense task against error on the other, for every weight setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import figure_b, preconditions, runs
from scalarization.benchmarks.base import MapLabels
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

TYPES = {**figure_b.TYPES, "constant": "float64"}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """As :func:`scalarization.analysis.figure_b.summarize`, with the error of the best constant prediction.

    Returns:
        Columns of figure B, values being mean absolute errors in standard deviations of the train split; ``constant``:
        test value of the constant that is best on the train split under this error, its median; null if every run
        diverged.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    constants: dict[str, float] = {}

    def rows(results: runs.ConditionResults) -> Iterator[dict[str, Any]]:
        for cell, task in zip(results.condition.single, results.condition.tasks, strict=True):
            # A run that diverged has no values, but any other one has this constant, too.
            for of_cell in (cell, *results.condition.joint):
                if task not in constants and (known := _constants(runs.CellResults(plan, of_cell), task)):
                    constants[task] = known[0]
        for row in figure_b.rows(results):
            yield {**row, "constant": constants.get(row["task"])}

    return runs.table(runs.condition_rows(runs.results_by_condition(plan, artifact), rows), TYPES)


def _constants(results: runs.CellResults, task: str) -> list[float]:
    """Test value of the best constant, once for each run that did not diverge."""
    values = np.concatenate(
        [results.values("test", task, "l1_constant", number) for number, _ in results.weight_settings]
    )
    return values[~np.isnan(values)].tolist()


KIND = ArtifactKind(
    "figure_c",
    "figure",
    "runs",
    EXPERIMENT,
    summarize,
    (
        preconditions.benchmark_with(
            MapLabels, "figure_c is about dense tasks, '{benchmark}' has none; take kind figure_b"
        ),
        preconditions.single_baselines,
        preconditions.constant_weights,
    ),
    columns=TYPES,
)
