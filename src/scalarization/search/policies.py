"""Histories of searches, and the policy backtracked from a history (appendix 5.2). Neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scalarization.errors import DataError
from scalarization.plan import Plan
from scalarization.plan.cells import Shard

#: One row per member and interval. ``epoch``: finished epochs at the end of the interval; ``weights``: those with which
#: the interval was trained; ``score``: validation average over tasks at its end, in percent (losses: negative, so that
#: more is better); ``by_task``: the scores of the tasks; ``parent``: the member whose state the interval resumed from,
#: null in the first interval; ``copied``: whether that is another member; ``explored``: whether the weights differ from
#: those of the parent; ``seconds``: duration of training and validation when it was computed.
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
        score: Its score.
        weights: One weight vector per interval.
        interval_ends: Finished epochs at the end of each interval.
        lineage: The member that was trained in each interval.
    """

    member: int
    score: float
    weights: tuple[tuple[float, ...], ...]
    interval_ends: tuple[int, ...]
    lineage: tuple[int, ...]

    def by_epoch(self, epochs: int, last_only: bool = False) -> tuple[tuple[float, ...], ...]:
        """The weights of every epoch of a training; the policy is stretched to its length.

        Args:
            epochs: Epochs of the training.
            last_only: Use the weights of the last interval from the first epoch on (appendix 5.2).

        Returns:
            ``epochs`` weight vectors.
        """
        if last_only:
            return (self.weights[-1],) * epochs
        searched = (epoch * self.interval_ends[-1] // epochs for epoch in range(epochs))
        return tuple(self.weights[next(i for i, end in enumerate(self.interval_ends) if e < end)] for e in searched)


def backtrack(rows: Sequence[dict[str, Any]]) -> Policy:
    """The policy of a search: from the best member at the end back through the members it was copied from.

    Args:
        rows: A complete history under :data:`HISTORY_SCHEMA`. Of members with equal scores the lowest number is taken.

    Raises:
        ValueError: The history is not complete.
    """
    by_place = {(row["interval"], row["member"]): row for row in rows}
    last = max((interval for interval, _ in by_place), default=0)
    members = {member for _, member in by_place}
    if not by_place or len(by_place) != last * len(members) or len(by_place) != len(rows):
        raise ValueError(f"{len(rows)} rows for {len(members)} members and {last} intervals")
    best = max(members, key=lambda member: (by_place[last, member]["score"], -member))
    lineage = [best]
    for interval in range(last, 1, -1):
        lineage.append(by_place[interval, lineage[-1]]["parent"])
    lineage.reverse()
    path = [by_place[interval, member] for interval, member in enumerate(lineage, 1)]
    return Policy(
        best,
        by_place[last, best]["score"],
        tuple(tuple(row["weights"]) for row in path),
        tuple(row["epoch"] for row in path),
        tuple(lineage),
    )


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of the history of a finished search.

    Raises:
        DataError: The file is missing or damaged, or has another schema.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such search; run it with: snakemake --cores all {path}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); delete it and run snakemake again") from None
    if not table.schema.equals(HISTORY_SCHEMA, check_metadata=False):
        raise DataError(f"{path}: its columns are not those of a search; delete it and run snakemake again")
    return table.to_pylist()


def read_search(path: Path) -> tuple[list[dict[str, Any]], Policy]:
    """Rows of the history of a finished search, and the policy backtracked from them.

    Raises:
        DataError: As :func:`read_history`, or the history is not complete.
    """
    rows = read_history(path)
    try:
        return rows, backtrack(rows)
    except ValueError as error:
        raise DataError(f"{path}: not a complete search ({error}); delete it and run snakemake again") from None


def resolve_policies(plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
    """Shards with the weights that searches determined; all other shards are returned unchanged.

    The policy is in the specification of the cell, its last weights are those of the runs.

    Args:
        plan: The preset.
        shards: Shards of any cells.

    Raises:
        DataError: A search is missing or damaged.
    """
    return [_with_policy(plan, shard) for shard in shards]


def _with_policy(plan: Plan, shard: Shard) -> Shard:
    cell, search = shard.cell, plan.search_of(shard.cell)
    reference = cell.specification.search
    if search is None or reference is None:
        return shard
    _, policy = read_search(plan.paths.search_file(search))
    by_epoch = policy.by_epoch(cell.specification.epochs, last_only=reference.policy == "last")
    specification = replace(cell.specification, policy=by_epoch)
    runs = tuple(replace(run, weights=policy.weights[-1]) for run in cell.runs)
    return replace(shard, cell=replace(cell, specification=specification, runs=runs))
