"""Presets with searches of the weights, their histories, and run files of the retrained models; made-up numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import synthetic_methods

from scalarization import storage
from scalarization.plan import Plan
from scalarization.plan.cells import Search
from scalarization.search.policies import HISTORY_SCHEMA

TASKS = ["gender", "activity", "role"]
SESSION = {"workers": 2, "seconds": 70.0, "startup_seconds": 9.0, "trained_seconds": 100.0, "searches": ["a", "b"]}
#: (weights, score, parent) of every member, interval by interval. Member 0 is best in the end: after the second
#: interval it copied member 1 and changed the weights it took over. Member 2 copied member 0 after the first interval.
STORY = [
    [((0.5, 0.3, 0.2), 70.0, None), ((0.2, 0.2, 0.6), 71.0, None), ((0.1, 0.8, 0.1), 60.0, None)],
    [((0.5, 0.3, 0.2), 72.0, 0), ((0.2, 0.2, 0.6), 75.0, 1), ((0.6, 0.3, 0.1), 73.0, 0)],
    [((0.25, 0.25, 0.5), 80.0, 1), ((0.2, 0.2, 0.6), 79.0, 1), ((0.6, 0.3, 0.1), 74.0, 2)],
]


def constant(search: Search) -> list[list[tuple]]:
    """A history without exploitation."""
    later = [[(w, s, member) for member, (w, s, _) in enumerate(STORY[0])]] * (len(search.interval_ends) - 1)
    return [STORY[0], *later]


def for_tasks(search: Search) -> list[list[tuple]]:
    """The story with as many weights as the search has tasks: the last task gets the sum of the rest."""
    last = len(search.cell.tasks) - 1
    return [[((*w[:last], sum(w[last:])), score, parent) for w, score, parent in members] for members in STORY]


def search(**changes: Any) -> dict[str, Any]:
    """A search of three members, with intervals of two, two and one epochs, unless changed."""
    return {
        "benchmark": "emoji_people",
        "task_set": {"three": TASKS},
        "architectures": {"family": "vit", "depth": [1], "width": [48]},
        "method": "pbt",
        "population": 3,
        "epochs_ready": 2,
        "changes": {"recipe": {"epochs": 5}},
        **changes,
    }


def experiment(**changes: Any) -> dict[str, Any]:
    """Three groups, uniform weights and those of the search ``found``, unless changed."""
    methods = {"uniform": {}, "pbt": {"search": "found"}}
    return synthetic_methods.experiment(task_sets={"three": TASKS}, methods=methods, **changes)


def preset(artifacts: dict[str, dict], searches: dict[str, dict], **experiments: dict[str, Any]) -> dict[str, Any]:
    """A preset with some searches and experiments."""
    content = synthetic_methods.preset(artifacts, **(experiments or {"people": experiment()}))
    return {**content, "searches": searches}


def write_history(
    plan: Plan, search: Search, story: list[list[tuple]] = STORY, session: dict[str, Any] | None = None
) -> None:
    """Write the history of a search from (weights, score, parent) of every member, interval by interval."""
    cell, rows, first = search.cell, [], 0
    for interval, (members, end) in enumerate(zip(story, search.interval_ends, strict=True), 1):
        for member, (weights, score, parent) in enumerate(members):
            before = story[interval - 2][parent][0] if interval > 1 else weights
            rows.append(
                {
                    "search": search.key,
                    "method": search.method,
                    "benchmark": cell.benchmark,
                    "task_set": cell.task_set,
                    "architecture": cell.architecture.name,
                    "member": member,
                    "interval": interval,
                    "epoch": end,
                    "weights": list(weights),
                    "lr": cell.specification.recipe.lr,
                    "score": score,
                    "by_task": [score] * len(cell.tasks),
                    "parent": parent,
                    "copied": parent not in (None, member),
                    "explored": list(before) != list(weights),
                    "steps": (end - first) * cell.specification.steps_per_epoch,
                    "seconds": 2.5,
                }
            )
        first = end
    metadata = {
        "specification": search.describe(),
        "validation_images": 1000,
        "session": SESSION if session is None else session,
    }
    storage.write_table(plan.paths.search_file(search), pa.Table.from_pylist(rows, HISTORY_SCHEMA), metadata)


def plausible(search: Search) -> list[list[tuple]]:
    """A history as a real search would leave it: the worst member copies the best one and moves a little."""
    draw = np.random.default_rng([len(search.key), search.population, search.cell.architecture.depth])
    weights = draw.dirichlet(np.ones(len(search.cell.tasks)), search.population)
    parents: list[int | None] = [None] * search.population
    story = []
    for interval in range(len(search.interval_ends)):
        scores = 70 + 3 * interval - 10 * np.abs(weights - 1 / len(search.cell.tasks)).sum(axis=1)
        story.append([(tuple(w), float(s), p) for w, s, p in zip(weights, scores, parents, strict=True)])
        best, worst = int(scores.argmax()), np.argsort(scores)[: search.num_exploiting]
        parents = [best if member in worst else member for member in range(search.population)]
        weights = weights[parents]
        weights[worst] *= draw.choice([0.8, 1.2], weights[worst].shape)
        weights /= weights.sum(axis=1, keepdims=True)
    return story


def write(plan: Plan, value, story=plausible) -> None:
    """Write the histories of all searches and the run files of all cells."""
    for planned in plan.searches.values():
        write_history(plan, planned, story(planned))
    synthetic_methods.write_runs(plan, value)
