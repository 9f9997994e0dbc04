"""Table A: the tasks as groups of attributes that share a weight, and how often each attribute is positive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scalarization.analysis import preconditions, runs
from scalarization.benchmarks import SPLITS
from scalarization.benchmarks.base import AttributeLabels
from scalarization.errors import DELETE_IT, DamagedError
from scalarization.plan import Plan
from scalarization.plan.artifacts import EXPERIMENT, ArtifactKind

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "benchmark": "string",
    "group": "string",
    "attribute": "string",
    "split": "string",
    "positives": "Int64",
    "images": "Int64",
    "percent": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per attribute and split.

    Returns:
        ``benchmark``, ``group``, ``attribute``, ``split``, ``positives``, ``images`` of the split, and ``percent`` of
        them that are positive; positives are null if the prepared store does not count them.

    Raises:
        DataError: The prepared store is missing or damaged.
    """
    benchmark = runs.benchmark_name(plan, artifact)
    labels = plan.benchmarks[benchmark].labels
    groups = labels.groups if isinstance(labels, AttributeLabels) else {}
    return runs.table(_rows(plan, benchmark, groups), TYPES)


def _rows(plan: Plan, benchmark: str, groups: Mapping[str, tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    from scalarization import storage

    file = plan.paths.store_file(benchmark)
    store = storage.read_json(file)
    try:
        domains = list(store["domains"].values())
        columns = {attribute: number for number, attribute in enumerate(store["attributes"])}
        images = {split: sum(d["splits"][split][1] - d["splits"][split][0] for d in domains) for split in SPLITS}
        counted = all("positives_per_attribute" in d for d in domains)
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedError(file, f"not the description of a store with attributes ({error!r})", DELETE_IT) from None
    for group, attributes in groups.items():
        for attribute in attributes:
            for split in SPLITS:
                row = {"benchmark": benchmark, "group": group, "attribute": attribute, "split": split}
                row["images"] = images[split]
                if counted:
                    column = columns[attribute]
                    row["positives"] = sum(d["positives_per_attribute"][split][column] for d in domains)
                    row["percent"] = 100 * row["positives"] / images[split]
                yield row


KIND = ArtifactKind(
    "table_a",
    "table",
    "store",
    EXPERIMENT,
    summarize,
    (preconditions.benchmark_with(AttributeLabels, "benchmark '{benchmark}' has no groups of attributes"),),
    columns=TYPES,
)
