"""Searches of weights as a preset describes them. No torch, no Ray: every Snakemake process parses this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization.methods._searched import METHODS

if TYPE_CHECKING:
    from scalarization.experiments import Cell


@dataclass(frozen=True)
class Search:
    """One search: a population of models of one architecture on one task set (paper A 5).

    Attributes:
        key: Its name in the preset; searches of several architectures share it.
        cell: What a member trains: the recipe on a fraction of the training set, with weights that change.
        method: ``pbt``, ``pb2``, ``search_grid`` or ``search_random``.
        population: Number of members N.
        epochs_ready: Epochs E of an interval, after which members may copy each other.
        quantile: Fraction Q of members that copies, and of those that are copied.
        perturbation_factors: PBT multiplies each weight by one of them.
        resample_probability: Probability that PBT draws a weight anew instead.
        seed: Seed index of the search, shared by its members: their scores differ by their weights alone (choice).
        session: Searches of one session run in one job, at the same time.
    """

    key: str
    cell: Cell
    method: str
    population: int
    epochs_ready: int
    quantile: float
    perturbation_factors: tuple[float, ...]
    resample_probability: float
    seed: int
    session: str

    @property
    def name(self) -> str:
        """Identity, and place below ``searches/``."""
        return f"{self.key}/{self.cell.architecture.name}"

    @property
    def copies(self) -> bool:
        """Whether members copy each other."""
        return METHODS[self.method]

    @property
    def ends(self) -> tuple[int, ...]:
        """Finished epochs at the end of each interval; the last one may be shorter."""
        epochs = self.cell.specification["epochs"]
        return (*range(self.epochs_ready, epochs, self.epochs_ready), epochs)

    @property
    def replaced(self) -> int:
        """Members that copy another one after an interval: the fraction Q, rounded up, at most half."""
        return min(math.ceil(self.population * self.quantile), self.population // 2) if self.copies else 0

    @property
    def configurations(self) -> int:
        """Weight settings that are tried: N + ceil(N Q) (intervals - 1)."""
        return self.population + self.replaced * (len(self.ends) - 1)

    def describe(self) -> dict[str, Any]:
        """All that the search's history depends on, but data and code; ready for JSON."""
        copying = {
            "quantile": self.quantile,
            "perturbation_factors": list(self.perturbation_factors),
            "resample_probability": self.resample_probability,
        }
        return {
            "method": self.method,
            "population": self.population,
            "epochs_ready": self.epochs_ready,
            "seed": self.seed,
            **(copying if self.copies else {}),
            "trains": self.cell.describe(),
        }

    def file(self, results: Path) -> Path:
        """Where its history is."""
        return results / "searches" / f"{self.name}.parquet"
