"""Rows of tables that compare methods: values, what tests over seeds make of them, and what the paper reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from scalarization.analysis import inference, names, reported_numbers, result_files, runs, statistics
from scalarization.analysis.inference import Estimate
from scalarization.analysis.method_lines import (
    BALANCED,
    ComparedMethods,
    Line,
    LineResults,
    of_task,
    results,
    spread_by_task,
)
from scalarization.analysis.statistics import Limits
from scalarization.analysis.table_tests import Column, LineValues, benjamini_hochberg, p_value, welch
from scalarization.methods.info import BASELINE
from scalarization.plan import Plan

#: Columns of the summaries of ``table_methods`` and ``table_main``. ``variant`` is that of the line's own cell;
#: ``listed_under`` is the variant of the condition that it is compared under, another one only if its variant changes
#: nothing but where searched weights come from.
TYPES = {
    **runs.CONDITION_TYPES,
    "listed_under": "string",
    **names.METHOD_TYPES,
    "weight_setting": "Int64",
    "weights": "object",
    **runs.SETTINGS_TYPES,
    "solver_failures": "Int64",
    "solver_steps": "Int64",
    "task": "string",
    "metric": "string",
    **runs.SPREAD_TYPES,
    "paper_std": "float64",
    "interval_dof": "float64",
    "pooled_lines": "Int64",
    "gain_over_uniform": "float64",
    "gain_low": "float64",
    "gain_high": "float64",
    "gain_diverged": "Int64",
    "best": "boolean",
    "best_p": "float64",
    "reported_mean": "float64",
    "reported_std": "float64",
    "difference": "float64",
    "difference_p": "float64",
    "difference_p_adjusted": "float64",
    "differs": "boolean",
}
UNIFORM = Line("uniform", "")
#: Balanced accuracy of a constant answer: all of one class, none of the other.
CONSTANT_BALANCED_ACCURACY = 50.0


def rows(plan: Plan, group: ComparedMethods) -> Iterator[dict[str, Any]]:
    """Rows under :data:`TYPES` of one condition: each line, metric and task, the average over tasks first.

    A condition that is not selected has one row, with nulls.

    Raises:
        DataError: A run file is missing, damaged or incomplete.
    """
    columns = group.columns(plan)
    if not columns["present"]:
        yield {**columns, "listed_under": columns["variant"], "task": names.AVERAGE, **statistics.spread([])}
        return
    columns["listed_under"] = columns["variant"]
    lines = list(results(plan, group))
    yield from _majority_rows(plan, group, columns, lines[0])
    benchmark, reported = group.first.benchmark, _reported_here(plan, group)
    tested = _tested(group.tasks, lines)
    for number, result in enumerate(lines):
        line = result.line
        for metric, values in result.values.items():
            spreads = spread_by_task(group.tasks, values, metric)
            for task in (names.AVERAGE, *sorted(group.tasks)):
                spread = {**spreads[task], **tested[metric, task][number]}
                is_listed = metric == "accuracy" and not line.detail and (line.method, task) in reported
                yield {
                    **columns,
                    "variant": result.variant,
                    **names.describe(*line),
                    "weight_setting": result.weight_setting,
                    "weights": result.weights,
                    **result.settings,
                    **result.solver,
                    "task": task,
                    "metric": metric,
                    **spread,
                    **(_reported_columns(spread, reported[line.method, task], benchmark) if is_listed else {}),
                }


def correct(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a whole table, with ``difference_p`` corrected over all of them (Benjamini and Hochberg).

    If none of our numbers differs from the paper's, at most 5 percent of tables name any that does. If some do, at most
    5 percent of the numbers that are named are expected to be wrong. Holm's correction would also bound the probability
    of a single wrong one where others differ, and with two or three seeds it would name hardly any.
    """
    rows = list(rows)
    tested = [row for row in rows if not math.isnan(row.get("difference_p", math.nan))]
    adjusted = benjamini_hochberg([row["difference_p"] for row in tested])
    for row, p in zip(tested, adjusted, strict=True):
        row.update(difference_p_adjusted=p, differs=p < inference.ALPHA)
    return rows


def _tested(tasks: tuple[str, ...], results: Sequence[LineResults]) -> dict[tuple[str, str], dict[int, dict[str, Any]]]:
    """(metric, task or average) -> number of a line -> what tests over the lines of this column give."""
    uniform = next((n for n, result in enumerate(results) if result.line == UNIFORM), None)
    joint = [n for n, result in enumerate(results) if result.line.method != "single"]
    tested = {}
    for metric in dict.fromkeys(metric for result in results for metric in result.values):
        numbers = [n for n, result in enumerate(results) if metric in result.values]
        places = {number: place for place, number in enumerate(numbers)}
        limits = result_files.limits(metric), result_files.difference_limits(metric)
        for task in (names.AVERAGE, *tasks):
            lines = [LineValues(results[n].seeds, of_task(results[n].adjusted[metric], tasks, task)) for n in numbers]
            column = Column(lines, 1.0 if metric == BALANCED else runs.sign(metric))
            best = column.best([places[n] for n in joint if n in places])
            tested[metric, task] = {
                number: {
                    **_mean_columns(column, place, limits[0]),
                    **_gain_columns(column, place, None if uniform is None else places.get(uniform), limits[1]),
                    "best": place in best.lines,
                    "best_p": best.p.get(place),
                }
                for number, place in places.items()
            }
    return tested


def _mean_columns(column: Column, line: int, limits: Limits) -> dict[str, Any]:
    """The interval of a mean, its degrees of freedom, and from how many lines its error is estimated."""
    estimate, pooled_lines = column.mean(line)
    low, high = _interval(estimate, limits)
    if math.isnan(low):
        return {"low": low, "high": high}
    return {"low": low, "high": high, "interval_dof": estimate.dof, "pooled_lines": pooled_lines}


def _gain_columns(column: Column, line: int, uniform: int | None, limits: Limits) -> dict[str, Any]:
    """Paired difference to uniform weights; nulls without them, and of uniform weights themselves."""
    if uniform is None or line == uniform:
        return {}
    estimate = column.gain(line, uniform)
    low, high = _interval(estimate, limits)
    diverged = column.diverged(line, uniform)
    return {"gain_over_uniform": estimate.value, "gain_low": low, "gain_high": high, "gain_diverged": diverged}


def _interval(estimate: Estimate, limits: Limits) -> tuple[float, float]:
    """The 95 % t interval as far as values are possible; NaN if there is none."""
    low, high = inference.interval(estimate)
    return float(np.maximum(low, limits[0])), float(np.minimum(high, limits[1]))


def _majority_rows(
    plan: Plan, group: ComparedMethods, columns: dict[str, Any], like: LineResults
) -> Iterator[dict[str, Any]]:
    """Rows of a constant answer (:mod:`scalarization.data.majority`), in the metrics of another line.

    Run files of tasks with classes or attributes record its accuracy. There are none for dense tasks.
    """
    from scalarization import storage

    trained = next(cell for cell in group.joint.values() if runs.selected_seeds(plan, cell))
    accuracies = storage.read_metadata(plan.paths.run_file(trained)).get("majority")
    if not accuracies:
        return
    of_metric = {
        "accuracy": [accuracies[task] for task in group.tasks],
        BALANCED: [CONSTANT_BALANCED_ACCURACY] * len(group.tasks),
    }
    for metric in like.values:
        values = np.array([of_metric[metric]])
        for task in (names.AVERAGE, *sorted(group.tasks)):
            yield {
                **columns,
                "group": BASELINE,
                "method": names.MAJORITY,
                "label": names.MAJORITY_LABEL,
                "task": task,
                "metric": metric,
                **statistics.spread([]),
                "mean": float(of_task(values, group.tasks, task)[0]),
            }


def _reported_columns(spread: dict[str, Any], theirs: reported_numbers.Accuracy, benchmark: str) -> dict[str, Any]:
    """What the paper reports, and a test of the difference.

    The paper's deviation of an average takes the tasks to be independent. Ours is computed in the same way. Where ours
    over seeds is larger, the tasks move together, and both are larger by the same factor.
    """
    excess = max(1.0, spread["std"] / spread["paper_std"]) if spread["paper_std"] > 0 else 1.0
    ours = (spread["mean"], excess * spread["paper_std"], spread["seeds"])
    estimate = welch(*ours, theirs.mean, excess * theirs.std, reported_numbers.SEEDS[benchmark])
    return {
        "reported_mean": theirs.mean,
        "reported_std": theirs.std,
        "difference": estimate.value,
        "difference_p": p_value(estimate) if estimate.is_testable else math.nan,
    }


def _reported_here(plan: Plan, group: ComparedMethods) -> dict[tuple[str, str], reported_numbers.Accuracy]:
    """Reported numbers under the same condition: same benchmark, capacity and tasks, variant ``base``."""
    benchmark, architecture = group.first.benchmark, group.first.architecture.name
    same_tasks = set(group.tasks) == reported_numbers.tasks(benchmark, architecture)
    if not (same_tasks and group.first.variant == "base" and plan.benchmarks[benchmark].reported):
        return {}
    return reported_numbers.accuracies()[benchmark, architecture]
