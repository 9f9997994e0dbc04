"""What a step of each method costs: time and peak memory, side by side with uniform scalarization (R table 1b).

Tasks are binary attributes of the benchmark, one each; where more are asked for than it has, they are taken again from
the first: costs do not depend on what the labels say.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from scalarization import methods
from scalarization.data.device import DeviceData
from scalarization.experiments import Cell, Member
from scalarization.training.loop import Trainer

#: Steps of one measurement of time.
STEPS = 3


def measure(
    cell: Cell,
    data: DeviceData,
    device: torch.device,
    tasks: list[int],
    rounds: int,
    after_step: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Measure every method of a cost experiment.

    Args:
        cell: Any cell of the benchmark and architecture; its ``methods`` specification names what is compared.
        data: The benchmark's images.
        device: Where to measure.
        tasks: Numbers of tasks.
        rounds: Repetitions; in each, every method takes some steps in turn, so that a busy machine slows all alike.
        after_step: Called after every step; may raise to end the measurement.

    Returns:
        One row per number of tasks and method: ``seconds_per_step`` (median over rounds), ``time_ratio`` (median over
        rounds of the ratio to uniform), ``peak_bytes`` of everything allocated for training but the data, and
        ``memory_ratio`` to uniform.
    """
    rows = []
    for count in tasks:
        trainers = {m: _trainer(cell, m, o, count, data, device) for m, o in cell.specification["compared"].items()}
        steps = {m: _stepper(t, after_step) for m, t in trainers.items()}
        seconds: dict[str, list[float]] = {m: [] for m in steps}
        for step in steps.values():
            step()
        for _ in range(rounds):
            for method, step in steps.items():
                _synchronize(device)
                began = time.perf_counter()
                step()
                _synchronize(device)
                seconds[method].append(time.perf_counter() - began)
        peaks = {
            m: peak_bytes(
                lambda m=m, o=o, n=count: _stepper(_trainer(cell, m, o, n, data, device), after_step)(), device
            )
            for m, o in cell.specification["compared"].items()
        }
        for method, taken in seconds.items():
            ratios = [a / b for a, b in zip(taken, seconds["uniform"], strict=True)]
            rows.append(
                {
                    "benchmark": cell.benchmark,
                    "architecture": cell.architecture.name,
                    "batch_size": cell.specification["recipe"]["batch_size"],
                    "method": method,
                    "tasks": count,
                    "seconds_per_step": statistics.median(taken) / STEPS,
                    "time_ratio": statistics.median(ratios),
                    "peak_bytes": peaks[method],
                    "memory_ratio": peaks[method] / peaks["uniform"],
                }
            )
    return rows


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes that torch's allocator held at once for what ``work`` allocates.

    On CUDA the allocator says so itself; on a CPU its events are taken from the profiler, because the resident size of
    the process is too coarse.
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
    # Else the profiler tells the terminal whenever it begins and ends.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _trainer(
    cell: Cell, method: str, options: dict[str, Any], count: int, data: DeviceData, device: torch.device
) -> Trainer:
    labels = cell.specification["labels"]
    attributes = {f"task_{n}": [labels[n % len(labels)]] for n in range(count)}
    one_epoch = {"epochs": 1, "steps_per_epoch": STEPS, "recipe": {**cell.specification["recipe"], "warmup_epochs": 0}}
    specification = {**cell.specification, **one_epoch, "attributes": attributes, "method_options": options}
    tasks = tuple(attributes)
    weights = methods.weight_settings(method, options, list(tasks), {t: 1 for t in tasks})[0]
    changed = replace(cell, method=method, tasks=tasks, specification=specification)
    return Trainer(changed, Member(0, 0, tuple(weights)), data, device)


def _stepper(trainer: Trainer, after_step: Callable[[], None]) -> Callable[[], None]:
    def steps() -> None:
        trainer.step = 0
        trainer.train_epoch(after_step)

    return steps


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
