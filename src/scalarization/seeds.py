"""One seed per run and purpose, derived from the root seed with ``numpy.random.SeedSequence``.

Runs with the same seed index share their initialisation and their draws of images across weight settings and methods,
so that comparisons between weight settings are paired.
"""

from __future__ import annotations

import hashlib

import numpy as np


def sequence(root: int, seed: int, purpose: str, *counters: int) -> np.random.SeedSequence:
    """The seed sequence of one purpose.

    Args:
        root: Root seed of the configuration.
        seed: Seed index of the run.
        purpose: ``initialisation``, ``domains``, ``order``, ``augmentation`` or ``model`` (stochastic depth).
        counters: Numbers that tell draws of one purpose apart, such as epoch, step, pass or domain.
    """
    digest = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "little")
    return np.random.SeedSequence(entropy=root, spawn_key=(digest, seed, *counters))


def key(*names: str) -> int:
    """A number for some names, such as those of a benchmark and an architecture, to be used as a counter.

    Args:
        names: Names, in order.

    Returns:
        64 bits of their digest.
    """
    return int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:8], "little")


def generator(root: int, seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A NumPy generator of one purpose; arguments as in :func:`sequence`."""
    return np.random.Generator(np.random.PCG64(sequence(root, seed, purpose, *counters)))


def integers(root: int, seed: int, purpose: str, *counters: int, size: int) -> list[int]:
    """``size`` seeds below 2^63 for torch's generators; arguments as in :func:`sequence`."""
    state = sequence(root, seed, purpose, *counters).generate_state(size, np.uint64)
    return [int(s >> np.uint64(1)) for s in state]
