"""The paper's own numbers under the same claims: what its means and deviations say (appendix tables B, C, D).

Tables B to D have a mean and a standard deviation over seeds for every task, but not the value of each seed. Three
things are therefore assumed. The tasks of a model deviate independently of one another: the deviation of their average
is sqrt(sum of the tasks' variances) / T, which is what the paper reports. The seeds of two methods are not paired.
Models of different capacities are independent. A task adds no degrees of freedom, since the tasks of a model share its
seed: a deviation over n seeds has n - 1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from scalarization.analysis import names, reported_numbers
from scalarization.analysis.claims.base import ALL_CAPACITIES, Comparison
from scalarization.analysis.claims.method_pairs import POPULATION_BASED, optimisers, title
from scalarization.analysis.method_lines import Line

if TYPE_CHECKING:
    from scalarization.analysis.inference import Estimate

STATISTIC = "test average, points"


def pbt_against_uniform(margin: float) -> Iterator[Comparison]:
    """C2: PBT minus uniform weights, one comparison per benchmark; capacities are averaged.

    Args:
        margin: Not used: the claim is that the difference is positive.
    """
    yield from _comparisons("pbt", "uniform", None)


def uniform_against_optimisers(margin: float) -> Iterator[Comparison]:
    """C6: uniform weights minus each MTO method, per benchmark; capacities are averaged.

    Args:
        margin: In percentage points.
    """
    for method in optimisers():
        yield from _comparisons("uniform", method, margin)


def searched_against_optimisers(margin: float) -> Iterator[Comparison]:
    """C7: PBT and PB2 minus each MTO method, per benchmark; capacities are averaged.

    Args:
        margin: In percentage points.
    """
    for searched in POPULATION_BASED:
        for method in optimisers():
            yield from _comparisons(searched, method, margin)


def population_size(margin: float) -> Iterator[Comparison]:
    """C10: the smallest population minus each larger one (rebuttal table 1a), averaged over the interval's epochs E.

    The table has no deviations: the estimates have no errors, so nothing can be tested.

    Args:
        margin: In percentage points.
    """
    from scalarization.analysis.inference import Estimate

    for (benchmark, tasks), table in reported_numbers.population().items():
        # N -> means, one per E; every N was searched with the same E.
        means: dict[int, list[float]] = {}
        for (size, epochs, _), mean in table.items():
            if isinstance(size, int) and epochs is not None:
                means.setdefault(size, []).append(mean)
        smallest, *larger = sorted(means)
        for size in larger:
            loss = statistics.fmean(means[smallest]) - statistics.fmean(means[size])
            yield Comparison(
                benchmark,
                f"{tasks} tasks",
                f"{names.LABELS['pbt']}: N = {smallest} - N = {size}",
                ALL_CAPACITIES,
                STATISTIC,
                Estimate(loss, math.nan, 0, reported_numbers.POPULATION_SEEDS),
                margin,
                "no deviation is reported: nothing can be tested",
                "paper",
                reason="no deviation",
            )


def difference(benchmark: str, architecture: str, first: str, second: str) -> Estimate:
    """One reported average over tasks minus another, at one capacity, in points.

    Args:
        benchmark: ``domainnet`` or ``celeba``.
        architecture: Our name of the capacity.
        first: A method.
        second: Another one.

    Returns:
        The difference of the reported averages; error sqrt((s1^2 + s2^2) / n), with s = sqrt(sum of the tasks'
        variances) / T of n seeds; Welch's degrees of freedom.

    Raises:
        KeyError: The tables do not have one of the methods at this capacity.
    """
    from scalarization.analysis.inference import Estimate

    table = reported_numbers.accuracies()[benchmark, architecture]
    tasks = reported_numbers.tasks(benchmark, architecture)
    seeds = reported_numbers.SEEDS[benchmark]
    # The variance of a method's mean over seeds.
    first_variance, second_variance = (
        math.fsum(table[method, task].std ** 2 for task in tasks) / len(tasks) ** 2 / seeds
        for method in (first, second)
    )
    variance = first_variance + second_variance
    return Estimate(
        table[first, names.AVERAGE].mean - table[second, names.AVERAGE].mean,
        math.sqrt(variance),
        variance**2 * (seeds - 1) / (first_variance**2 + second_variance**2),
        seeds,
    )


def averaged(estimates: Iterable[Estimate]) -> Estimate:
    """The mean of independent estimates that rest on equally many seeds; Satterthwaite's degrees of freedom."""
    from scalarization.analysis.inference import Estimate

    estimates = list(estimates)
    variance = math.fsum(estimate.error**2 for estimate in estimates)
    return Estimate(
        math.fsum(estimate.value for estimate in estimates) / len(estimates),
        math.sqrt(variance) / len(estimates),
        variance**2 / math.fsum(estimate.error**4 / estimate.dof for estimate in estimates),
        estimates[0].units,
    )


def _comparisons(first: str, second: str, margin: float | None) -> Iterator[Comparison]:
    """One method minus another: a comparison per benchmark at whose capacities both are reported."""
    capacities: dict[str, list[str]] = {}
    for (benchmark, architecture), table in reported_numbers.accuracies().items():
        if (first, names.AVERAGE) in table and (second, names.AVERAGE) in table:
            capacities.setdefault(benchmark, []).append(architecture)
    for benchmark, architectures in capacities.items():
        estimate = averaged(difference(benchmark, architecture, first, second) for architecture in architectures)
        tasks = reported_numbers.tasks(benchmark, architectures[0])
        yield Comparison(
            benchmark,
            f"{len(tasks)} tasks",
            title(Line(first, ""), Line(second, "")),
            ALL_CAPACITIES,
            STATISTIC,
            estimate,
            margin,
            f"not paired; assumed: independent tasks; {estimate.units} seeds, {len(architectures)} capacities",
            "paper",
        )
