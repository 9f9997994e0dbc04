"""Tables B, C, D of the appendix: every method of an experiment, per task and on average, at every capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalarization.analysis import method_lines, method_rows, preconditions, runs
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENTS, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, method, metric and task, ``average`` over tasks among them.

    The first line is what a model reaches that always answers the most frequent class of the training split;
    ``method`` is ``majority``. Dense tasks have none.

    Returns:
        Columns of the condition (benchmark, task_set, variant, architecture, depth, width, shared_layers, present);
        ``group``, ``method``, ``label`` (its name in tables), in the order of the tables; ``weight_setting``,
        ``weights``: the weight setting that stands for it (of ``grid`` p*, the best of all constant weights on
        validation; of SD and searched weights empty); ``settings``, ``settings_diverged``: how many settings it was
        chosen from, and how many of them have a diverged run; ``task``; ``metric``: ``accuracy`` in percent or ``l1``,
        and ``balanced_accuracy`` where the run file has it.

        Test values at the last epoch, those of ``grid`` cross-fitted (:mod:`scalarization.analysis.cross_fitting`):
        ``mean``, ``std``, ``seeds``, ``diverged`` of them, ``by_seed``; ``paper_std``: the deviation that the paper
        reports, for ``average`` sqrt(sum of the tasks' variances) / T, else ``std``. What follows is described in
        :mod:`scalarization.analysis.table_tests`: ``low``, ``high``: 95 % t interval of the mean; ``interval_dof``: its
        degrees of freedom; ``pooled_lines``: from how many lines its error is estimated; ``gain_over_uniform``,
        ``gain_low``, ``gain_high``: difference to uniform weights, paired by seed and positive where better, with its
        95 % t interval; ``gain_diverged``: at how many seeds a run of either diverged; ``best``: whether the line has
        the best mean of its column among jointly trained ones or is not separated from it, false for all if none is
        separated; ``best_p``: adjusted p-value of its difference to the best one.

        Where the paper has this benchmark, capacity, method and exactly these tasks: ``reported_mean``,
        ``reported_std`` (to be compared with ``paper_std``), ``difference`` (ours - theirs), ``difference_p`` of
        Welch's t test, ``difference_p_adjusted`` over the whole table, and ``differs``, whether that is below 5
        percent. A capacity that is not selected has one row with ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiments.
        DataError: A run file is missing, damaged or incomplete.
    """
    groups = method_lines.compared_methods(plan, artifact)
    rows = (row for group in groups for row in method_rows.rows(plan, group))
    return runs.table(method_rows.correct(rows), method_rows.TYPES)


KIND = ArtifactKind(
    "table_methods",
    "table",
    "runs",
    EXPERIMENTS,
    summarize,
    (preconditions.joint_training,),
    columns=method_rows.TYPES,
)
