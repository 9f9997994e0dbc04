"""What searches take, expected and measured; what managing the population adds; and by how much the best one won."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scalarization.analysis import result_files, runs, searches
from scalarization.errors import DataError
from scalarization.plan import Plan
from scalarization.plan.artifacts import SEARCHES, ArtifactKind
from scalarization.plan.cells import Search

if TYPE_CHECKING:
    import pandas as pd

#: Weights are counted as the same if they agree after rounding to so many decimals.
DECIMALS = 9
TYPES = {
    **searches.TYPES,
    "trainings": "float64",
    "trainings_measured": "float64",
    "configurations": "Int64",
    "configurations_measured": "Int64",
    "diverged": "Int64",
    "won_by": "float64",
    "validation_images": "Int64",
    "steps": "Int64",
    "full_steps": "Int64",
    "seconds": "float64",
    "session": "string",
    "session_searches": "Int64",
    "workers": "Int64",
    "session_seconds": "float64",
    "startup_seconds": "float64",
    "trained_seconds": "float64",
    "overhead_seconds": "float64",
}


def summarize(plan: Plan, artifact: str) -> pd.DataFrame:
    """One row per search.

    Returns:
        Columns of :data:`searches.TYPES`; ``trainings`` expected, N r + 1, and ``trainings_measured``, the ``steps`` of
        all members relative to ``full_steps``, those of one training on the whole training set, plus one;
        ``configurations`` expected, N + ceil(N Q) (intervals - 1), and ``configurations_measured``, the distinct
        weights and learning rates in the history; ``diverged``, the members that diverged at some interval; ``won_by``,
        the score at the end of the best member, whose policy is used, minus that of the second best, null if fewer than
        two have one; ``validation_images``, the number of images that scores rest on; ``seconds`` of training and
        validation of all members. Of the session that ran it, together with ``session_searches - 1`` others: its name,
        ``workers``, ``session_seconds`` from beginning to end, ``startup_seconds`` of them until the first member could
        be trained, ``trained_seconds``, the sum over workers of the time they trained, and ``overhead_seconds`` per
        search, (session_seconds - trained_seconds / workers) / session_searches. A search that is not selected has
        ``present`` false and nulls.

    Raises:
        ConfigError: ``only:`` selects none of the searches.
        DataError: A history is missing, damaged or incomplete.
    """
    planned = searches.planned(plan, artifact)
    return runs.table((_row(plan, search) for search in planned), TYPES)


def _row(plan: Plan, search: Search) -> dict[str, Any]:
    columns = searches.columns(plan, search)
    if not columns["present"]:
        return columns
    rows, _ = result_files.read_search(plan, search)
    metadata = _metadata(plan, search)
    session = metadata["session"]
    steps, full_steps = sum(row["steps"] for row in rows), search.full_steps
    overhead = session["seconds"] - session["trained_seconds"] / session["workers"]
    return {
        **columns,
        "trainings": searches.num_trainings(search),
        "trainings_measured": steps / full_steps + 1,
        "configurations": search.num_configurations,
        "configurations_measured": len(
            {tuple(round(w, DECIMALS) for w in (*row["weights"], row["lr"])) for row in rows}
        ),
        "diverged": len({row["member"] for row in rows if searches.scored(row)["diverged"]}),
        "won_by": _margin(search, rows),
        "validation_images": metadata["validation_images"],
        "steps": steps,
        "full_steps": full_steps,
        "seconds": sum(row["seconds"] for row in rows),
        "session": search.session,
        "session_searches": len(session["searches"]),
        "workers": session["workers"],
        "session_seconds": session["seconds"],
        "startup_seconds": session["startup_seconds"],
        "trained_seconds": session["trained_seconds"],
        "overhead_seconds": overhead / len(session["searches"]),
    }


def _margin(search: Search, rows: Sequence[dict[str, Any]]) -> float | None:
    """Score at the end of the best member minus that of the second best; None if fewer than two have one."""
    at_the_end = [searches.scored(row)["score"] for row in rows if row["interval"] == len(search.interval_ends)]
    scores = sorted(score for score in at_the_end if score is not None)
    return scores[-1] - scores[-2] if len(scores) > 1 else None


def _metadata(plan: Plan, search: Search) -> dict[str, Any]:
    """What the history says of the session that ran the search, and of the images that its scores rest on."""
    from scalarization import storage

    file = plan.paths.search_file(search)
    metadata = storage.read_metadata(file)
    for key, name in (("session", "session"), ("validation_images", "number of validation images")):
        if key not in metadata:
            raise DataError(f"{file}: its metadata lack the {name}; delete it and run snakemake again")
    return metadata


KIND = ArtifactKind("table_search_cost", "table", "runs", SEARCHES, summarize, columns=TYPES)
