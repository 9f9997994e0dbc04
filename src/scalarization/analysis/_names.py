"""Order and names of methods in tables and figures."""

from __future__ import annotations

#: Group -> method -> name in tables, in the paper's order. What is not listed comes last, under its own name.
GROUPS = {
    "Baseline": {"single": "SD"},
    "Scalarization": {
        "uniform": "Uniform",
        "proportional": "Proportional",
        "grid": "Grid, p*",
        "rlw": "RLW",
        "pbt": "PBT",
        "pb2": "PB2",
        "search_grid": "Grid search",
        "search_random": "Random search",
    },
    "MTO, loss-based": {"uncertainty": "Uncertainty", "imtl_l": "IMTL-L", "dwa": "DWA", "famo": "FAMO"},
    "MTO, gradient-based": {
        "cagrad": "CAGrad",
        "graddrop": "GradDrop",
        "pcgrad": "PCGrad",
        "rotograd": "RotoGrad",
        "mgda": "MGDA",
        "imtl_g": "IMTL-G",
        "nash_mtl": "Nash-MTL",
        "aligned_mtl": "Aligned-MTL",
        "upgrad": "UPGrad",
        "gradnorm": "GradNorm",
    },
}
OTHERS = "Other methods"
#: The column of tables that is no task.
AVERAGE = "average"
LABELS = {method: label for group in GROUPS.values() for method, label in group.items()}
#: Columns of all summaries: one capacity of one task set. ``present``: whether it was selected.
PLACE_TYPES = {
    "benchmark": "string",
    "task_set": "string",
    "architecture": "string",
    "depth": "Int64",
    "width": "Int64",
    "shared_layers": "Int64",
    "present": "boolean",
}
#: Columns of all summaries that list methods.
METHOD_TYPES = {"group": "string", "method": "string", "label": "string"}


def describe(method: str, detail: str = "") -> dict[str, str]:
    """Values of the columns :data:`METHOD_TYPES`; ``detail`` tells apart lines of one method."""
    group = next((g for g, methods in GROUPS.items() if method in methods), OTHERS)
    return {"group": group, "method": method, "label": ", ".join([LABELS.get(method, method), *filter(None, [detail])])}


def order(method: str) -> tuple[int, str]:
    """Sorts methods as tables list them."""
    known = list(LABELS)
    return (known.index(method), "") if method in known else (len(known), method)
