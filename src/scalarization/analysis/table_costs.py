"""R table 1b: what a step of each method costs, as formulas in T (tasks) and N (models), and as measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from scalarization.analysis import _costs, _names, _reported, _runs
from scalarization.experiments import Plan

FORMULAS = ("forward_passes", "backward_passes", "additional_computation", "additional_storage")
TYPES = {
    **_costs.TYPES,
    **dict.fromkeys(FORMULAS, "string"),
    **{f"reported_{name}": "string" for name in FORMULAS},
}

_ONE = ("1", "1", "0", "1")
_WEIGHTED = ("1", "1", "minor", "1")
#: What is done here, relative to one step of uniform scalarization, in the order of :data:`FORMULAS`. Gradient-based
#: ones: T^2 is the Gramian of the tasks' gradients; a solver works on its T x T numbers.
#: Under multi-domain learning without BatchNorm the batch is split, and T backward passes cost about one.
HERE = {
    "uniform": _ONE,
    "proportional": _ONE,
    "grid": ("N", "N", "0", "1"),
    "pbt": ("N+1", "N+1", "minor (checkpoint writing)", "1"),
    "pb2": ("N+1", "N+1", "minor (checkpoint writing, Gaussian process)", "1"),
    "search_grid": ("N+1", "N+1", "0", "1"),
    "search_random": ("N+1", "N+1", "0", "1"),
    "rlw": _WEIGHTED,
    "uncertainty": _WEIGHTED,
    "imtl_l": _WEIGHTED,
    "dwa": _WEIGHTED,
    # Asks for the losses after the step.
    "famo": ("2", "1", "minor", "1"),
    "cagrad": ("1", "T", "T^2, solver", "T"),
    "graddrop": ("1", "T", "0", "T"),
    "pcgrad": ("1", "T", "T^2", "T"),
    # Gradients on the features are enough: T passes through the heads, one through the backbone; of T rotations m x m.
    "rotograd": ("1", "1", "T", "T (features)"),
    "mgda": ("1", "T", "T^2, Frank-Wolfe", "T"),
    "imtl_g": ("1", "T", "T^2", "T"),
    "nash_mtl": ("1", "T", "T^2, solver", "T"),
    "aligned_mtl": ("1", "T", "T^2, eigenvalues", "T"),
    "upgrad": ("1", "T", "T^2, T solvers", "T"),
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per measured method and number of tasks, and one per method that R has and that was not measured.

    Returns:
        ``benchmark``, ``architecture``, ``batch_size``, ``group``, ``method``, ``label``, ``tasks``;
        ``seconds_per_step``, ``time_ratio`` to uniform, ``peak_bytes``, ``memory_ratio``, null if not measured;
        ``forward_passes``, ``backward_passes``, ``additional_computation``, ``additional_storage``: formulas of what is
        done here (null for a method that :data:`HERE` does not know), and with ``reported_`` before them R's.

    Raises:
        ConfigError: The artifact names no measurement.
        DataError: Its file is missing or damaged.
    """
    return _runs.table(_rows(_costs.measured(plan, artifact)), TYPES)


def _rows(measured: pd.DataFrame) -> Iterator[dict[str, Any]]:
    place = ["benchmark", "architecture", "batch_size"]
    for key, found in measured.groupby(place, sort=False):
        of_method = {name: rows.to_dict("records") for name, rows in found.groupby("method", sort=False)}
        for method in sorted({*of_method, *_reported.costs()}, key=_names.order):
            formulas = dict(zip(FORMULAS, HERE.get(method, ()), strict=False))
            formulas |= {f"reported_{name}": text for name, text in _reported.costs().get(method, {}).items()}
            absent = [{**dict(zip(place, key, strict=True)), **_names.describe(method)}]
            for row in of_method.get(method, absent):
                yield {**row, **formulas}
