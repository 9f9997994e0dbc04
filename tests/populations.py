"""A small preset with searches, and populations whose scores a test determines."""

from __future__ import annotations

import copy
from dataclasses import replace

SEARCH = {
    "benchmark": "digits",
    "task_set": {"mnist+optdigits": ["mnist", "optdigits"]},
    "architectures": {"family": "vit", "depth": [2], "width": [8]},
    "method": "pbt",
    "population": 4,
    "epochs_ready": 2,
    "quantile": 0.25,
    "fraction": 0.5,
    "session": "both",
}
ARCHITECTURE = "vit_d2_w8"


def searching(tiny):
    """The tiny preset with a search by PBT, a search by PB2, and cells that are trained with their policies."""
    preset = copy.deepcopy(tiny)
    preset["benchmarks"]["digits"]["recipe"] |= {"epochs": 5}
    preset["searches"] = {
        "evolved": dict(SEARCH),
        "bandit": SEARCH | {"method": "pb2", "population": 3, "quantile": 0.4},
    }
    preset["experiments"]["searched"] = {
        "benchmark": "digits",
        "task_sets": SEARCH["task_set"],
        "architectures": SEARCH["architectures"],
        "methods": {"pbt": {"search": "evolved"}, "pb2": {"search": "bandit"}},
        "variants": {"base": {}, "last_weights": {"policy": "last"}},
        "seeds": 1,
    }
    return preset


def like(search, num_tasks=2, **changes):
    """A search with other settings, on so many made-up tasks."""
    cell = replace(search.cell, tasks=tuple(f"task_{n}" for n in range(num_tasks)))
    return replace(search, cell=cell, **changes)


def evolve(search, score):
    """Play a search to its end.

    Args:
        search: The search.
        score: (interval, member) -> what the member scores at the end of the interval.

    Returns:
        (interval, member) -> the member's weights so far, and the parent that `Population.report` returned.
    """
    from scalarization.search.schedulers import Population

    population, rounds = Population(search), {}
    while not population.finished:
        running = []
        while (started := population.start()) is not None:
            running.append(started)
        for member, lineage in running:
            parent = population.report(member, lineage, score(len(lineage), member))
            rounds[len(lineage), member] = (lineage, parent)
    return rounds


def history(search, weights_and_scores):
    """Rows of a history without exploitation.

    Args:
        search: The search.
        weights_and_scores: (interval, member) -> weights and score.
    """
    from scalarization.search.settings import initial_settings

    rows = []
    for interval, end in enumerate(search.interval_ends, 1):
        for member in range(len(initial_settings(search))):
            weights, score = weights_and_scores(interval, member)
            rows.append(
                {
                    "search": search.key,
                    "method": search.method,
                    "benchmark": search.cell.benchmark,
                    "task_set": search.cell.task_set,
                    "architecture": search.cell.architecture.name,
                    "member": member,
                    "interval": interval,
                    "epoch": end,
                    "weights": list(weights),
                    "lr": search.cell.specification.recipe.lr,
                    "score": score,
                    "by_task": [score] * len(search.cell.tasks),
                    "parent": None if interval == 1 else member,
                    "copied": False,
                    "explored": False,
                    "steps": 4,
                    "seconds": 0.5,
                }
            )
    return rows


def write_history(path, search, rows, **metadata):
    """Write a history as a search does; `metadata` replaces what it says of itself."""
    import pyarrow as pa

    from scalarization.search.policies import HISTORY_SCHEMA
    from scalarization.storage import write_table

    table = pa.Table.from_pylist(rows, HISTORY_SCHEMA)
    write_table(path, table, {"specification": search.describe(), **metadata})
