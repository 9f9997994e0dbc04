"""What the claims on methods have in common: which methods there are, and one method minus another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from scalarization.analysis import names, searches
from scalarization.analysis.claims.base import Comparison, Unit, difference
from scalarization.analysis.claims.evidence import Evidence, Group, mean_over_capacities
from scalarization.analysis.method_lines import Line
from scalarization.methods.info import BUILT, SCALARIZATION
from scalarization.plan.cells import Cell

#: Methods that search for a schedule of weights with a population.
POPULATION_BASED = ("pbt", "pb2")
#: Of an estimate that rests on one search: retraining with its policy says nothing about the next search.
ONE_SEARCH = "one search: the interval does not cover another search"
#: Of an estimate that rests on several searches which are no independent groups, such as one at each capacity.
SHARED = "{} searches, shared by all seeds: the interval does not cover other searches"


def optimisers() -> tuple[str, ...]:
    """MTO methods, in the order of tables: those that act on the tasks' losses or gradients at every step.

    RLW is not one of them. It declares itself as scalarization, with weights drawn at random.
    """
    methods = (m for m in names.METHODS.values() if m.kind in BUILT and m.group != SCALARIZATION)
    return tuple(method.name for method in sorted(methods, key=lambda method: method.order))


def pairs(evidence: Evidence, first: Line, second: Line, margin: float | None = None) -> Iterator[Comparison]:
    """One line minus another: a comparison per benchmark and task set on which both were trained.

    Args:
        evidence: What was run.
        first: A line with one weight setting.
        second: Another one.
        margin: Margin of the hypothesis, as in :class:`Evidence`.
    """
    for groups in evidence.groups_with(first, second):
        yield paired([(group, first, second) for group in groups], title(first, second), margin)


def paired(matched: Sequence[tuple[Group, Line, Line]], name: str, margin: float | None = None) -> Comparison:
    """A comparison of test averages over tasks, of first lines minus second lines on one task set.

    Args:
        matched: Groups, such as capacities of one family, with a first and a second line of each. They are averaged
            within each seed that all have; the note has the others.
        name: What is compared.
        margin: As in :func:`pairs`.
    """
    gains = [group.gain(first, second) for group, first, second in matched]
    seeds = sorted(set.intersection(*map(set, gains)))
    cells = [group.methods.joint[line] for group, *lines in matched for line in lines]
    values, unit, note = independent(dict(zip(seeds, mean_over_capacities(gains), strict=True)), cells)
    group = matched[0][0]
    comparison = difference(
        values,
        benchmark=group.benchmark,
        task_set=group.task_set,
        comparison=name,
        statistic=f"test average, {group.unit}",
        capacity=group.evidence.capacity(cells),
        margin=margin,
        unit=unit,
    )
    return noted(comparison, note, group.evidence.note_on_seeds(seeds, cells))


def independent(by_seed: Mapping[int, float], cells: Iterable[Cell]) -> tuple[list[float], Unit, str]:
    """One value per independent unit: per seed or, where several seeds share a search, per group of these.

    A run of seed s takes its weights from search number s mod K. Seeds that share a search of any of the cells depend
    on each other, and so do those that are connected by others: with K = 2 on one side and K = 3 on the other, all are.

    Args:
        by_seed: Seed -> value.
        cells: All cells that the values come from.

    Returns:
        The values, averaged over connected seeds; what there is one of; and a note on that. If all seeds are connected,
        there is one value per seed, and the note says what their spread does not cover.
    """
    seeds_of: dict[str, set[int]] = {}
    for reference in filter(None, (cell.specification.search for cell in cells)):
        for seed in by_seed:
            seeds_of.setdefault(reference.of_seed(seed).name, set()).add(seed)
    connected: list[set[int]] = []
    for seeds in seeds_of.values():
        sharing = [other for other in connected if other & seeds]
        connected = [*(other for other in connected if not other & seeds), seeds.union(*sharing)]
    if len(connected) == 1:
        return list(by_seed.values()), "seeds", ONE_SEARCH if len(seeds_of) == 1 else SHARED.format(len(seeds_of))
    if not connected or len(connected) == len(by_seed):
        return list(by_seed.values()), "seeds", ""
    values = [float(np.mean([by_seed[seed] for seed in sorted(seeds)])) for seeds in sorted(connected, key=min)]
    return values, "searches", f"{len(seeds_of)} searches: seeds that share one are averaged"


def title(first: Line, second: Line) -> str:
    """``PBT - PCGrad``."""
    return f"{names.LABELS[first.method]} - {names.LABELS[second.method]}"


def noted(comparison: Comparison, *notes: str) -> Comparison:
    """A comparison with further notes."""
    return dataclasses.replace(comparison, note="; ".join(filter(None, (comparison.note, *notes))))


def trainings(group: Group, line: Line) -> float:
    """Trainings that a line takes with one seed: N r + 1 with a search, else 1.

    A grid, whose points are all trained, takes as many as it has points.
    """
    results = group.lines[line]
    search = group.evidence.plan.search_of(results.cell)
    return searches.num_trainings(search) if search else float(len(results.weight_settings))
