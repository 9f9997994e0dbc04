"""Splitting the rows of a domain at random."""

from __future__ import annotations

import numpy as np


def stratified_split(
    labels: np.ndarray, sizes: dict[str, int], generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Split rows at random so that every split has nearly the class proportions of the whole.

    Args:
        labels: integer array [N].
        sizes: Split -> number of rows; they must sum to N.
        generator: Generator of the shuffle.

    Returns:
        Split -> as many shuffled row numbers as ``sizes`` says.

    Raises:
        ValueError: The sizes do not sum to N.
    """
    if sum(sizes.values()) != len(labels):
        raise ValueError(f"split sizes {sizes} sum to {sum(sizes.values())}, not to the {len(labels)} rows")
    # Shuffled rows of each class are spread evenly over [0, 1): any interval has nearly the same part of every class.
    position = np.empty(len(labels))
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        position[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    order = np.argsort(position, kind="stable")
    ends = np.cumsum(list(sizes.values()))
    return {
        split: generator.permutation(order[end - size : end])
        for (split, size), end in zip(sizes.items(), ends, strict=True)
    }
