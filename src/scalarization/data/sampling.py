"""Which images make up each batch of multi-domain training (paper A 1.1: weights are sampling probabilities)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalarization import seeds


@dataclass(frozen=True)
class DomainSampler:
    """Draws batches: first a domain for every place, then that domain's next image.

    Every place of a batch draws its domain by the weights. Within a domain, images come in shuffled passes without
    replacement. All draws are functions of (seed, epoch) and of how many images each domain has given so far, so an
    epoch can be taken up anywhere.

    Attributes:
        sizes: Number of training images of each domain.
        batch_size: Places in a batch.
        root: Root seed.
        seed: Seed index.
    """

    sizes: tuple[int, ...]
    batch_size: int
    root: int
    seed: int

    def epoch(
        self, epoch: int, steps: int, weights: tuple[float, ...], consumed: list[int]
    ) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """All batches of one epoch.

        Args:
            epoch: Number of the epoch, from 0.
            steps: Batches in it.
            weights: Sampling probability of each domain.
            consumed: Images that each domain has given before this epoch.

        Returns:
            Domain of every place and row within that domain, both int64 [steps, batch_size], and the images that each
            domain has given after the epoch.
        """
        draws = seeds.generator(self.root, self.seed, "domains", epoch).random((steps, self.batch_size))
        # The last bound is infinite, so that rounding of the sum cannot leave a draw without a domain.
        bounds = np.cumsum(weights)
        last = int(np.flatnonzero(np.asarray(weights) > 0)[-1])
        bounds[last:] = np.inf
        domains = np.searchsorted(bounds, draws, side="right").astype(np.int64)
        rows = np.empty_like(domains)
        after = list(consumed)
        for domain, size in enumerate(self.sizes):
            places = domains == domain
            count = int(places.sum())
            if count:
                rows[places] = self._stream(domain, size, consumed[domain], count)
                after[domain] += count
        return domains, rows, after

    def _stream(self, domain: int, size: int, start: int, count: int) -> np.ndarray:
        passes = range(start // size, (start + count - 1) // size + 1)
        shuffled = [seeds.generator(self.root, self.seed, "order", domain, p).permutation(size) for p in passes]
        offset = start - passes[0] * size
        return np.concatenate(shuffled)[offset : offset + count]
