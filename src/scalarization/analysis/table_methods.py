"""Tables B, C, D of the appendix: every method of an experiment, per task and on average, at every capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import method_lines, preconditions, runs
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENTS, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, method, metric and task, ``average`` over tasks among them.

    Returns:
        Columns of the condition (benchmark, task_set, variant, architecture, depth, width, shared_layers, present);
        ``group``, ``method``, ``label`` (its name in tables), in the order of the tables; ``weight_setting``,
        ``weights``: the weight setting that stands for it (of ``grid`` p*, the best of all constant weights on
        validation; of SD and searched weights empty); ``settings``, ``settings_diverged``: how many settings it was
        chosen from, and how many of them have a diverged run; ``task``; ``metric``: ``accuracy`` in percent or ``l1``,
        and ``balanced_accuracy`` where the run file has it; test values at the last epoch: ``mean``, ``std``, ``low``,
        ``high`` (95 % t interval), ``seeds``, ``by_seed``, over seeds; ``paper_std``: the deviation that the paper
        reports, for ``average`` sqrt(sum of the tasks' variances) / T, else ``std``; ``reported_mean``,
        ``reported_std`` (to be compared with ``paper_std``), ``difference`` (ours - theirs), ``within_ci`` (theirs is
        within our t interval) where the paper has this benchmark, capacity, method and exactly these tasks. A capacity
        that is not selected has one row with ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file is missing, damaged or incomplete.
    """
    groups = method_lines.compared_methods(plan, artifact)
    return runs.table((row for group in groups for row in method_lines.rows(plan, group)), method_lines.TYPES)


KIND = ArtifactKind(
    "table_methods",
    "table",
    "runs",
    EXPERIMENTS,
    summarize,
    (preconditions.joint_training,),
    columns=method_lines.TYPES,
)
