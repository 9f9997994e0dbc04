"""Files of results, compared with what the plan asks for: one check for each schema, before a value is used.

A file that was copied from elsewhere, that lacks rows or has some twice, or that has a value that cannot be (infinite,
an accuracy above 100) is refused. NaN is the value of a run that diverged, and minus infinity the score of a member of
a search that did; they are no mistakes.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization.analysis.statistics import Limits
from scalarization.errors import DELETE_IT, DamagedError
from scalarization.plan import Plan
from scalarization.plan.cells import Cell, Run, Search, Shard
from scalarization.specification import AttributeOutputs, DenseOutputs, DomainOutputs

if TYPE_CHECKING:
    from scalarization.search.policies import Policy

Row = dict[str, Any]
#: Kind of outputs -> metrics of an evaluation, that of quality first.
METRICS: dict[type, tuple[str, ...]] = {
    DomainOutputs: ("accuracy", "loss"),
    AttributeOutputs: ("accuracy", "balanced_accuracy", "loss"),
    DenseOutputs: ("l1", "l1_constant"),
}
#: Metric -> largest possible value; none is negative.
LARGEST = {"accuracy": 100.0, "balanced_accuracy": 100.0}
#: Columns of a profile.
PROFILE_KEYS = ("benchmark", "architecture", "batch_size", "method", "tasks")
PROFILE_VALUES = ("seconds_per_step", "time_ratio", "peak_bytes", "memory_ratio")
#: Rounding of a mean may exceed a limit by this much.
TOLERANCE = 1e-6


def limits(metric: str) -> Limits:
    """The least and the largest possible value of a metric."""
    return 0.0, LARGEST.get(metric, math.inf)


def difference_limits(metric: str) -> Limits:
    """The least and the largest possible difference of two values of a metric."""
    largest = LARGEST.get(metric, math.inf)
    return -largest, largest


def read_runs(plan: Plan, cell: Cell) -> list[Row]:
    """Rows of a cell's run file: one per run, epoch, split, task and metric, complete for every run of the cell.

    Args:
        plan: The plan.
        cell: A cell that is selected.

    Raises:
        DataError: The file is missing or damaged, or its rows are not those of the cell.
    """
    from scalarization import storage
    from scalarization.completeness import problem_of_run

    path, cell = plan.paths.run_file(cell), plan.cells[cell.name]
    rows = storage.read_run_file(path).to_pylist()
    _check_identity(path, rows, {**_identity(cell), "method": cell.method})
    metrics = set(METRICS[type(cell.specification.outputs)])
    for run, of_run in _by_run(path, rows, cell.runs).items():
        if problem := problem_of_run(cell, of_run):
            raise _refused(path, f"{_named(run)} {problem}")
        if missing := sorted(metrics - {row["metric"] for row in of_run}):
            raise _refused(path, f"{_named(run)} lacks metric {missing[0]}")
        _check_weights(path, run, {tuple(row["weights"]) for row in of_run}, len(cell.tasks))
        for row in of_run:
            # Methods may minimise something else than a mean of losses, so only that of the batches may be negative.
            least = -math.inf if row["split"] == "batches" else 0.0
            if not _is_number_or_nan(row["value"], least, LARGEST.get(row["metric"], math.inf)):
                place = f"'{row['task']}' on {row['split']} at epoch {row['epoch']}"
                raise _refused(path, f"{_named(run)} has {row['metric']} {row['value']} for {place}")
    return rows


def read_conflicts(plan: Plan, cell: Cell) -> list[Row]:
    """Rows of a conflict file: one per run, epoch and pair of tasks, complete for every run of the cell.

    Args:
        plan: The plan.
        cell: A cell in which conflicts are counted and that is selected.

    Raises:
        DataError: The file is missing or damaged, or its rows are not those of the cell.
    """
    from scalarization import storage

    path, cell = plan.paths.run_file(cell), plan.counted[cell.name]
    rows = storage.read_conflict_file(path).to_pylist()
    quality = METRICS[type(cell.specification.outputs)][0]
    _check_identity(path, rows, {**_identity(cell), "method": cell.method, "metric": quality})
    limits = {
        "validation": (0.0, LARGEST.get(quality, math.inf)),
        "train_loss": (-math.inf, math.inf),
        "mean_cosine": (-1.0, 1.0),
        "norm_i": (0.0, math.inf),
        "norm_j": (0.0, math.inf),
    }
    pairs = itertools.combinations(cell.tasks, 2)
    places = {(epoch, *pair) for pair in pairs for epoch in range(1, cell.specification.epochs + 1)}
    for run, of_run in _by_run(path, rows, cell.runs).items():
        _check_once(path, _named(run), of_run, ("epoch", "task_i", "task_j"), places)
        for row in of_run:
            place = f"{_named(run)}, epoch {row['epoch']}"
            conflicts, steps, zero = (row[name] or 0 for name in ("conflicts", "steps", "zero"))
            if min(conflicts, zero) < 0 or conflicts > steps:
                raise _refused(path, f"{place}: {conflicts} conflicts in {steps} steps, {zero} without a gradient")
            for name, (least, largest) in limits.items():
                is_absent = row[name] is None and name not in ("validation", "train_loss")
                if not (is_absent or _is_number_or_nan(row[name], least, largest)):
                    raise _refused(path, f"{place}: {name} is {row[name]}")
    return rows


def read_search(plan: Plan, search: Search) -> tuple[list[Row], Policy | None]:
    """Rows of a search's history, and the policy backtracked from them; None if all members diverged.

    Raises:
        DataError: The history is missing or damaged, or its rows are not those of the search.
    """
    from scalarization.search import policies

    path = plan.paths.search_file(search)
    rows, policy = policies.read_search(path, search)
    identity = {name: _identity(search.cell)[name] for name in ("benchmark", "task_set", "architecture")}
    _check_identity(path, rows, {**identity, "search": search.key, "method": search.method})
    quality = METRICS[type(search.cell.specification.outputs)][0]
    least, largest = (0.0, LARGEST[quality]) if quality in LARGEST else (-math.inf, 0.0)
    for row in rows:
        place = f"member {row['member']}, interval {row['interval']}"
        if row["score"] != -math.inf and not _is_number(row["score"], least, largest):
            raise _refused(path, f"{place}: the score is {row['score']}")
        if row["steps"] < 0 or not _is_number(row["seconds"], 0.0, math.inf):
            raise _refused(path, f"{place}: {row['steps']} steps in {row['seconds']} s")
    return rows, policy


def read_profile(plan: Plan, name: str) -> list[Row]:
    """Rows of a profile, one per method and number of tasks.

    Args:
        plan: The plan.
        name: Key of the preset's ``profiles``.

    Raises:
        DataError: The file is missing or damaged, or its rows are not those of the profile.
    """
    from scalarization import storage

    path, profile = plan.paths.profile_file(name), plan.profile(name)
    table = storage.read_table(path, "profile")
    if missing := [column for column in (*PROFILE_KEYS, *PROFILE_VALUES) if column not in table.column_names]:
        raise _refused(path, f"has no column '{missing[0]}'")
    rows, cell = table.to_pylist(), profile.cell
    identity = {"benchmark": cell.benchmark, "architecture": cell.architecture.name}
    _check_identity(path, rows, {**identity, "batch_size": cell.specification.recipe.batch_size})
    _check_once(path, name, rows, ("method", "tasks"), set(itertools.product(profile.methods, profile.num_tasks)))
    diverged = {(note["method"], note["tasks"]) for note in storage.read_metadata(path).get("diverged", [])}
    for row, column in itertools.product(rows, PROFILE_VALUES):
        # The times of a method that diverged are NaN, and so are ratios to those of uniform scalarization if it did.
        timed = {"seconds_per_step": {row["method"]}, "time_ratio": {row["method"], "uniform"}}.get(column, set())
        is_valid = _is_number_or_nan if diverged & {(m, row["tasks"]) for m in timed} else _is_number
        if not is_valid(row[column], 0.0, math.inf):
            raise _refused(path, f"{row['method']} with {row['tasks']} tasks: {column} is {row[column]}")
    return rows


def read_examples(plan: Plan, cell: Cell) -> list[Row]:
    """Rows of a cell's predictions, and of images and targets, which are there once.

    Args:
        plan: The plan.
        cell: A cell of dense tasks that is selected.

    Raises:
        DataError: The file is missing or damaged, or its rows are not those of the cell.
    """
    from scalarization import storage

    path = plan.paths.examples_file(Shard(cell))
    assert path is not None  # its tasks are dense
    rows = storage.read_example_file(path).to_pylist()
    _check_identity(path, rows, {**_identity(cell), "method": cell.method})
    given = [row for row in rows if row["content"] != "prediction"]
    examples = {row["example"] for row in given}
    kinds = [("image", None), *(("target", task) for task in cell.tasks)]
    keys = ("example", "content", "task")
    _check_once(path, "", given, keys, {(example, *kind) for example in examples for kind in kinds})
    predictions = {(example, "prediction", task) for example in examples for task in cell.tasks}
    predicted = [row for row in rows if row["content"] == "prediction"]
    for run, of_run in _by_run(path, predicted, plan.cells[cell.name].runs).items():
        _check_once(path, _named(run), of_run, keys, predictions)
    for row in rows:
        if len(row["values"]) != math.prod(row["shape"]):
            place = f"{row['content']} of '{row['task']}' in example {row['example']}"
            raise _refused(path, f"{place}: {len(row['values'])} values for shape {row['shape']}")
    return rows


def _identity(cell: Cell) -> Row:
    """Columns that are the same in all rows of a cell's file, but the method."""
    return {
        "benchmark": cell.benchmark,
        "task_set": cell.task_set,
        "architecture": cell.architecture.name,
        "depth": cell.architecture.depth,
        "width": cell.architecture.width,
        "shared_layers": cell.architecture.shared_layers,
        "variant": cell.variant,
    }


def _check_identity(path: Path, rows: Sequence[Row], expected: Row) -> None:
    """The file has rows, and all are of what it should be about."""
    if not rows:
        raise _refused(path, "has no rows")
    for name, value in expected.items():
        for other in {row[name] for row in rows} - {value}:
            raise _refused(path, f"has rows of {name} {other}, not of {value}")


def _by_run(path: Path, rows: Iterable[Row], runs: Sequence[Run]) -> dict[Run, list[Row]]:
    """The rows of every run; all runs are there, and no other."""
    by_place: dict[tuple[int, int], list[Row]] = {(run.weight_setting, run.seed): [] for run in runs}
    for row in rows:
        place = row["weight_setting"], row["seed"]
        if place not in by_place:
            raise _refused(path, f"has rows of weight setting {place[0]}, seed {place[1]}, which the preset has not")
        by_place[place].append(row)
    by_run = {run: by_place[run.weight_setting, run.seed] for run in runs}
    if missing := [run for run, of_run in by_run.items() if not of_run]:
        raise _refused(path, f"lacks {len(missing)} of {len(runs)} runs, such as {_named(missing[0])}")
    return by_run


def _check_once(
    path: Path, what: str, rows: Iterable[Row], keys: tuple[str, ...], expected: set[tuple[Any, ...]]
) -> None:
    """Each expected row is there once, and no other.

    Args:
        path: The file.
        what: What the rows are of, for messages.
        rows: The rows.
        keys: Columns that tell them apart.
        expected: Their values.
    """
    counts = Counter(tuple(row[key] for key in keys) for row in rows)
    for place in sorted({*counts, *expected}, key=str):
        if counts[place] != (place in expected):
            named = ", ".join(f"{key} {value}" for key, value in zip(keys, place, strict=True))
            wanted = "1" if place in expected else "0"
            raise _refused(path, f"{what} has {counts[place]} rows for {named}, not {wanted}".lstrip())


def _check_weights(path: Path, run: Run, vectors: set[tuple[float, ...]], tasks: int) -> None:
    """All rows of a run have its weights; weights that a search determined are any on the simplex."""
    for weights in vectors:
        is_simplex = len(weights) == tasks and math.isclose(sum(weights), 1, abs_tol=1e-4) and min(weights) >= 0
        differs = run.weights and any(abs(a - b) > TOLERANCE for a, b in zip(weights, run.weights, strict=False))
        if len(vectors) > 1 or not is_simplex or differs:
            raise _refused(path, f"{_named(run)} has weights {list(weights)}, which are not those of the preset")


def _is_number(value: float | None, least: float, largest: float) -> bool:
    """Whether a value is a finite number within limits."""
    return value is not None and math.isfinite(value) and least - TOLERANCE <= value <= largest + TOLERANCE


def _is_number_or_nan(value: float | None, least: float, largest: float) -> bool:
    return value is not None and (math.isnan(value) or _is_number(value, least, largest))


def _named(run: Run) -> str:
    return f"weight setting {run.weight_setting}, seed {run.seed}"


def _refused(path: Path, reason: str) -> DamagedError:
    return DamagedError(path, reason, DELETE_IT)
