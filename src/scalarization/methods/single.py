"""Single-dataset (SD) or single-task baseline: one member trained alone for the same number of steps."""

OPTIONS: dict = {}


def weight_settings(options: dict, tasks: list[str], sizes: dict[str, int]) -> list[list[float]]:
    """One setting with all weight on the only task."""
    return [[1.0]]
