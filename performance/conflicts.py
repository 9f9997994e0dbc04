"""Counting gradient conflicts at every step: time and peak memory of training, in steps of uniform scalarization.

The training step itself does not change. Multi-task: the bound is (3 + 2 T) / 3, T more backward passes through the
graph of the same forward pass. Multi-domain without BatchNorm: the batch once more, split by domain, about 2.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from sides import in_turn, median_ratio

from scalarization.config import ROOT, load_config
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.plan import load_plan
from scalarization.plan.cells import Run
from scalarization.training.conflicts import CountingTrainer
from scalarization.training.loop import Trainer
from scalarization.training.profile import peak_bytes

CPU = torch.device("cpu")
STEPS = 3
PEOPLE = "emoji_people/all23/vit_d2_w48/uniform/lr0.005"
STYLES = "emoji_styles/all6/vit_d2_w48/uniform/vit"


def measure(tiny=False):
    """Lines of results."""
    torch.set_num_threads(1)
    plan = load_plan(load_config(ROOT / "config.yaml", {"preset": "demo"}))
    people, styles = plan.counted_cell(PEOPLE), plan.counted_cell(STYLES)
    rounds = 1 if tiny else 7
    with TemporaryDirectory() as directory:
        data = {cell.benchmark: _open(plan, cell, Path(directory)) for cell in (people, styles)}
        for tasks in (2,) if tiny else (2, 8, 40):
            cell = _short(_with_attributes(people, tasks), 64)
            yield _compare(cell, data[cell.benchmark], (3 + 2 * tasks) / 3, rounds)
        for domains, batch_size in ((2, 64),) if tiny else ((2, 64), (6, 64), (6, 512)):
            cell = _short(_with_domains(styles, domains), batch_size)
            yield _compare(cell, data[cell.benchmark], 2, rounds)


def _open(plan, cell, directory):
    domains = plan.preset.benchmarks[cell.benchmark].domains
    store = directory / cell.benchmark
    prepare(store, cell.benchmark, domains, store)
    return DeviceData(Store(store / "dataset.json"), domains, CPU)


def _with_attributes(cell, count):
    """The cell with so many tasks of one attribute; time does not depend on the labels, so some are used twice."""
    outputs = cell.specification.outputs
    attributes = {f"task_{n}": (outputs.labels[n % len(outputs.labels)],) for n in range(count)}
    return _with_outputs(cell, tuple(attributes), replace(outputs, attributes=attributes))


def _with_domains(cell, count):
    tasks = cell.tasks[:count]
    return _with_outputs(cell, tasks, replace(cell.specification.outputs, evaluated=tasks))


def _with_outputs(cell, tasks, outputs):
    return replace(cell, tasks=tasks, specification=replace(cell.specification, outputs=outputs))


def _short(cell, batch_size):
    recipe = cell.specification.recipe.model_copy(update={"warmup_epochs": 0, "batch_size": batch_size})
    short = replace(cell.specification, recipe=recipe, epochs=1, steps_per_epoch=STEPS, count_every=1)
    return replace(cell, specification=short)


def _compare(cell, data, bound, rounds):
    run = Run(0, 0, (1 / len(cell.tasks),) * len(cell.tasks))

    def stepper(kind):
        trainer = kind(cell, run, data, CPU)

        def train_steps():
            trainer.rewind()
            trainer.train_epoch(lambda: None)

        return train_steps

    kinds = {"plain": Trainer, "counting": CountingTrainer}
    seconds = in_turn({name: stepper(kind) for name, kind in kinds.items()}, rounds)
    ratio = median_ratio(seconds["counting"], seconds["plain"])
    memory = {name: peak_bytes(lambda kind=kind: stepper(kind)(), CPU) for name, kind in kinds.items()}
    setting, batch_size = cell.specification.outputs.setting.upper(), cell.specification.recipe.batch_size
    return (
        f"{setting}, T = {len(cell.tasks)}, batches of {batch_size}: {ratio:.2f} uniform steps "
        f"({ratio / bound:.2f} of the bound {bound:.1f}), peak memory {memory['counting'] / memory['plain']:.2f} of "
        f"plain training's ({memory['counting'] / 2**20:.1f} MiB)"
    )
