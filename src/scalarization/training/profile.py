"""Time and peak memory of a training step of each method, side by side with uniform scalarization (rebuttal table 1b).

Tasks are binary attributes of the benchmark, one each. If more tasks are measured than it has attributes, attributes
are used again from the first: time and memory do not depend on the labels.
"""

from __future__ import annotations

import functools
import gc
import logging
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from scalarization import methods
from scalarization.data.base import Data
from scalarization.data.store import Store
from scalarization.errors import StoppedError, UserError
from scalarization.plan.cells import Cell, Profile, Run
from scalarization.provenance import Provenance
from scalarization.specification import AttributeOutputs
from scalarization.storage import write_table
from scalarization.training.data import environment, open_data
from scalarization.training.loop import Trainer
from scalarization.training.shutdown import GracefulShutdown

if TYPE_CHECKING:
    from scalarization.plan import Plan

#: Steps of one measurement of time.
STEPS = 3
logger = logging.getLogger(__name__)


def measure_profile(plan: Plan, name: str) -> None:
    """Make a measurement of the preset and write its table.

    Args:
        plan: The preset.
        name: Key of the measurement.

    Raises:
        ConfigError: The preset has no such measurement.
        UserError: CUDA is asked for and not available.
        DataError: The prepared store is missing or damaged, or the output cannot be written.
        StoppedError: The job was asked to stop; nothing is saved.
    """
    profile = plan.profile(name)
    store = Store(plan.paths.store_file(profile.cell.benchmark))
    origin = Provenance(plan).origin(plan.paths.profile_file(name))
    device, data = open_data(plan.config, [profile.cell], store)
    num_tasks = ", ".join(map(str, profile.num_tasks))
    with GracefulShutdown() as shutdown:
        shutdown.install_handlers()

        def after_step() -> None:
            if reason := shutdown.reason:
                raise StoppedError(f"{name}: {reason}; nothing is saved, the same command measures from the beginning")

        logger.info("%s: measuring steps with %s tasks, %d rounds", name, num_tasks, profile.rounds)
        rows = measure(profile, data, device, after_step)
    diverged = [{"method": row["method"], "tasks": row["tasks"]} for row in rows if math.isnan(row["seconds_per_step"])]
    metadata = {
        "specification": profile.describe(),
        "environment": environment(device),
        "diverged": diverged,
        **origin,
    }
    write_table(plan.paths.profile_file(name), pa.Table.from_pylist(rows), metadata)


def measure(
    profile: Profile, data: Data, device: torch.device, after_step: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Measure every method of a profile.

    In each round every method trains some steps in turn, so that a busy machine slows all alike. Times of a method that
    diverged meanwhile are NaN, since solvers take another time on NaN, and no step is trained after that.

    Args:
        profile: Methods, numbers of tasks, rounds, and the cell that they are measured on.
        data: The benchmark's images.
        device: Where to measure.
        after_step: Called after every step; may raise to end the measurement.

    Returns:
        One row per number of tasks and method: ``seconds_per_step`` (median over rounds), ``time_ratio`` (median over
        rounds of the ratio to uniform), ``peak_bytes`` of everything allocated for training but the data, and
        ``memory_ratio`` to uniform.
    """
    rows = []
    for num_tasks in profile.num_tasks:
        cells = {m: _cell(profile.cell, m, options, num_tasks) for m, options in profile.methods.items()}
        builders = {m: functools.partial(_Stepper, c, data, device, after_step) for m, c in cells.items()}
        seconds = _seconds({m: build() for m, build in builders.items()}, profile.rounds, device)
        peaks = {m: _peak_bytes_of_steps(build, device) for m, build in builders.items()}
        for method, measured in seconds.items():
            ratios = [a / b for a, b in zip(measured, seconds["uniform"], strict=True)]
            rows.append(
                {
                    "benchmark": profile.cell.benchmark,
                    "architecture": profile.cell.architecture.name,
                    "batch_size": profile.cell.specification.recipe.batch_size,
                    "method": method,
                    "tasks": num_tasks,
                    "seconds_per_step": statistics.median(measured) / STEPS,
                    "time_ratio": statistics.median(ratios),
                    "peak_bytes": peaks[method],
                    "memory_ratio": peaks[method] / peaks["uniform"],
                }
            )
    return rows


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Largest number of bytes that torch's allocator held at once for what ``work`` allocates.

    On CUDA the allocator counts them itself. On a CPU its events are taken from the profiler, because the resident
    size of the process is too coarse.
    """
    # What earlier work left in reference cycles must not be freed while this is watched.
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # Otherwise the profiler writes to the terminal whenever it begins and ends.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _peak_bytes_of_steps(build: Callable[[], _Stepper], device: torch.device) -> int:
    """Peak of building a trainer and of its first steps."""
    return peak_bytes(lambda: build()(), device)


def _seconds(steppers: Mapping[str, _Stepper], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Method -> seconds of its steps in each round (but a first one, for warming up); NaN if the method diverged."""
    seconds: dict[str, list[float]] = {method: [] for method in steppers}
    for step in steppers.values():
        step()
    for _ in range(rounds):
        for method, step in steppers.items():
            _synchronize(device)
            began = time.perf_counter()
            step()
            _synchronize(device)
            seconds[method].append(time.perf_counter() - began)
    return {m: [math.nan] * rounds if steppers[m].diverged else measured for m, measured in seconds.items()}


def _cell(cell: Cell, method: str, options: methods.MethodOptions, num_tasks: int) -> Cell:
    """A cell that trains some steps of a method on so many tasks, with the run that the measurement trains."""
    outputs = cell.specification.outputs
    if not isinstance(outputs, AttributeOutputs):
        raise UserError(f"{cell.name}: only tasks that are binary attributes can be measured")
    attributes = {f"task_{n}": (outputs.labels[n % len(outputs.labels)],) for n in range(num_tasks)}
    specification = replace(
        cell.specification,
        epochs=1,
        steps_per_epoch=STEPS,
        recipe=cell.specification.recipe.model_copy(update={"warmup_epochs": 0}),
        outputs=replace(outputs, attributes=attributes),
        method_options=options,
    )
    tasks = tuple(attributes)
    weights = methods.weight_settings(method, options, list(tasks), {task: 1 for task in tasks})[0]
    return replace(cell, method=method, tasks=tasks, specification=specification, runs=(Run(0, 0, tuple(weights)),))


class _Stepper:
    """A fresh trainer's steps; each call trains as many of them."""

    def __init__(self, cell: Cell, data: Data, device: torch.device, after_step: Callable[[], None]) -> None:
        self._trainer, self._after_step = Trainer(cell, cell.runs[0], data, device), after_step

    def __call__(self) -> None:
        self._trainer.rewind()
        self._trainer.train_epoch(self._after_step)

    @property
    def diverged(self) -> bool:
        """Whether steps since the beginning were not finite."""
        return self._trainer.watch.first is not None


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
