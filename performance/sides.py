"""Two pieces of work measured side by side."""

import statistics
import time
from collections.abc import Callable


def side_by_side(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Run both in turn.

    Returns:
        Median seconds of the first, of the second, and the median over rounds of first / second.
    """
    seconds: list[tuple[float, float]] = []
    first(), second()
    for number in range(rounds):
        pair = {}
        for side, work in ((0, first), (1, second)) if number % 2 else ((1, second), (0, first)):
            began = time.perf_counter()
            work()
            pair[side] = time.perf_counter() - began
        seconds.append((pair[0], pair[1]))
    return (
        statistics.median(a for a, _ in seconds),
        statistics.median(b for _, b in seconds),
        statistics.median(a / b for a, b in seconds),
    )
