"""C11: PBT matches grid search (rebuttal table 2).

The paper says that PBT does so at lower cost. The cost is no estimate with an error: the notes have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scalarization.analysis import runs, statistics
from scalarization.analysis.claims.base import Claim, Comparison, difference
from scalarization.analysis.claims.evidence import Evidence, Group, in_points
from scalarization.analysis.claims.method_pairs import independent, noted, title, trainings
from scalarization.analysis.cross_fitting import cross_fit
from scalarization.analysis.method_lines import Line

PBT, GRID = Line("pbt", ""), Line("grid", "")


def compare(evidence: Evidence) -> Iterator[Comparison]:
    """Models retrained with PBT's whole policy minus the best point of the grid, capacities averaged.

    The best point for a seed is the one with the best mean validation average over the other seeds
    (:mod:`scalarization.analysis.cross_fitting`), of the seeds that both have. The note has the trainings that each
    takes with one seed: N r + 1 of PBT, and the points of the grid.
    """
    for groups in evidence.groups_with(PBT, GRID):
        seeds = sorted(set.intersection(*(set(group.lines[line].seeds) for group in groups for line in (PBT, GRID))))
        gains = np.mean([_gain(group, seeds) for group in groups], axis=0)
        cells = [group.methods.joint[PBT] for group in groups]
        values, unit, note = independent(dict(zip(seeds, gains.tolist(), strict=True)), cells)
        comparison = difference(
            values,
            benchmark=groups[0].benchmark,
            task_set=groups[0].task_set,
            comparison=title(PBT, GRID),
            statistic=f"test average, {groups[0].unit}",
            capacity=evidence.capacity(cells),
            margin=evidence.margin,
            unit=unit,
        )
        cells += [group.methods.joint[GRID] for group in groups]
        yield noted(comparison, note, evidence.note_on_seeds(seeds, cells), _cost(groups))


def _gain(group: Group, seeds: Sequence[int]) -> np.ndarray:
    """PBT minus the best point of the grid, in points, adjusted for the choice of the point [seeds]."""
    pbt, grid = group.lines[PBT], group.lines[GRID]
    metric = pbt.metric

    def averages(results: runs.CellResults, split: str, number: int = 0) -> np.ndarray:
        """Averages over tasks [seeds]."""
        rows = [results.seeds.index(seed) for seed in seeds]
        return results.by_task(split, metric, number)[rows].mean(axis=1)

    numbers = [number for number, _ in grid.weight_settings]
    scores = runs.sign(metric) * np.stack([averages(grid, "validation", number) for number in numbers])
    test = np.stack([averages(grid, "test", number) for number in numbers])
    ours = averages(pbt, "test")

    def gain_over(point: int | None) -> np.ndarray:
        """NaN if every point has a diverged run."""
        return np.full(len(seeds), np.nan) if point is None else in_points(ours - test[point], test[point], metric)

    return cross_fit(lambda choosing: statistics.best(scores[:, list(choosing)]), gain_over, len(seeds)).adjusted


def _cost(groups: list[Group]) -> str:
    """Trainings of both, summed over capacities, with one seed."""
    pbt, grid = (sum(trainings(group, line) for group in groups) for line in (PBT, GRID))
    return f"trainings: {pbt:.4g} of PBT (N r + 1), {grid:.4g} of the grid (points), ratio {pbt / grid:.2f}"


CLAIM = Claim(
    11,
    "PBT matches grid search.",
    "rebuttal table 2",
    "not_worse",
    compare,
    {
        "supported": "PBT is not worse than grid search by the margin; the notes say what both take.",
        "contradicted": "PBT is worse than grid search, by more than the margin.",
        "undecided": "It is open whether PBT is worse than grid search by the margin.",
    },
)
