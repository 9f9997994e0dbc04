"""Trains cells with the weights that searches determined."""

from __future__ import annotations

from collections.abc import Sequence

from scalarization.plan import Plan
from scalarization.plan.cells import Shard
from scalarization.search.policies import NoPolicyError, resolve_policies


def train(plan: Plan, shards: Sequence[Shard], time_limit: float | None) -> None:
    """Train shards as :func:`scalarization.training.job.train_shards` does, some of them with policies of searches.

    A shard whose search has no policy, because all its members diverged, is refused after all others are trained.

    Args:
        plan: The preset.
        shards: What to train, all of one benchmark.
        time_limit: Seconds after which the job must have exited; None: no limit.

    Raises:
        NoPolicyError: All members of a search diverged.
        UserError, DataError, StoppedError: As :func:`scalarization.training.job.train_shards`.
    """
    from scalarization.training.job import train_shards

    resolved: list[Shard] = []
    refused: list[str] = []
    for shard in shards:
        try:
            resolved += resolve_policies(plan, [shard])
        except NoPolicyError as error:
            refused.append(str(error))
    if resolved:
        train_shards(plan, resolved, time_limit)
    if refused:
        raise NoPolicyError("; ".join(dict.fromkeys(refused)))
