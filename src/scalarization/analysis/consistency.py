"""Consistency of p* (paper A 4): does it move with capacity, and can a search on one capacity serve another?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scalarization.analysis import _runs, _statistics
from scalarization.experiments import Plan

#: What the paper reports of p* of the reference domain, benchmark -> (where, low, high): twice in A 2.1, then in A 4.
#: The statements disagree.
REPORTED = {"cifar_stl": (("low width", 0.3, 0.4), ("larger models", 0.1, 0.3), ("always", 0.2, 0.4))}
TYPES = {
    "part": "string",
    **_runs.PLACE_TYPES,
    **_runs.CANDIDATE_TYPES,
    "metric": "string",
    "gap": "float64",
    "gap_error": "float64",
    "within_error": "boolean",
    "seeds_choosing": "Int64",
    "source": "string",
    "procedure": "string",
    "candidates_left": "Int64",
    **_runs.SPREAD_TYPES,
    "where": "string",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Three kinds of rows, told apart by ``part``.

    Returns:
        ``optimum``: one row per task set, variant, capacity, weight setting and task, with the columns of the place,
        ``method``, ``member``, ``heuristic``, ``optimum`` (whether it is p*), ``task``, ``weight``, ``metric``;
        ``mean``, ``std``, ``low``, ``high``, ``by_seed``: validation average over tasks, in percent for accuracy;
        ``gap``, by how much it is worse than p*'s (mean over seeds, paired), and its standard error ``gap_error``;
        ``within_error``, whether the gap is at most one standard error (with one seed: only p* itself);
        ``seeds_choosing``, how many seeds alone would choose this setting.

        ``regret``: one row per pair of capacities, the place being the one trained, ``source`` the architecture
        searched on, ``procedure`` what is done: ``reuse`` takes the source's p*; ``refine`` searches again, but only
        among the settings within one standard error of the source's best (``candidates_left`` of them). ``mean``,
        ``std``, ``low``, ``high``, ``by_seed``: test average over tasks of the place's own p* less that of the
        weights so found, paired by seed, positive where searching elsewhere costs something. All choices are made on
        validation, so it can be negative.

        ``reported``: what the paper says of p* of the reference domain (``task``): ``where``, ``low``, ``high``.

        A capacity that was left out has one ``optimum`` row per task with ``present`` false, and no ``regret`` rows.

    Raises:
        ConfigError: The experiment has no SD baselines, or no joint training with constant weights, or ``only:`` left
            nothing of it.
        DataError: A run file is missing, damaged or incomplete.
    """
    found = _runs.comparisons(plan, artifact)
    groups: dict[tuple[str, str], list[_runs.Comparison]] = {}
    for place, comparison in found:
        if comparison:
            groups.setdefault((place.task_set, place.key["variant"]), []).append(comparison)
    rows = [{"part": "optimum", **row} for row in _runs.place_rows(found, _optimum_rows)]
    rows += [{"part": "regret", **row} for group in groups.values() for row in _regret_rows(group)]
    rows += [{"part": "reported", **row} for row in _reported_rows(plan, artifact)]
    return _runs.table(rows, TYPES)


def _optimum_rows(found: _runs.Comparison) -> Iterator[dict[str, Any]]:
    scores = found.scores("validation")
    gap, error = _statistics.gaps(scores)
    within = _statistics.within_error(scores)
    for candidate in range(len(found.candidates)):
        for task in range(len(found.place.tasks)):
            yield {
                **found.describe(candidate, task),
                "metric": found.metric,
                "gap": gap[candidate],
                "gap_error": error[candidate],
                "within_error": within[candidate],
                "seeds_choosing": found.optimum_by_seed.count(candidate),
                **_statistics.spread(_runs.SIGN[found.metric] * scores[candidate]),
            }


def _regret_rows(group: list[_runs.Comparison]) -> Iterator[dict[str, Any]]:
    """Rows for every ordered pair of capacities; the same weight settings were trained at all of them."""
    for trained in group:
        test = trained.scores("test")
        validation = trained.scores("validation")
        for source in group:
            promising = np.flatnonzero(_statistics.within_error(source.scores("validation")))
            refined = promising[_statistics.best(validation[promising])]
            for procedure, choice in (("reuse", source.optimum), ("refine", refined)):
                yield {
                    **trained.place.key,
                    "metric": trained.metric,
                    "source": source.place.key["architecture"],
                    "procedure": procedure,
                    "candidates_left": len(promising) if procedure == "refine" else 1,
                    **_statistics.spread(test[trained.optimum] - test[choice]),
                }


def _reported_rows(plan: Plan, artifact: str) -> Iterator[dict[str, Any]]:
    experiment = plan.config.preset["experiments"][_runs.experiment_name(plan, artifact)]
    benchmark = experiment["benchmark"]
    if plan.info(benchmark).reported:
        reference = plan.config.preset["benchmarks"][benchmark]["reference"]
        for where, low, high in REPORTED.get(benchmark, ()):
            yield {
                "benchmark": benchmark,
                "task": reference,
                "where": where,
                "low": low,
                "high": high,
            }
