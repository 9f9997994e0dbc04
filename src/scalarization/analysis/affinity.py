"""Affinity and diversity of domains (paper A 2.2), beside how much joint training with them helps.

Gontijo-Lopes et al. (ICLR 2021) call an augmentation of high *affinity* if a model trained on clean data keeps its
accuracy on augmented data (accuracy on augmented over accuracy on clean data), and of high *diversity* if its final
training loss is large. The paper carries both over to a domain that is added to another one: the clean data are the
domain to be helped (``task``), the augmented data the domain added to it. So that no joint training enters, both are
taken from SD models, as A 2.2 suggests:

- affinity of adding domain j to domain i: test accuracy of the SD model of *i* on j, divided by its accuracy on i;
- diversity that j adds: final training loss of the SD model of *j*, in nats per image, as it was minimised (mean over
  the batches since the evaluation before the last, augmentation and stochastic depth included).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scalarization.analysis import _runs, _statistics
from scalarization.errors import ConfigError
from scalarization.experiments import Cell, Plan

TYPES = {
    "part": "string",
    **_runs.PLACE_TYPES,
    "task": "string",
    "evaluated": "string",
    "added": "string",
    "metric": "string",
    "affinity_mean": "float64",
    "affinity_std": "float64",
    "diversity_mean": "float64",
    "diversity_std": "float64",
    "weight": "float64",
    **_runs.SPREAD_TYPES,
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Three kinds of rows, told apart by ``part``.

    Returns:
        ``evaluation``: one row per variant, capacity, domain trained on (``task``) and domain ``evaluated``:
        ``mean``, ``std``, ``low``, ``high``, ``by_seed``: test accuracy in percent; ``affinity_*``: that divided by
        the same model's accuracy on its own domain, paired by seed.

        ``training``: one row per variant, capacity and domain: ``mean`` and so on: diversity, the final training
        loss of its SD model in nats per image.

        ``benefit``: one row per task set, variant, capacity and member (``task``): ``added``, the other members,
        joined by ``+``; ``affinity_*`` and ``diversity_*`` of adding them (means over them); ``weight``, p* of the
        task; ``mean`` and so on: joint training at p* - SD on test in percentage points, paired by seed.

        A capacity that was left out has ``present`` false and nulls.

    Raises:
        ConfigError: The benchmark has no domains (setting ``mtl``), or the experiment has no SD baselines or no joint
            training with constant weights, or ``only:`` left nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    benchmark = plan.config.preset["experiments"][_runs.experiment_name(plan, artifact)]["benchmark"]
    if plan.info(benchmark).setting != "mdl":
        raise ConfigError(
            f"{plan.config.preset_file}: artifacts.{artifact}: '{benchmark}' has tasks, not domains: a model of one "
            "task has no output for another; name an experiment on domains"
        )
    cells = [c for c in plan.experiment_cells[_runs.experiment_name(plan, artifact)] if c.method == "single"]
    single = {cell.name: _runs.Results(plan, cell) for cell in cells if _runs.selected_seeds(plan, cell)}
    rows = [row for cell in cells for row in _single_rows(cell, single.get(cell.name))]
    found = _runs.comparisons(plan, artifact)
    rows += [{"part": "benefit", **row} for row in _runs.place_rows(found, lambda c: _benefit_rows(c, single))]
    return _runs.table(rows, TYPES)


def _single_rows(cell: Cell, results: _runs.Results | None) -> Iterator[dict[str, Any]]:
    place = {**_runs.key(cell, cell.task_set, results is not None), "task": cell.task_set}
    for evaluated in cell.specification["evaluated"]:
        accuracy = results.values("test", evaluated, "accuracy") if results else []
        yield {
            "part": "evaluation",
            **place,
            "evaluated": evaluated,
            "metric": "accuracy",
            **_statistics.named("affinity", _affinity(results, [evaluated]) if results else []),
            **_statistics.spread(accuracy),
        }
    loss = _training_loss(results) if results else []
    yield {"part": "training", **place, "metric": "loss", **_statistics.spread(loss)}


def _benefit_rows(found: _runs.Comparison, single: dict[str, _runs.Results]) -> Iterator[dict[str, Any]]:
    results = [single[cell.name] for cell in found.place.single]
    for number, task in enumerate(found.place.tasks):
        others = [n for n in range(len(results)) if n != number]
        added = [found.place.tasks[n] for n in others]
        diversity = np.mean([_training_loss(results[n]) for n in others], axis=0)
        yield {
            **found.place.key,
            "task": task,
            "added": "+".join(added),
            "metric": found.metric,
            **_statistics.named("affinity", _affinity(results[number], added)),
            **_statistics.named("diversity", diversity),
            "weight": found.candidates[found.optimum].weights[number],
            **_statistics.spread(found.difference("test")[found.optimum, :, number]),
        }


def _affinity(results: _runs.Results, added: list[str]) -> np.ndarray:
    """Accuracy of an SD model on added domains, mean over them, relative to that on its own [seeds]."""
    own = results.values("test", results.cell.task_set, "accuracy")
    return np.mean([results.values("test", domain, "accuracy") for domain in added], axis=0) / own


def _training_loss(results: _runs.Results) -> np.ndarray:
    """Final training loss of an SD model [seeds], in nats per image."""
    return results.values("batches", "average", "loss")
