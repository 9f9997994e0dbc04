"""Queries: the results of an artifact's experiments -> one small, tidy summary. One module per kind of artifact.

The module of a kind exports ``KIND``, a :class:`scalarization.plan.artifacts.ArtifactKind`. Modules without ``KIND``
hold what several kinds share. Every Snakemake process imports all of them, so pandas, pyarrow, scipy and whatever else
is slow to import are imported inside of functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalarization.plan import Plan, artifacts

if TYPE_CHECKING:
    import pandas as pd


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """The summary of one artifact; its columns are described in the module of its kind.

    Args:
        plan: The plan.
        artifact: Key of the preset's ``artifacts``.

    Raises:
        ConfigError: ``only:`` selects nothing of the artifact.
        DataError: A file that it reads is missing, damaged or incomplete.
    """
    return artifacts.kind_of(plan, artifact).summarize(plan, artifact)


def metadata(plan: Plan, artifact: str) -> dict[str, Any]:
    """What a drawing must know in addition to the summary; ready for JSON.

    Returns:
        For every artifact ``artifact``, ``kind``, ``preset``; ``seeds``, the selected seed indices, and
        ``seeds_planned``, those of the whole preset.

        For an artifact of one experiment also ``experiment``, ``benchmark``; ``reference``, the domain on which an
        epoch is counted; ``setting`` (``mdl`` or ``mtl``); ``reported``, whether the paper has numbers for this
        benchmark; ``task_sets``, name -> its tasks or domains in the order of the weights; ``variants``. For any other
        artifact ``benchmarks``.

        For an artifact of a profile also ``environment``, where it was measured; None if it was not measured yet.
    """
    options = plan.preset.artifacts[artifact]
    experiments = artifacts.experiments_of(plan, artifact)
    conflicts = artifacts.conflicts_of(plan, artifact)
    grids = [plan.preset.experiments[name] for name in experiments] + [plan.preset.conflicts[n] for n in conflicts]
    planned = range(max((grid.seeds for grid in grids), default=0))
    selected = {run.seed for cell in artifacts.cells_of(plan, artifact) for run in cell.runs}
    result: dict[str, Any] = {
        "artifact": artifact,
        "kind": artifacts.kind_of(plan, artifact).name,
        "preset": plan.config.preset_name,
        "seeds": sorted(selected.intersection(planned)),
        "seeds_planned": list(planned),
    }
    if len(experiments) == 1:
        return result | _experiment_metadata(plan, experiments[0])
    benchmarks = [grid.benchmark for grid in grids]
    benchmarks += [search.cell.benchmark for search in artifacts.planned_searches(plan, artifact)]
    if options.profile is not None:
        benchmarks.append(plan.preset.profiles[options.profile].benchmark)
        result["environment"] = _environment(plan, options.profile)
    return result | {"benchmarks": list(dict.fromkeys(benchmarks))}


def _experiment_metadata(plan: Plan, name: str) -> dict[str, Any]:
    experiment = plan.preset.experiments[name]
    benchmark = plan.benchmarks[experiment.benchmark]
    return {
        "experiment": name,
        "benchmark": experiment.benchmark,
        "reference": plan.preset.benchmarks[experiment.benchmark].reference,
        "setting": benchmark.setting,
        "reported": benchmark.reported,
        "task_sets": {
            task_set: benchmark.labels.named(tasks) if isinstance(tasks, str) else tasks
            for task_set, tasks in experiment.task_sets.items()
        },
        "variants": list(experiment.variants),
    }


def _environment(plan: Plan, profile: str) -> dict[str, Any] | None:
    from scalarization import storage

    file = plan.paths.profile_file(profile)
    return storage.read_metadata(file).get("environment") if file.is_file() else None
