"""Queries: run files of an artifact's experiment -> one small, tidy summary. One module per kind of artifact.

A kind's module has ``summarize(plan, artifact)``. Modules with a leading underscore are shared and no kinds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from scalarization import storage
from scalarization.experiments import Plan

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """The summary behind one artifact; its columns are described in the module of its kind.

    Args:
        plan: The plan.
        artifact: Key of the preset's ``artifacts``.

    Raises:
        ConfigError: Its experiment lacks a method that the artifact needs.
        DataError: A run file is missing, damaged or incomplete.
    """
    module = importlib.import_module(f"{__name__}.{plan.artifact_kind(artifact)}")
    return module.summarize(plan, artifact)


def facts(plan: Plan, artifact: str) -> dict[str, Any]:
    """What a drawing must know beside the summary; ready for JSON.

    Returns:
        ``artifact``, ``kind``, ``preset``; ``seeds``, the seed indices used, and ``seeds_planned``, those of the
        whole preset. Of an artifact of one experiment also ``experiment``, ``benchmark``; ``reference``, the domain on
        which an epoch is counted; ``setting`` (``mdl`` or ``mtl``); ``reported``, whether the paper has numbers for
        this benchmark; ``task_sets``, name -> members in the order of the weights; ``variants``. Of any other
        ``benchmarks``; of one about costs ``environment``, where they were measured, if known.
    """
    preset = plan.config.preset
    experiments = plan.artifact_experiments(artifact)
    costs = preset["artifacts"][artifact].get("costs")
    asked = [preset["costs"][costs]] if costs else [preset["experiments"][e] for e in experiments]
    asked += [preset["conflicts"][name] for name in plan.artifact_conflicts(artifact)]
    planned = set(range(max((a.get("seeds", 0) for a in asked), default=0)))
    found: dict[str, Any] = {
        "artifact": artifact,
        "kind": plan.artifact_kind(artifact),
        "preset": plan.config.preset_name,
        "seeds": sorted(planned & {m.seed for cell in plan.artifact_cells(artifact) for m in cell.members}),
        "seeds_planned": sorted(planned),
    }
    if len(experiments) != 1:
        searched = [s.cell.benchmark for s in plan.artifact_searches_planned(artifact)]
        found["benchmarks"] = list(dict.fromkeys([*(a["benchmark"] for a in asked), *searched]))
    if costs:
        file = plan.costs_file(costs)
        return found | {"environment": storage.read_metadata(file).get("environment") if file.is_file() else None}
    if len(experiments) != 1:
        return found
    benchmark = asked[0]["benchmark"]
    return found | {
        "experiment": experiments[0],
        "benchmark": benchmark,
        "reference": preset["benchmarks"][benchmark]["reference"],
        "setting": plan.info(benchmark).setting,
        "reported": plan.info(benchmark).reported,
        "task_sets": asked[0]["task_sets"],
        "variants": list(asked[0]["variants"]),
    }
