"""Several pieces of work measured side by side."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def side_by_side(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Run both in turn; which one begins changes from round to round.

    Returns:
        Median seconds of the first, of the second, and the median over rounds of first / second.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    first(), second()
    for number in range(rounds):
        for side, work in ((0, first), (1, second)) if number % 2 else ((1, second), (0, first)):
            seconds[side].append(_seconds(work))
    return statistics.median(seconds[0]), statistics.median(seconds[1]), median_ratio(*seconds)


def in_turn(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round; all sides run in turn, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for work in sides.values():
        work()
    for _ in range(rounds):
        for name, work in sides.items():
            seconds[name].append(_seconds(work))
    return seconds


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over rounds of the ratio."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
