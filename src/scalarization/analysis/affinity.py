"""Affinity and diversity of domains (appendix 2.2), and how much joint training with them helps.

Gontijo-Lopes et al. (ICLR 2021) call an augmentation of high *affinity* if a model trained on clean data keeps its
accuracy on augmented data (accuracy on augmented over accuracy on clean data), and of high *diversity* if its final
training loss is large. The paper carries both over to a domain that is added to another one: the clean data are the
domain to be helped (``task``), the augmented data the domain added to it. So that no joint training enters, both are
taken from SD models, as appendix 2.2 suggests:

- affinity of adding domain j to domain i: test accuracy of the SD model of *i* on j, divided by its accuracy on i;
- diversity that j adds: final training loss of the SD model of *j*, in nats per image: its mean cross-entropy on the
  whole train split at the last epoch, without augmentation and stochastic depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import preconditions, result_files, runs, statistics
from scalarization.benchmarks.base import ClassLabels
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "part": "string",
    **runs.CONDITION_TYPES,
    "task": "string",
    "evaluated": "string",
    "added": "string",
    "metric": "string",
    "affinity_mean": "float64",
    "affinity_std": "float64",
    "diversity_mean": "float64",
    "diversity_std": "float64",
    "weight": "float64",
    **runs.SETTINGS_TYPES,
    **runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Three kinds of rows, told apart by ``part``.

    Returns:
        ``evaluation``: one row per variant, capacity, domain trained on (``task``) and domain ``evaluated``:
        ``mean``, ``std``, ``low``, ``high``, ``by_seed``: test accuracy in percent; ``affinity_*``: that divided by
        the same model's accuracy on its own domain, paired by seed.

        ``training``: one row per variant, capacity and domain: ``mean`` and so on: diversity, the loss of its SD model
        on the train split at the last epoch, in nats per image.

        ``benefit``: one row per task set, variant, capacity and domain (``task``): ``added``, the other domains of the
        task set, joined by ``+``; ``affinity_*`` and ``diversity_*`` of adding them (means over them); ``weight``, p*
        of the domain, null if there is none, chosen from ``settings`` weight settings, of which ``settings_diverged``
        have a diverged run; ``mean`` and so on: joint training at p* - SD on test in percentage points, paired by seed
        and cross-fitted as in figure 2. ``diverged``: how many of the ``seeds`` diverged; then the numbers made of them
        are null.

        A capacity that is not selected has ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    cells = [cell for cell in plan.experiments[runs.experiment_name(plan, artifact)] if cell.method == "single"]
    single = {cell.name: runs.CellResults(plan, cell) for cell in cells if runs.selected_seeds(plan, cell)}
    rows = [row for cell in cells for row in _single_rows(cell, single.get(cell.name))]
    results = runs.results_by_condition(plan, artifact)
    rows += [{"part": "benefit", **row} for row in runs.condition_rows(results, lambda r: _benefit_rows(r, single))]
    return runs.table(rows, TYPES)


def _single_rows(cell: Cell, results: runs.CellResults | None) -> Iterator[dict[str, Any]]:
    columns = {**runs.condition_columns(cell, results is not None), "task": cell.task_set}
    for evaluated in cell.specification.outputs.evaluated:
        yield {
            "part": "evaluation",
            **columns,
            "evaluated": evaluated,
            "metric": "accuracy",
            **statistics.mean_and_std("affinity", _affinity(results, [evaluated]) if results else []),
            **statistics.spread(
                results.values("test", evaluated, "accuracy") if results else [], result_files.limits("accuracy")
            ),
        }
    loss = statistics.spread(_training_loss(results) if results else [], result_files.limits("loss"))
    yield {"part": "training", **columns, "metric": "loss", **loss}


def _benefit_rows(results: runs.ConditionResults, single: dict[str, runs.CellResults]) -> Iterator[dict[str, Any]]:
    baselines = [single[cell.name] for cell in results.condition.single]
    limits = result_files.difference_limits(results.metric)
    for number, task in enumerate(results.condition.tasks):
        others = [n for n in range(len(baselines)) if n != number]
        added = [results.condition.tasks[n] for n in others]
        diversity = np.mean([_training_loss(baselines[n]) for n in others], axis=0)
        yield {
            **results.condition.columns,
            "task": task,
            "added": "+".join(added),
            "metric": results.metric,
            **statistics.mean_and_std("affinity", _affinity(baselines[number], added)),
            **statistics.mean_and_std("diversity", diversity),
            "weight": results.weight(results.optimum, number),
            **statistics.settings_columns(results.scores("validation")),
            **results.cross_fit(results.difference("test")[:, :, number]).spread(limits),
        }


def _affinity(results: runs.CellResults, added: list[str]) -> np.ndarray:
    """Accuracy of an SD model on added domains, mean over them, relative to that on its own [seeds]."""
    own = results.values("test", results.cell.task_set, "accuracy")
    return np.mean([results.values("test", domain, "accuracy") for domain in added], axis=0) / own


def _training_loss(results: runs.CellResults) -> np.ndarray:
    """Loss of an SD model on the whole train split of its domain at the last epoch [seeds], in nats per image."""
    return results.values("train", results.cell.task_set, "loss")


KIND = ArtifactKind(
    "affinity",
    "figure",
    "runs",
    EXPERIMENT,
    summarize,
    (
        preconditions.benchmark_with(
            ClassLabels,
            "'{benchmark}' has tasks, not domains: a model of one task has no output for another; name an experiment "
            "on domains",
        ),
        preconditions.single_baselines,
        preconditions.constant_weights,
    ),
    columns=TYPES,
)
