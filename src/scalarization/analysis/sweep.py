"""Sweep of learning rate and epochs on the reference domain (appendix 1.1): which the validation split would choose.

It only reports: recipes hold the values that are used, so that the plan is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import result_files, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind, Source
from scalarization.plan.cells import Cell

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **runs.CONDITION_TYPES,
    "lr": "float64",
    "epochs": "Int64",
    "metric": "string",
    "chosen": "boolean",
    "recipe": "boolean",
    **runs.SPREAD_TYPES,
    "test_mean": "float64",
    "test_std": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per variant of the reference domain's SD model, all of one architecture.

    Returns:
        Columns of the condition; ``lr``, ``epochs``; ``metric``; ``chosen``: best mean over seeds of the validation
        value at the last epoch, of a variant without a diverged run; ``recipe``: whether these are the benchmark's own
        values; ``mean``, ``std``, ``low``, ``high``, ``seeds``, ``diverged`` of them, ``by_seed``: the validation
        value; ``test_mean``, ``test_std``, by which nothing is chosen. A variant that is not selected has ``present``
        false and nulls.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    experiment = runs.experiment_name(plan, artifact)
    reference = plan.preset.benchmarks[plan.preset.experiments[experiment].benchmark].reference
    cells = _reference_cells(plan.experiments[experiment], reference)
    if not any(runs.selected_seeds(plan, cell) for cell in cells):
        raise runs.nothing_selected(plan, artifact)
    return runs.table(_rows(plan, cells), TYPES)


def _rows(plan: Plan, cells: list[Cell]) -> Iterator[dict[str, Any]]:
    results = {cell.name: runs.CellResults(plan, cell) for cell in cells if runs.selected_seeds(plan, cell)}
    metric = next(iter(results.values())).metric
    validation = {name: r.values("validation", r.cell.task_set, metric) for name, r in results.items()}
    # With `only:`, variants may have different numbers of seeds; each is compared by the mean over its own.
    scores = np.array([[runs.sign(metric) * values.mean()] for values in validation.values()])
    best = statistics.best(scores)
    chosen = None if best is None else list(results)[best]
    for cell in cells:
        recipe = plan.preset.benchmarks[cell.benchmark].recipe
        lr, epochs = cell.specification.recipe.lr, cell.specification.epochs
        row = {
            **runs.condition_columns(cell, cell.name in results),
            "lr": lr,
            "epochs": epochs,
            "recipe": (lr, epochs) == (recipe.lr, recipe.epochs),
        }
        if cell.name not in results:
            yield {**row, **statistics.spread([])}
            continue
        test = results[cell.name].values("test", cell.task_set, metric)
        yield {
            **row,
            "metric": metric,
            "chosen": cell.name == chosen,
            **statistics.spread(validation[cell.name], result_files.limits(metric)),
            **statistics.mean_and_std("test", test),
        }


def _reference_cells(cells: Iterable[Cell], reference: str) -> list[Cell]:
    """SD models of the reference domain."""
    return [cell for cell in cells if cell.method == "single" and cell.task_set == reference]


def _one_reference_model(source: Source) -> str | None:
    """The experiment trains the reference domain alone, with one architecture."""
    ((name, cells),) = source.experiments.items()
    reference = source.preset.benchmarks[source.preset.experiments[name].benchmark].reference
    alone = _reference_cells(cells, reference)
    if not alone:
        return f"experiment '{name}' has no method single on the reference domain {reference}"
    if len({cell.architecture for cell in alone}) > 1:
        return f"experiment '{name}' has several architectures; a sweep is made with one"
    return None


def _one_model_of_each(source: Source) -> str | None:
    """No two variants have the same learning rate and number of epochs."""
    ((name, cells),) = source.experiments.items()
    reference = source.preset.benchmarks[source.preset.experiments[name].benchmark].reference
    variants: dict[tuple[float, int], str] = {}
    for cell in _reference_cells(cells, reference):
        setting = cell.specification.recipe.lr, cell.specification.epochs
        other = variants.setdefault(setting, cell.variant)
        if other != cell.variant:
            return (
                f"experiment '{name}' has variants '{other}' and '{cell.variant}' with the same lr = {setting[0]:g} "
                f"and epochs = {setting[1]}, and a sweep shows one of each"
            )
    return None


KIND = ArtifactKind(
    "sweep", "figure", "runs", EXPERIMENT, summarize, (_one_reference_model, _one_model_of_each), columns=TYPES
)
