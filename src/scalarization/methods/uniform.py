"""Uniform scalarization: p_t = 1 / T."""

OPTIONS: dict = {}


def weight_settings(options: dict, tasks: list[str], sizes: dict[str, int]) -> list[list[float]]:
    """One setting, equal weights."""
    return [[1 / len(tasks)] * len(tasks)]
