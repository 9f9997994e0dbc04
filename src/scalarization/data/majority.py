"""What a model reaches that looks at no image: it always answers the most frequent class of the training split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scalarization.plan.cells import Cell
from scalarization.specification import AttributeOutputs, DenseOutputs


def majority_accuracies(store: Mapping[str, Any], cell: Cell) -> dict[str, float]:
    """Accuracy on the test split of a constant answer, in percent.

    A domain has its own most frequent class, and so has each attribute; the accuracy of a group of attributes is the
    mean over them, as it is of a model.

    Args:
        store: Content of ``dataset.json`` of the prepared store.
        cell: The cell.

    Returns:
        Task of the cell -> accuracy; empty for dense tasks.
    """
    domains, outputs = store["domains"], cell.specification.outputs
    if isinstance(outputs, DenseOutputs):
        return {}
    if isinstance(outputs, AttributeOutputs):
        of_attribute = dict(zip(outputs.labels, _attributes(domains[outputs.evaluated[0]]), strict=True))
        return {task: _mean([of_attribute[a] for a in outputs.attributes[task]]) for task in cell.tasks}
    return {task: _classes(domains[task]["samples_per_class"]) for task in cell.tasks}


def _attributes(domain: Mapping[str, Any]) -> list[float]:
    """Of each attribute."""
    positives = domain["positives_per_attribute"]
    train, test = (domain["splits"][split][1] - domain["splits"][split][0] for split in ("train", "test"))
    pairs = zip(positives["train"], positives["test"], strict=True)
    return [100 * (of_test if 2 * of_train > train else test - of_test) / test for of_train, of_test in pairs]


def _classes(samples: Mapping[str, Sequence[int]]) -> float:
    """Of one domain."""
    train, test = samples["train"], samples["test"]
    return 100 * test[train.index(max(train))] / sum(test)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
