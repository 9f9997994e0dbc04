"""Figure A of the appendix: how many training samples each class has in each domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scalarization.analysis import preconditions, runs
from scalarization.benchmarks import SPLITS
from scalarization.benchmarks.base import ClassLabels
from scalarization.errors import DELETE_IT, DamagedError
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "benchmark": "string",
    "domain": "string",
    "label": "Int64",
    "class": "string",
    "samples": "Int64",
    "uniform": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per domain and class.

    Returns:
        ``benchmark``, ``domain`` (in the order of the preset), ``label``, ``class``; ``samples``: images of the
        official training set, those of the validation split included; ``uniform``: what every class would have in
        every domain if all images were spread evenly.

    Raises:
        DataError: The prepared store is missing or damaged.
    """
    return runs.table(_rows(plan, runs.benchmark_name(plan, artifact)), TYPES)


def _rows(plan: Plan, benchmark: str) -> Iterator[dict[str, Any]]:
    from scalarization import storage

    file = plan.paths.store_file(benchmark)
    store = storage.read_json(file)
    domains = plan.preset.benchmarks[benchmark].domains
    try:
        classes = store["classes"]
        by_split = {d: [store["domains"][d]["samples_per_class"][s] for s in SPLITS[:2]] for d in domains}
    except (KeyError, TypeError) as error:
        raise DamagedError(file, f"not the description of a store with classes ({error!r})", DELETE_IT) from None
    samples = {domain: [sum(counts) for counts in zip(*splits, strict=True)] for domain, splits in by_split.items()}
    uniform = sum(map(sum, samples.values())) / (len(classes) * len(domains))
    for domain in domains:
        for label, (name, count) in enumerate(zip(classes, samples[domain], strict=True)):
            row = {"benchmark": benchmark, "domain": domain, "label": label, "class": str(name), "samples": count}
            yield row | {"uniform": uniform}


KIND = ArtifactKind(
    "figure_a",
    "figure",
    "store",
    EXPERIMENT,
    summarize,
    (preconditions.benchmark_with(ClassLabels, "benchmark '{benchmark}' has no domains with classes"),),
    columns=TYPES,
)
