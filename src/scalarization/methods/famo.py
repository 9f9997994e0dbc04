"""FAMO (Liu et al. 2023): lets all losses fall at the same rate; c sum_t z_t log L_t, z a softmax of learned logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalarization.methods._base import Method

OPTIONS = {"lr": 0.025, "weight_decay": 1e-3}


def build(options: dict, tasks: int) -> Method:
    """TorchJD's FAMO.

    Args:
        options: ``lr`` and ``weight_decay`` of the logits' own Adam (as published).
        tasks: Number of tasks.
    """
    from scalarization.methods._famo import FastAdaptive

    return FastAdaptive(tasks, options["lr"], options["weight_decay"])
