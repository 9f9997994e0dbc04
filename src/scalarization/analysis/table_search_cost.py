"""What searches cost: formulas beside what was measured, and what their management adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scalarization import storage
from scalarization.analysis import _runs, _searches
from scalarization.errors import DataError
from scalarization.experiments import Plan
from scalarization.searches import Search

#: Weights that differ by less than rounding are the same.
DECIMALS = 9
TYPES = {
    **_searches.TYPES,
    "trainings": "float64",
    "trainings_measured": "float64",
    "configurations": "Int64",
    "configurations_measured": "Int64",
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
        Columns of :data:`_searches.TYPES`; ``trainings`` expected, N r + 1, and ``trainings_measured``, the ``steps``
        of all members relative to ``full_steps``, those of one training on the whole training set, plus one;
        ``configurations`` expected, N + ceil(N Q) (intervals - 1), and ``configurations_measured``, the distinct
        weights in the history; ``seconds`` of training and validation of all members. Of the session that made it,
        together with ``session_searches - 1`` others: its name, ``workers``, ``session_seconds`` from beginning to end,
        ``startup_seconds`` of them until the first member could be trained, ``trained_seconds``, the sum over workers
        of what was trained in it, and ``overhead_seconds`` per search: what is left of the time when the workers' work
        is taken off, (session - trained / workers) / searches. A search that was left out has ``present`` false and
        nulls.

    Raises:
        ConfigError: The artifact names no searches, or ``only:`` left nothing of them.
        DataError: A history is missing, damaged, or not whole.
    """
    return _runs.table((row for s in _searches.planned(plan, artifact) for row in _rows(plan, s)), TYPES)


def _rows(plan: Plan, search: Search) -> Iterator[dict[str, Any]]:
    known = _searches.describe(plan, search)
    if not known["present"]:
        yield known
        return
    rows, _ = _searches.history(plan, search)
    file = plan.search_file(search)
    session = storage.read_metadata(file).get("session")
    if session is None:
        raise DataError(f"{file}: its metadata lack the session; delete it and run snakemake again")
    steps, full_steps = sum(row["steps"] for row in rows), plan.full_steps(search)
    overhead = session["seconds"] - session["trained_seconds"] / session["workers"]
    yield {
        **known,
        "trainings": _searches.cost(search),
        "trainings_measured": steps / full_steps + 1,
        "configurations": search.configurations,
        "configurations_measured": len({tuple(np.round(row["weights"], DECIMALS)) for row in rows}),
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
