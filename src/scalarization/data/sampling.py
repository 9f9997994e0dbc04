"""Sampling of the images of each batch; in multi-domain training weights are probabilities (appendix 1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalarization import seeds


@dataclass(frozen=True)
class DomainSampler:
    """Samples batches: first a domain for every position of a batch, then that domain's next image.

    The domain of every position is drawn with the weights as probabilities. Images of a domain come in shuffled passes
    without replacement. All draws are functions of (seed, epoch) and of the number of images already taken from each
    domain, so training can resume at any step.

    Attributes:
        sizes: Number of training images of each domain.
        batch_size: Images in a batch.
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
            steps: Number of batches.
            weights: Sampling probability of each domain.
            consumed: Number of images taken from each domain before this epoch.

        Returns:
            Domain of every position and row within that domain, both int64 [steps, batch_size], and the number of
            images taken from each domain by the end of the epoch.
        """
        draws = seeds.generator(self.root, self.seed, "domains", epoch).random((steps, self.batch_size))
        # The last bound is infinite, so that every draw has a domain although the sum of the weights is rounded.
        bounds = np.cumsum(weights)
        last = int(np.flatnonzero(np.asarray(weights) > 0)[-1])
        bounds[last:] = np.inf
        domains = np.searchsorted(bounds, draws, side="right").astype(np.int64)
        rows = np.empty_like(domains)
        after = list(consumed)
        for domain, size in enumerate(self.sizes):
            positions = domains == domain
            count = int(positions.sum())
            if count:
                rows[positions] = self._stream(domain, size, consumed[domain], count)
                after[domain] += count
        return domains, rows, after

    def _stream(self, domain: int, size: int, start: int, count: int) -> np.ndarray:
        """``count`` rows of a domain of ``size`` images, after the first ``start`` of all its passes."""
        passes = range(start // size, (start + count - 1) // size + 1)
        shuffled = [seeds.generator(self.root, self.seed, "order", domain, p).permutation(size) for p in passes]
        offset = start - passes[0] * size
        return np.concatenate(shuffled)[offset : offset + count]
