"""Histories of searches, and the policy that is backtracked from them (paper A 5.2). Neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scalarization.errors import DataError

#: One row per member and interval. ``epoch``: finished epochs at the interval's end; ``weights``: those it was trained
#: with; ``score``: validation average over tasks at its end, in percent (losses: negative, so that more is better);
#: ``by_task``: the tasks' own; ``parent``: the member whose state it went on from, null in the first interval;
#: ``copied``: whether that is another member; ``explored``: whether its weights differ from the parent's;
#: ``seconds``: of training and validation, when it was computed.
HISTORY_SCHEMA = pa.schema(
    [
        ("search", pa.string()),
        ("method", pa.string()),
        ("benchmark", pa.string()),
        ("task_set", pa.string()),
        ("architecture", pa.string()),
        ("member", pa.int32()),
        ("interval", pa.int32()),
        ("epoch", pa.int32()),
        ("weights", pa.list_(pa.float64())),
        ("score", pa.float64()),
        ("by_task", pa.list_(pa.float64())),
        ("parent", pa.int32()),
        ("copied", pa.bool_()),
        ("explored", pa.bool_()),
        ("steps", pa.int64()),
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Policy:
    """Weights over the epochs of a training.

    Attributes:
        member: The member with the best score at the end.
        score: That score.
        weights: One weight vector per interval.
        ends: Finished epochs at the end of each interval.
        lineage: The member that was trained in each interval.
    """

    member: int
    score: float
    weights: tuple[tuple[float, ...], ...]
    ends: tuple[int, ...]
    lineage: tuple[int, ...]

    def by_epoch(self, epochs: int, last_only: bool = False) -> list[list[float]]:
        """The weights of every epoch of a training of another length, stretched to it.

        Args:
            epochs: Epochs of that training.
            last_only: The last interval's weights from the beginning (paper A 5.2).

        Returns:
            ``epochs`` weight vectors.
        """
        if last_only:
            return [list(self.weights[-1])] * epochs
        found = []
        for epoch in range(epochs):
            searched = epoch * self.ends[-1] // epochs
            found.append(list(self.weights[next(i for i, end in enumerate(self.ends) if searched < end)]))
        return found


def backtrack(rows: Sequence[dict[str, Any]]) -> Policy:
    """The policy of a search: from the best member at the end back through those it was copied from.

    Args:
        rows: A whole history under :data:`HISTORY_SCHEMA`. Of equal scores the member with the lowest number counts.

    Raises:
        ValueError: The history is not whole.
    """
    found = {(row["interval"], row["member"]): row for row in rows}
    last = max((interval for interval, _ in found), default=0)
    members = {member for _, member in found}
    if len(found) != last * len(members) or len(found) != len(rows) or not found:
        raise ValueError(f"{len(rows)} rows for {len(members)} members and {last} intervals")
    best = max(members, key=lambda m: (found[last, m]["score"], -m))
    lineage = [best]
    for interval in range(last, 1, -1):
        lineage.append(found[interval, lineage[-1]]["parent"])
    lineage.reverse()
    path = [found[interval, member] for interval, member in enumerate(lineage, 1)]
    return Policy(
        best,
        found[last, best]["score"],
        tuple(tuple(row["weights"]) for row in path),
        tuple(row["epoch"] for row in path),
        tuple(lineage),
    )


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of the history of a finished search.

    Raises:
        DataError: The file is missing, damaged, or has another schema.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such search; make it with: snakemake --cores all {path}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); delete it and run snakemake again") from None
    if not table.schema.equals(HISTORY_SCHEMA, check_metadata=False):
        raise DataError(f"{path}: its columns are not those of a search; delete it and run snakemake again")
    return table.to_pylist()


def read_policy(path: Path) -> Policy:
    """The policy of a finished search.

    Raises:
        DataError: As :func:`read_history`, or the history is not whole.
    """
    try:
        return backtrack(read_history(path))
    except ValueError as error:
        raise DataError(f"{path}: not a whole search ({error}); delete it and run snakemake again") from None
