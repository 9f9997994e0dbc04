"""Tables B, C, D of the appendix: every method of an experiment, per task and on average, at every capacity."""

from __future__ import annotations

import pandas as pd

from scalarization.analysis import _methods, _runs
from scalarization.experiments import Plan


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per task set, variant, capacity, method, metric and task, ``average`` over tasks among them.

    Returns:
        Columns of the place (benchmark, task_set, variant, architecture, depth, width, shared_layers, present);
        ``group``, ``method``, ``label`` (its name in tables), in the order of the tables; ``member``, ``weights``: the
        weight setting that stands for it (of ``grid`` p*, the best of all constant weights on validation; of SD and
        searched weights empty); ``task``; ``metric``: ``accuracy`` in percent or ``l1``, and ``balanced_accuracy``
        where there is one; test values at the last epoch: ``mean``, ``std``, ``low``, ``high`` (95 % t interval),
        ``seeds``, ``by_seed``, over seeds; ``paper_std``: the deviation that the paper reports, for ``average``
        sqrt(sum of the tasks' variances) / T, else ``std``; ``reported_mean``, ``reported_std`` (to be compared with
        ``paper_std``), ``difference`` (ours - theirs), ``inside`` (theirs is within our t interval) where the paper has
        this benchmark, capacity, method and exactly these tasks. A capacity that was left out has one row with
        ``present`` false and nulls.

    Raises:
        ConfigError: Nothing is trained jointly, or ``only:`` left nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    found = (row for place in _methods.places(plan, artifact) for row in _methods.rows(plan, place))
    return _runs.table(found, _methods.TYPES)
