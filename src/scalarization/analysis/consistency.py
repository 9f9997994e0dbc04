"""Consistency of p* (appendix 4): does it move with capacity, and can a search on one capacity serve another?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scalarization.analysis import cross_fitting, preconditions, result_files, runs, statistics
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

Choose = Callable[[Sequence[int]], int | None]
#: A seed is measured at what the others choose, and settings are near the best by an error of two seeds or more.
FEWEST_TO_REFINE = 3
#: What the paper reports of p* of the reference domain, benchmark -> (where, low, high): twice in appendix 2.1, then in
#: appendix 4. The statements disagree.
REPORTED = {"cifar_stl": (("low width", 0.3, 0.4), ("larger models", 0.1, 0.3), ("always", 0.2, 0.4))}
TYPES = {
    "part": "string",
    **runs.CONDITION_TYPES,
    **runs.CANDIDATE_TYPES,
    "metric": "string",
    "gap": "float64",
    "gap_error": "float64",
    "within_error": "boolean",
    "seeds_choosing": "Int64",
    "source": "string",
    "procedure": "string",
    "candidates_left": "Int64",
    "cross_fitted": "boolean",
    **runs.SPREAD_TYPES,
    "where": "string",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """Three kinds of rows, told apart by ``part``.

    Returns:
        ``optimum``: one row per task set, variant, capacity, weight setting and task, with the columns of the
        condition, ``method``, ``weight_setting``, ``heuristic``, ``optimum`` (whether it is p*), ``task``, ``weight``,
        ``metric``; ``mean``, ``std``, ``low``, ``high``, ``by_seed``: validation average over tasks, in percent for
        accuracy; ``gap``, by how much it is worse than p*'s (mean over seeds, paired), and its standard error
        ``gap_error``; ``within_error``, whether the gap is at most one standard error (with one seed: only p* itself);
        ``seeds_choosing``, how many seeds alone would choose this setting; ``diverged``, how many of its runs diverged.
        A setting with a diverged run has no mean and no gap and is never p*.

        ``regret``: one row per pair of capacities, the condition being that of the trained one, ``source`` the
        architecture searched on, ``procedure`` what is done: ``reuse`` takes the source's p*; ``refine`` searches
        again, but only among the settings within one standard error of the source's best (``candidates_left`` many if
        all seeds choose); there are rows of it with three seeds or more. ``mean``, ``std``, ``by_seed``: test average
        over tasks of the trained capacity's own p* minus that of the weights so chosen, paired by seed, positive where
        searching on the source reaches less. It is cross-fitted: for each seed, both settings are chosen on validation
        by the other seeds (:mod:`scalarization.analysis.cross_fitting`), so it can be negative. ``low``, ``high``: its
        interval, which includes what the choices add. ``cross_fitted``: false with one seed, which chooses and is
        measured. The regret is null where a run of either setting diverged or no setting can be chosen.

        ``reported``: what the paper reports of p* of the reference domain (``task``): ``where``, ``low``, ``high``.

        A capacity that is not selected has one ``optimum`` row per task with ``present`` false, and no ``regret`` rows.

    Raises:
        ConfigError: ``only:`` selects nothing of the experiment.
        DataError: A run file is missing, damaged or incomplete.
    """
    results = runs.results_by_condition(plan, artifact)
    groups: dict[tuple[str, str], list[runs.ConditionResults]] = {}
    for condition, result in results:
        if result:
            groups.setdefault((condition.task_set, condition.joint[0].variant), []).append(result)
    rows = [{"part": "optimum", **row} for row in runs.condition_rows(results, _optimum_rows)]
    rows += [{"part": "regret", **row} for group in groups.values() for row in _regret_rows(group)]
    rows += [{"part": "reported", **row} for row in _reported_rows(plan, runs.benchmark_name(plan, artifact))]
    return runs.table(rows, TYPES)


def _optimum_rows(results: runs.ConditionResults) -> Iterator[dict[str, Any]]:
    scores = results.scores("validation")
    gap, error = statistics.gaps(scores)
    within = statistics.within_error(scores)
    for candidate in range(len(results.candidates)):
        for task in range(len(results.condition.tasks)):
            yield {
                **results.columns(candidate, task),
                "metric": results.metric,
                "gap": gap[candidate],
                "gap_error": error[candidate],
                "within_error": within[candidate],
                "seeds_choosing": results.optimum_by_seed.count(candidate),
                **statistics.spread(runs.sign(results.metric) * scores[candidate], result_files.limits(results.metric)),
            }


def _regret_rows(group: list[runs.ConditionResults]) -> Iterator[dict[str, Any]]:
    """Rows for every ordered pair of capacities; the same weight settings were trained at all of them."""
    for trained in group:
        for source in group:
            procedures: dict[str, Choose] = {"reuse": source.choose}
            if len(trained.seeds) >= FEWEST_TO_REFINE:
                procedures["refine"] = functools.partial(_refine, trained, source)
            for procedure, choose in procedures.items():
                lost = _regret(trained, choose)
                yield {
                    **trained.condition.columns,
                    "metric": trained.metric,
                    "source": source.condition.joint[0].architecture.name,
                    "procedure": procedure,
                    "candidates_left": statistics.within_error(source.eligible).sum() if procedure == "refine" else 1,
                    "cross_fitted": lost.is_cross_fitted,
                    **lost.spread(result_files.difference_limits(trained.metric)),
                }


def _regret(trained: runs.ConditionResults, choose: Choose) -> cross_fitting.CrossFitted:
    """Test average over tasks at the trained capacity: own p* minus weights chosen otherwise, cross-fitted.

    Args:
        trained: Results at the trained capacity.
        choose: Places of the seeds that choose -> number of a candidate of ``trained``, None if none can be chosen.

    Returns:
        [seeds], in the unit of the metric, positive where the own p* is better.
    """
    test = trained.scores("test")

    def both(seeds: Sequence[int]) -> tuple[int | None, int | None]:
        return trained.choose(seeds), choose(seeds)

    def difference(choice: tuple[int | None, int | None]) -> np.ndarray:
        own, other = (_at(test, candidate) for candidate in choice)
        return own - other

    return cross_fitting.cross_fit(both, difference, len(trained.seeds))


def _refine(trained: runs.ConditionResults, source: runs.ConditionResults, seeds: Sequence[int]) -> int | None:
    """What some seeds choose at the trained capacity, of the weights within one standard error of the source's best."""
    promising = np.flatnonzero(statistics.within_error(source.eligible[:, list(seeds)]))
    chosen = statistics.best(trained.eligible[promising][:, list(seeds)])
    return None if chosen is None else int(promising[chosen])


def _at(scores: np.ndarray, candidate: int | None) -> np.ndarray:
    """Scores of a candidate [seeds]; NaN for None."""
    return np.full(scores.shape[1], np.nan) if candidate is None else scores[candidate]


def _reported_rows(plan: Plan, benchmark: str) -> Iterator[dict[str, Any]]:
    if plan.benchmarks[benchmark].reported:
        reference = plan.preset.benchmarks[benchmark].reference
        for where, low, high in REPORTED.get(benchmark, ()):
            yield {"benchmark": benchmark, "task": reference, "where": where, "low": low, "high": high}


KIND = ArtifactKind(
    "consistency", "figure", "runs", EXPERIMENT, summarize, preconditions.JOINT_AND_SINGLE, columns=TYPES
)
