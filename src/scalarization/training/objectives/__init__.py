"""Losses per task for training and metrics per task for reports: one objective for each type of outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scalarization.specification import AttributeOutputs, DenseOutputs, DomainOutputs, Outputs
from scalarization.training.objectives.attributes import AttributeObjective
from scalarization.training.objectives.base import Objective
from scalarization.training.objectives.dense import DenseObjective
from scalarization.training.objectives.domains import DomainObjective

__all__ = ["AttributeObjective", "DenseObjective", "DomainObjective", "Objective", "build_objective"]

#: Type of the outputs -> (outputs, tasks) -> objective.
OBJECTIVES: dict[type, Callable[[Any, Sequence[str]], Objective]] = {
    DomainOutputs: lambda outputs, tasks: DomainObjective(tasks, outputs.classes),
    AttributeOutputs: lambda outputs, tasks: AttributeObjective(
        outputs.evaluated[0], outputs.attributes, outputs.labels
    ),
    DenseOutputs: lambda outputs, tasks: DenseObjective(outputs.evaluated[0], outputs.maps),
}


def build_objective(outputs: Outputs, tasks: Sequence[str]) -> Objective:
    """The objective of a cell.

    Args:
        outputs: What the cell predicts, and where it is evaluated.
        tasks: The cell's tasks or domains, in the order of the weights.
    """
    return OBJECTIVES[type(outputs)](outputs, tasks)
