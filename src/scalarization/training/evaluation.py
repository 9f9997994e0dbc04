"""What a run is evaluated on, and its metrics there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from scalarization.benchmarks import SPLITS
from scalarization.data.base import Data
from scalarization.training.divergence import Watch
from scalarization.training.objectives.base import Metrics

if TYPE_CHECKING:
    from scalarization.training.steps import MethodStep


@dataclass(frozen=True)
class Place:
    """Images of one domain that metrics are computed on.

    Attributes:
        split: Name in the column of that name.
        domain: The domain.
        start: Row of the first image.
        size: Number of images.
    """

    split: str
    domain: str
    start: int
    size: int


class Evaluator:
    """Evaluates the network of one run.

    Args:
        method_step: The run's step, which has its network and its objective.
        data: The images.
        evaluated: The domains that the run's results are reported on.
        watch: Whether the run diverged.
    """

    def __init__(self, method_step: MethodStep, data: Data, evaluated: Sequence[str], watch: Watch) -> None:
        self._method_step, self._data, self._evaluated, self._watch = method_step, data, evaluated, watch
        self._objective = method_step.objective

    def epoch(self, step: int, last: bool) -> list[tuple[str, Metrics]]:
        """Metrics of an epoch that has just ended.

        Args:
            step: Number of finished steps.
            last: Whether it is the last epoch.

        Returns:
            Splits with their metrics. Of the trained domains the training subset and the validation split; at the last
            epoch all splits of all evaluated domains instead of the latter. See :meth:`_measure` for NaN.
        """
        places = [self._subset(domain) for domain in self._objective.domains]
        if last:
            places += [self._whole(split, domain) for domain in self._evaluated for split in SPLITS]
        else:
            places += [self._whole("validation", domain) for domain in self._objective.domains]
        splits = [place.split for place in places]
        return list(zip(splits, self._measure(places, step), strict=True))

    def validation(self, step: int) -> Metrics:
        """Metrics of every task on the whole validation split, after so many steps."""
        parts = self._measure([self._whole("validation", domain) for domain in self._objective.domains], step)
        return {task: metrics for part in parts for task, metrics in part.items()}

    @torch.inference_mode()
    def examples(self) -> list[dict[str, Any]]:
        """Predictions to be looked at, see :meth:`Objective.examples`; NaN if the last epoch was not finite."""
        self._method_step.network.eval()
        with self._method_step.autocast():
            network = self._method_step.evaluated_network(self._objective.domains[0])
            return self._objective.examples(network, self._data, defined=self._watch.finite)

    def _measure(self, places: Sequence[Place], step: int) -> list[Metrics]:
        """Metrics at some places; all NaN if the last epoch, or one of these evaluations, was not finite."""
        self._method_step.network.eval()
        measured = []
        with self._method_step.autocast():
            for place in places if self._watch.finite else ():
                network = self._method_step.evaluated_network(place.domain)
                evaluation = self._objective.evaluate(network, self._data, place.domain, place.start, place.size)
                measured.append(evaluation.metrics)
                if not evaluation.finite:
                    finding = f"a prediction or a loss on {place.split} of '{place.domain}' is not finite"
                    self._watch.note(step, f"{finding}, though all was in the steps of the epoch")
        if self._watch.finite:
            return measured
        return [self._objective.undefined(place.domain) for place in places]

    def _subset(self, domain: str) -> Place:
        # Rows of the train split are shuffled in the store: its beginning is a fixed random subset.
        size = min(self._data.size(domain, "validation"), self._data.size(domain, "train"))
        return Place("train_subset", domain, self._data.start(domain, "train"), size)

    def _whole(self, split: str, domain: str) -> Place:
        return Place(split, domain, self._data.start(domain, split), self._data.size(domain, split))
