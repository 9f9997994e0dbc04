"""Histories of searches, and the policy backtracked from a history (appendix 5.2). Neither torch nor Ray."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from scalarization.errors import DELETE_IT, DamagedError, DataError
from scalarization.methods import grid
from scalarization.plan import Plan
from scalarization.plan.cells import Cell, Search, Shard
from scalarization.search.scores import DIVERGED, ranked
from scalarization.specification import SearchReference
from scalarization.storage import read_metadata, read_table

#: One row per member and interval. ``epoch``: finished epochs at the end of the interval; ``weights`` and ``lr``: those
#: with which the interval was trained, ``lr`` being the peak learning rate; ``score``: validation average over tasks at
#: its end, in percent (losses: negative, so that more is better), minus infinity if the member diverged; ``by_task``:
#: the scores of the tasks; ``parent``: the member whose state the interval resumed from, null in the first interval;
#: ``copied``: whether that is another member; ``explored``: whether the weights differ from those of the parent;
#: ``seconds``: duration of training and validation when it was computed.
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
        ("lr", pa.float64()),
        ("score", pa.float64()),
        ("by_task", pa.list_(pa.float64())),
        ("parent", pa.int32()),
        ("copied", pa.bool_()),
        ("explored", pa.bool_()),
        ("steps", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
#: Relative error of numbers that were computed in another order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Policy:
    """Weights over the epochs of a training, and its learning rate.

    Attributes:
        member: The member with the best score at the end.
        score: Its score.
        weights: One weight vector per interval.
        interval_ends: Finished epochs at the end of each interval.
        lineage: The member that was trained in each interval.
        lr: Peak learning rate.
    """

    member: int
    score: float
    weights: tuple[tuple[float, ...], ...]
    interval_ends: tuple[int, ...]
    lineage: tuple[int, ...]
    lr: float

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


def backtrack(rows: Sequence[dict[str, Any]]) -> Policy | None:
    """The policy of a search: from the best member at the end back through the members it was copied from.

    Args:
        rows: A complete history under :data:`HISTORY_SCHEMA`. Of members with equal scores the lowest number is taken.

    Returns:
        The policy; None if all members diverged.

    Raises:
        ValueError: The history is not complete.
    """
    by_place = {(row["interval"], row["member"]): row for row in rows}
    last = max((interval for interval, _ in by_place), default=0)
    members = {member for _, member in by_place}
    if not by_place or len(by_place) != last * len(members) or len(by_place) != len(rows):
        raise ValueError(f"{len(rows)} rows for {len(members)} members and {last} intervals")
    best = max(members, key=lambda member: (ranked(by_place[last, member]["score"]), -member))
    if ranked(by_place[last, best]["score"]) == DIVERGED:
        return None
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
        path[-1]["lr"],
    )


def read_search(path: Path, search: Search) -> tuple[list[dict[str, Any]], Policy | None]:
    """Rows of the history of a finished search, and the policy backtracked from them.

    Args:
        path: The file.
        search: The search that it should be of.

    Returns:
        The rows, by interval and member; the policy, None if all members diverged.

    Raises:
        DataError: The file is missing, damaged, or not the complete history of this search.
    """
    table = read_table(path, "search")
    if not table.schema.equals(HISTORY_SCHEMA, check_metadata=False):
        raise DamagedError(path, "its columns are not those of a search", DELETE_IT)
    if read_metadata(path).get("specification") != json.loads(json.dumps(search.describe())):
        raise DamagedError(path, f"it is of another search than {search.name}, or of other settings", DELETE_IT)
    if problem := _problem(search, table):
        raise DamagedError(path, f"not the history of {search.name}: {problem}", DELETE_IT)
    rows = table.to_pylist()
    return rows, backtrack(rows)


def _problem(search: Search, table: pa.Table) -> str:
    """What is wrong with the history of a search; empty if nothing is."""
    for name in (name for name in HISTORY_SCHEMA.names if name != "parent"):
        values = table[name]
        if values.null_count or (pa.types.is_list(values.type) and pc.list_flatten(values).null_count):
            return f"column {name} lacks values"
    rows = table.to_pylist()
    places = {(i, m): 1 for i in range(1, len(search.interval_ends) + 1) for m in range(_num_members(search))}
    counts = Counter((row["interval"], row["member"]) for row in rows)
    for interval, member in places | counts:
        count, expected = counts[interval, member], places.get((interval, member), 0)
        if count != expected:
            return f"interval {interval} of member {member} is there {count} times instead of {expected}"
    scores = {(row["interval"], row["member"]): row["score"] for row in rows}
    for row in rows:
        if mistake := _mistake(search, row, scores):
            return f"interval {row['interval']} of member {row['member']} {mistake}"
    return ""


def _num_members(search: Search) -> int:
    """Members that are trained: N, of ``search_grid`` as many as its grid has interior points."""
    if search.method != "search_grid":
        return search.population
    num_tasks = len(search.cell.tasks)
    return math.comb(grid.finest_parts(num_tasks, search.population) - 1, num_tasks - 1)


def _mistake(search: Search, row: dict[str, Any], scores: dict[tuple[int, int], float]) -> str:
    """What is impossible in a row of the history of a search; empty if nothing is."""
    weights, score, num_tasks = row["weights"], row["score"], len(search.cell.tasks)
    if len(weights) != num_tasks or min(weights) < 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        return f"has the weights {weights} instead of {num_tasks} that sum to 1"
    least, largest = search.lr_range
    if not least * (1 - ROUNDING) <= row["lr"] <= largest * (1 + ROUNDING):
        return f"has the learning rate {row['lr']}"
    if search.varies_lr and max(weights) - min(weights) > ROUNDING:
        return f"has the weights {weights} instead of uniform ones"
    if not math.isfinite(score) and score != DIVERGED:
        return f"has the score {score}"
    if row["epoch"] != search.interval_ends[row["interval"] - 1]:
        return f"ends after epoch {row['epoch']}"
    if row["interval"] == 1:
        return "" if row["parent"] is None else f"resumes from member {row['parent']}"
    before = scores.get((row["interval"] - 1, row["parent"]))
    if before is None or (before == DIVERGED != score):
        return f"resumes from member {row['parent']}, which has no state"
    return ""


class NoPolicyError(DataError):
    """All members of a search diverged, so that there are no weights to train with."""


def resolve_policies(plan: Plan, shards: Sequence[Shard]) -> list[Shard]:
    """Shards with the weights, or the learning rate, that searches determined; all other shards are unchanged.

    The policy is in the specification of the cell, its last weights are those of the runs. Where a search is repeated,
    that differs between seeds.

    Args:
        plan: The preset.
        shards: Shards of any cells.

    Raises:
        DataError: A search is missing or damaged.
        NoPolicyError: All members of a search diverged.
    """
    return [_with_policies(plan, shard) for shard in shards]


def _with_policies(plan: Plan, shard: Shard) -> Shard:
    cell, reference = shard.cell, shard.cell.specification.search
    if reference is None:
        return shard
    policies = {search.name: _policy(plan, search) for search in plan.searches_of(cell)}
    references = {run.seed: reference.of_seed(run.seed) for run in cell.runs}
    weights = {seed: policies[own.name].weights[-1] for seed, own in references.items()}
    cell = replace(cell, runs=tuple(replace(run, weights=weights[run.seed]) for run in cell.runs))
    by_seed = {seed: _trained(plan, cell, own, policies[own.name]) for seed, own in references.items()}
    if reference.others:
        return replace(shard, cell=cell, by_seed=by_seed)
    return replace(shard, cell=next(iter(by_seed.values())))


def _policy(plan: Plan, search: Search) -> Policy:
    _, policy = read_search(plan.paths.search_file(search), search)
    if policy is None:
        raise NoPolicyError(
            f"search {search.name}: all members diverged, so it has no policy to train with; set a smaller learning "
            f"rate (searches.{search.key}.changes.recipe.lr, or that of the benchmark)"
        )
    return policy


def _trained(plan: Plan, cell: Cell, reference: SearchReference, policy: Policy) -> Cell:
    """A cell as runs that use one search are trained."""
    specification = cell.specification
    if plan.all_searches[reference.name].varies_lr:
        specification = specification.with_lr(policy.lr)
    by_epoch = policy.by_epoch(specification.epochs, last_only=reference.policy == "last")
    return replace(cell, specification=replace(specification, search=reference, policy=by_epoch))
