"""Weights proportional to the number of training samples of each domain (0.09 for STL-10, paper A 2.1)."""

from scalarization.errors import ConfigError

OPTIONS: dict = {}


def weight_settings(options: dict, tasks: list[str], sizes: dict[str, int]) -> list[list[float]]:
    """One setting; ``sizes`` are the official training set sizes.

    Raises:
        ConfigError: A member is a task, not a domain: all have the same images.
    """
    for task in tasks:
        if task not in sizes:
            raise ConfigError(f"proportional is for domains, '{task}' is a task; take uniform")
    total = sum(sizes[t] for t in tasks)
    return [[sizes[t] / total for t in tasks]]
