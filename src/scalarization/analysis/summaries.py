"""Whether a summary, as read back from its file, has what its drawing needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scalarization.errors import DELETE_IT, DataError
from scalarization.plan.artifacts import EXPERIMENT, load_kind

if TYPE_CHECKING:
    import pandas as pd

#: Metadata of every summary; see :func:`scalarization.analysis.metadata`.
COMMON_KEYS = ("artifact", "kind", "preset", "seeds", "seeds_planned")
#: Further metadata of a summary of one experiment.
EXPERIMENT_KEYS = ("experiment", "benchmark", "reference", "setting", "reported", "task_sets", "variants")


def check_summary(kind: str, summary: pd.DataFrame, metadata: Mapping[str, Any]) -> None:
    """Check a summary before it is drawn.

    Args:
        kind: Name of the kind as which it is drawn.
        summary: As read back from its file.
        metadata: That of the file.

    Raises:
        DataError: It has no rows, lacks a column or a key of its metadata, or is of another kind.
    """
    declared = load_kind(kind)
    keys = COMMON_KEYS + (EXPERIMENT_KEYS if declared.needs == EXPERIMENT else ())
    name = f"summary/{metadata['artifact']}.parquet" if "artifact" in metadata else f"summary of kind {kind}"
    missing_keys = [key for key in keys if key not in metadata]
    missing_columns = [column for column in declared.columns if column not in summary]
    if missing_keys:
        problem = f"its metadata have no '{missing_keys[0]}'"
    elif metadata["kind"] != kind:
        problem = f"it is of kind {metadata['kind']}, not {kind}"
    elif missing_columns:
        problem = f"it has no column '{missing_columns[0]}'"
    elif summary.empty:
        problem = "it has no rows"
    else:
        return
    raise DataError(f"{name}: {problem}; {DELETE_IT}")
