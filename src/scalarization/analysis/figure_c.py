"""Figure C (paper A 2.1): error on one dense task against error on the other, for every weight setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _runs, figure_b
from scalarization.errors import ConfigError
from scalarization.experiments import Plan

TYPES = {**figure_b.TYPES, "constant": "float64"}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """As :func:`scalarization.analysis.figure_b.summarize`, with what the best constant reaches beside it.

    Returns:
        Columns of figure B, values being mean absolute errors in standard deviations of the train split; ``constant``:
        test value of the constant that is best on the train split under this error, its median.

    Raises:
        ConfigError: The benchmark has no dense tasks; or the experiment has no SD baselines or no joint training with
            constant weights, or ``only:`` left nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    benchmark = plan.config.preset["experiments"][_runs.experiment_name(plan, artifact)]["benchmark"]
    if not plan.info(benchmark).maps:
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: figure_c is about dense tasks, '{benchmark}' has none; "
            "take figure_b"
        )
    constants: dict[str, float] = {}

    def rows(found: _runs.Comparison) -> Iterator[dict[str, Any]]:
        for cell, task in zip(found.place.single, found.place.tasks, strict=True):
            if task not in constants:
                constants[task] = float(_runs.Results(plan, cell).values("test", task, "l1_constant")[0])
        for row in figure_b.rows(found):
            yield {**row, "constant": constants[row["task"]]}

    return _runs.table(_runs.place_rows(_runs.comparisons(plan, artifact), rows), TYPES)
