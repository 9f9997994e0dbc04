"""Assigning families of images to splits so that every label has nearly the same proportion in each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np


def split_families(
    families: Mapping[str, np.ndarray], percentages: Sequence[int], minimum: Sequence[int], starts: int
) -> dict[str, int]:
    """Assign whole families to splits so that every label has nearly the same proportion in each split.

    The search begins at a random assignment and makes the best move of a family or exchange of two families until none
    lowers the loss; of several starts the best counts. The loss has two parts: first the images that are missing to
    ``minimum``, then chi-square of the labels' counts over the splits. All arithmetic is on integers and the random
    order comes from SHA-256, so the result depends on no library.

    Args:
        families: Family -> how many of its images have each label, integers [L].
        percentages: Size of each split in percent.
        minimum: Smallest number of images with a label in each split.
        starts: Number of random starts.

    Returns:
        Family -> index of its split.
    """
    if not families:
        return {}
    percent, least = np.array(percentages, dtype=np.int64), np.array(minimum, dtype=np.int64)
    best: tuple[int, dict[str, int]] | None = None
    for start in range(starts):
        names = sorted(families, key=lambda name: hashlib.sha256(f"{start} {name}".encode()).digest())
        counts = np.array([families[name] for name in names], dtype=np.int64)  # [F, L]
        loss, split = _descend(counts[:, counts.sum(axis=0) > 0], percent, least)
        if best is None or loss < best[0]:
            best = loss, dict(zip(names, split.tolist(), strict=True))
    return best[1]


def _descend(counts: np.ndarray, percent: np.ndarray, least: np.ndarray) -> tuple[int, np.ndarray]:
    """One start of :func:`split_families`, with families in the order of ``counts``: loss and splits [F]."""
    totals = counts.sum(axis=0)
    weight = 10**13 // (percent[:, None] * totals**2)  # factor of (100 counts - percent total)^2, [S, L]
    required = np.minimum(least[:, None], totals // len(percent))

    def loss(sums: np.ndarray) -> np.ndarray:  # [..., S, L] -> [...]
        deviation = 100 * sums - percent[:, None] * totals
        missing = np.maximum(required - sums, 0)
        return (deviation**2 * weight).sum(axis=(-2, -1)) + 10**15 * missing.sum(axis=(-2, -1))

    split = np.searchsorted(np.cumsum(percent) * len(counts) // 100, np.arange(len(counts)), side="right")
    one_hot = np.eye(len(percent), dtype=np.int64)
    while True:
        sums = np.stack([counts[split == number].sum(axis=0) for number in range(len(percent))])
        moves = []  # loss, family, its new split, the other family (itself if it moves alone)
        for family, own in enumerate(split):
            step = one_hot - one_hot[own]  # [S, S]
            alone = loss(sums + step[:, :, None] * counts[family])
            moves += [(int(value), family, number, family) for number, value in enumerate(alone) if number != own]
            others = np.flatnonzero(split > own)
            change = step[split[others]][:, :, None] * (counts[family] - counts[others])[:, None, :]
            swapped = loss(sums + change)
            moves += [(int(value), family, int(split[o]), int(o)) for value, o in zip(swapped, others, strict=True)]
        value, family, number, other = min(moves)
        if value >= int(loss(sums)):
            return int(loss(sums)), split
        split[other], split[family] = split[family], number
