"""Counting gradient conflicts at every step: time and peak memory of training, in steps of uniform scalarization.

The training step itself stays as it is. Multi-task: the bound is (3 + 2 T) / 3, T backward passes more through the
graph of the same forward pass. Multi-domain without BatchNorm: the batch once more, split by domain, about 2.
"""

import statistics
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from scalarization.config import ROOT, load_config
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.experiments import Member, Plan
from scalarization.training.bench import peak_bytes
from scalarization.training.conflicts import CountingTrainer
from scalarization.training.loop import Trainer

CPU = torch.device("cpu")
STEPS, ROUNDS = 3, 7
PEOPLE = "emoji_people/all23/vit_d2_w48/uniform/lr0.005"
STYLES = "emoji_styles/all6/vit_d2_w48/uniform/vit"


def measure():
    """Lines of results."""
    torch.set_num_threads(1)
    plan = Plan(load_config(ROOT / "config.yaml", {"preset": "demo"}))
    with TemporaryDirectory() as directory:
        data = {}
        for cell in (plan.counted_cell(PEOPLE), plan.counted_cell(STYLES)):
            store = Path(directory) / cell.benchmark
            domains = plan.config.preset["benchmarks"][cell.benchmark]["domains"]
            prepare(store, cell.benchmark, domains, store)
            data[cell.benchmark] = DeviceData(Store(store / "dataset.json"), domains, CPU)
        for tasks in (2, 8, 40):
            yield _compare(_attributes(plan.counted_cell(PEOPLE), tasks), data, 64, (3 + 2 * tasks) / 3)
        for domains, batch_size in ((2, 64), (6, 64), (6, 512)):
            cell = plan.counted_cell(STYLES)
            yield _compare(_cut(cell, cell.tasks[:domains]), data, batch_size, 2)


def _attributes(cell, count):
    """So many tasks of one attribute; costs do not depend on what the labels say, so that some are taken twice."""
    labels = cell.specification["labels"]
    return _cut(cell, tuple(attributes := {f"task_{n}": [labels[n % len(labels)]] for n in range(count)}), attributes)


def _cut(cell, tasks, attributes=None):
    changes = {"attributes": attributes} if attributes else {"evaluated": list(tasks)}
    return replace(cell, tasks=tasks, specification={**cell.specification, **changes})


def _compare(cell, data, batch_size, bound):
    recipe = {**cell.specification["recipe"], "warmup_epochs": 0, "batch_size": batch_size}
    short = {"recipe": recipe, "epochs": 1, "steps_per_epoch": STEPS, "conflicts": {"every": 1}}
    cell = replace(cell, specification={**cell.specification, **short})
    member = Member(0, 0, (1 / len(cell.tasks),) * len(cell.tasks))

    def steps(kind):
        trainer = kind(cell, member, data[cell.benchmark], CPU)

        def run():
            trainer.step = 0
            trainer.train_epoch(lambda: None)

        return run

    sides = {kind: steps(kind) for kind in (Trainer, CountingTrainer)}
    seconds = {kind: [] for kind in sides}
    for run in sides.values():
        run()
    for _ in range(ROUNDS):
        for kind, run in sides.items():
            began = time.perf_counter()
            run()
            seconds[kind].append(time.perf_counter() - began)
    ratio = statistics.median(a / b for a, b in zip(seconds[CountingTrainer], seconds[Trainer], strict=True))
    plain, counting = (peak_bytes(lambda kind=kind: steps(kind)(), CPU) for kind in sides)
    return (
        f"{cell.specification['setting'].upper()}, T = {len(cell.tasks)}, batches of {batch_size}: {ratio:.2f} uniform "
        f"steps ({ratio / bound:.2f} of the bound {bound:.1f}), peak memory {counting / plain:.2f} of plain training's "
        f"({counting / 2**20:.1f} MiB)"
    )
