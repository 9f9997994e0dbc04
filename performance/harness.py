"""What the training harness costs over a bare PyTorch loop with the same model and batches already in memory."""

import tempfile
from pathlib import Path

import torch
from sides import side_by_side
from torch.nn import functional

from scalarization import models
from scalarization.config import ROOT, load_config
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.experiments import Plan
from scalarization.training.loop import Trainer
from scalarization.training.schedule import build_optimizer

EPOCHS = 6
CPU = torch.device("cpu")


def measure():
    """Lines of results, one per architecture of the demo's grid."""
    torch.set_num_threads(1)
    plan = Plan(load_config(ROOT / "config.yaml"))
    with tempfile.TemporaryDirectory() as directory:
        prepare(Path(directory), "digits", ["mnist", "optdigits"], Path())
        data = DeviceData(Store(Path(directory) / "dataset.json"), ["mnist", "optdigits"], CPU)
    for cell in plan.cells.values():
        if cell.method != "grid":
            continue
        trainer = Trainer(cell, cell.members[0], data, CPU)
        batch_size, steps = trainer.recipe["batch_size"], EPOCHS * trainer.steps_per_epoch
        height, width, channels = 16, 16, 1
        network = models.build(cell.architecture, cell.specification["model"], (height, width, channels), 10).train()
        optimizer = build_optimizer(network, trainer.recipe)
        batches = [
            (torch.randn(batch_size, channels, height, width), torch.randint(0, 10, (batch_size,)))
            for _ in range(steps)
        ]

        def bare(batches=batches, network=network, optimizer=optimizer):
            for images, labels in batches:
                functional.cross_entropy(network(images), labels).backward()
                optimizer.step()
                optimizer.zero_grad()

        def harness(trainer=trainer):
            trainer.step = 0
            for _ in range(EPOCHS):
                trainer.train_epoch(lambda: None)

        ours, theirs, ratio = side_by_side(harness, bare, rounds=9)
        yield (
            f"{cell.architecture.name}: harness / bare = {ratio:.3f} "
            f"({steps * batch_size / ours:,.0f} and {steps * batch_size / theirs:,.0f} images/s on one core)"
        )
