"""Rebuttal table 1b: the cost of a step of each method, as formulas in T (tasks) and N (models), and as measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import names, profiles, reported_numbers, runs
from scalarization.methods import CostFormulas
from scalarization.plan import Plan
from scalarization.plan.artifacts import PROFILE, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

FORMULAS = tuple(field.name for field in dataclasses.fields(CostFormulas))
TYPES = {
    **profiles.TYPES,
    **dict.fromkeys(FORMULAS, "string"),
    **{f"reported_{name}": "string" for name in FORMULAS},
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per measured method and number of tasks, and one per method of rebuttal table 1b that was not measured.

    Returns:
        ``benchmark``, ``architecture``, ``batch_size``, ``group``, ``method``, ``label``, ``tasks``;
        ``seconds_per_step``, ``time_ratio`` to uniform, ``peak_bytes``, ``memory_ratio``, null if not measured;
        ``forward_passes``, ``backward_passes``, ``additional_computation``, ``additional_storage``: formulas of the
        implementation here (null for a method that declares none); the same with the prefix ``reported_``: formulas of
        rebuttal table 1b (null for a method that it does not list).

    Raises:
        DataError: The profile's file is missing or damaged.
    """
    return runs.table(_rows(profiles.read_profile(plan, artifact)), TYPES)


def _rows(profile: pd.DataFrame) -> Iterator[dict[str, Any]]:
    condition = ["benchmark", "architecture", "batch_size"]
    for key, group in profile.groupby(condition, sort=False):
        measured = {method: rows.to_dict("records") for method, rows in group.groupby("method", sort=False)}
        for method in sorted({*measured, *reported_numbers.costs()}, key=names.order):
            formulas = _formulas(method)
            not_measured = [{**dict(zip(condition, key, strict=True)), **names.describe(method)}]
            for row in measured.get(method, not_measured):
                yield {**row, **formulas}


def _formulas(method: str) -> dict[str, str]:
    """Formulas of the implementation here and of rebuttal table 1b, as far as they are known."""
    declared = names.METHODS[method].formulas if method in names.METHODS else None
    reported = reported_numbers.costs().get(method, {})
    return {
        **(dataclasses.asdict(declared) if declared else {}),
        **{f"reported_{name}": text for name, text in reported.items()},
    }


KIND = ArtifactKind("table_costs", "table", "profile", PROFILE, summarize, columns=TYPES)
