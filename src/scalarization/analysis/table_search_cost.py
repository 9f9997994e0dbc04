"""What searches take: expected trainings next to measured ones, and what managing the population adds."""

from __future__ import annotations

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
        weights in the history; ``diverged``, the members that diverged at some interval; ``seconds`` of training and
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
    session = _session(plan, search)
    steps, full_steps = sum(row["steps"] for row in rows), search.full_steps
    overhead = session["seconds"] - session["trained_seconds"] / session["workers"]
    return {
        **columns,
        "trainings": searches.num_trainings(search),
        "trainings_measured": steps / full_steps + 1,
        "configurations": search.num_configurations,
        "configurations_measured": len({tuple(round(w, DECIMALS) for w in row["weights"]) for row in rows}),
        "diverged": len({row["member"] for row in rows if searches.scored(row)["diverged"]}),
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


def _session(plan: Plan, search: Search) -> dict[str, Any]:
    """What the history's metadata say about the session that ran the search."""
    from scalarization import storage

    file = plan.paths.search_file(search)
    session = storage.read_metadata(file).get("session")
    if session is None:
        raise DataError(f"{file}: its metadata lack the session; delete it and run snakemake again")
    return session


KIND = ArtifactKind("table_search_cost", "table", "runs", SEARCHES, summarize, columns=TYPES)
