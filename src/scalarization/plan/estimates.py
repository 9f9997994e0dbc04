"""What trainings are estimated to take: images, FLOPs and seconds of the preset's hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scalarization import architectures, methods
from scalarization.plan.cells import Cell, Search
from scalarization.specification import DenseOutputs, DomainOutputs

if TYPE_CHECKING:
    from scalarization.plan import Plan


def images(cell: Cell) -> int:
    """Images that one run of a cell is trained on."""
    return cell.steps * cell.specification.recipe.batch_size


def flops(plan: Plan, cell: Cell) -> float:
    """Floating point operations of training one run of a cell: forward, and twice that backward."""
    info, outputs = plan.benchmarks[cell.benchmark], cell.specification.outputs
    maps = list(outputs.maps.values()) if isinstance(outputs, DenseOutputs) else []
    forward = architectures.forward_flops(
        cell.architecture, cell.specification.model, info.image_size, info.channels, maps
    )
    return 3 * forward * images(cell)


def seconds(plan: Plan, cell: Cell) -> float:
    """Estimated training time of one run of a cell, in seconds of the preset's hardware."""
    throughput = plan.preset.throughput
    if cell.counts_conflicts:
        return _seconds_counting(plan, cell)
    # Of a step that takes 3, forward once and backward twice that, T backward passes repeat the second part.
    separate = not _splits_batches(cell) and methods.load(cell.method).kind == "gradient"
    factor = (1 + 2 * len(cell.tasks)) / 3 if separate else 1
    measured = throughput.images_per_second.get(cell.architecture.name)
    if measured:
        return factor * images(cell) / measured
    once = cell.steps * throughput.seconds_per_step + flops(plan, cell) / throughput.flops_per_second
    return factor * once


def search_seconds(plan: Plan, search: Search) -> float:
    """Estimated training time of all members of a search, in seconds of the preset's hardware."""
    return search.population * seconds(plan, search.cell)


def _seconds_counting(plan: Plan, cell: Cell) -> float:
    """As :func:`seconds`: T backward passes more at every counted step, or the batch once more in T parts."""
    every = cell.specification.count_every or 1
    plain = seconds(plan, replace(cell, specification=replace(cell.specification, count_every=None)))
    tasks = len(cell.tasks)
    if not _splits_batches(cell):
        return plain * (1 + 2 * tasks / 3 / every)
    overhead = cell.steps * plan.preset.throughput.seconds_per_step
    return plain * (1 + 1 / every) + overhead * (tasks - 1) / every


def _splits_batches(cell: Cell) -> bool:
    """Whether task gradients come from parts of the batch: of domains, and where no BatchNorm forbids it."""
    return isinstance(cell.specification.outputs, DomainOutputs) and cell.architecture.family == "vit"
