"""Columns that several summaries have, and the order and labels of methods in them."""

from __future__ import annotations

from scalarization import methods
from scalarization.methods.info import GROUPS, OTHERS

#: The value of the column ``task`` in rows that hold the average over tasks.
AVERAGE = "average"
#: Columns of all summaries that list methods.
METHOD_TYPES = {"group": "string", "method": "string", "label": "string"}
#: Name and label of the line of a constant answer, which is no method.
MAJORITY, MAJORITY_LABEL = "majority", "Majority class"
METHODS = {method.name: method for method in methods.all_methods()}
#: Method -> name in tables and figures, in the order of tables.
LABELS = {name: method.label for name, method in METHODS.items()}


def describe(method: str, detail: str = "") -> dict[str, str]:
    """Values of the columns :data:`METHOD_TYPES`.

    Args:
        method: Name of a method. A method that is not implemented here is labelled with its name.
        detail: What distinguishes several lines of one method.
    """
    group = METHODS[method].group if method in METHODS else OTHERS
    label = LABELS.get(method, method)
    return {"group": group, "method": method, "label": f"{label}, {detail}" if detail else label}


def order(method: str) -> tuple[int, int, str]:
    """Sorts methods as tables list them; methods that are not implemented here come last."""
    return METHODS[method].order if method in METHODS else (len(GROUPS), 0, method)
