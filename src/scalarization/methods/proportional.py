"""Weights proportional to the number of training samples of each domain (0.09 for STL-10, paper A 2.1)."""

OPTIONS: dict = {}


def weight_settings(options: dict, tasks: list[str], sizes: dict[str, int]) -> list[list[float]]:
    """One setting; ``sizes`` are the official training set sizes."""
    total = sum(sizes[t] for t in tasks)
    return [[sizes[t] / total for t in tasks]]
