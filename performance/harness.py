"""Time of the training loop over that of a bare PyTorch loop with the same model and batches already in memory."""

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
from scalarization.plan import load_plan
from scalarization.training.loop import Trainer
from scalarization.training.optimization import build_optimizer

CPU = torch.device("cpu")
#: The cells of the demo that are measured: one per architecture of this task set.
TASK_SET = "optdigits+mnist"


def measure(tiny=False):
    """Lines of results, one per architecture."""
    torch.set_num_threads(1)
    plan = load_plan(load_config(ROOT / "config.yaml", {"preset": "demo"}))
    cells = [cell for cell in plan.cells.values() if (cell.task_set, cell.method) == (TASK_SET, "grid")]
    with tempfile.TemporaryDirectory() as directory:
        prepare(Path(directory), "digits", ["mnist", "optdigits"], Path(), train_images={"optdigits": 100})
        data = DeviceData(Store(Path(directory) / "dataset.json"), ["mnist", "optdigits"], CPU)
    for cell in cells[:1] if tiny else cells:
        yield _compare(cell, data, epochs=1 if tiny else 6, rounds=1 if tiny else 9)


def _compare(cell, data, epochs, rounds):
    trainer = Trainer(cell, cell.runs[0], data, CPU)
    batch_size, steps = trainer.recipe.batch_size, epochs * trainer.steps_per_epoch
    height, width, channels = data.image_shape
    classes = cell.specification.outputs.classes
    network = models.build(cell.architecture, cell.specification.model, data.image_shape, classes).train()
    optimizer = build_optimizer(network, trainer.recipe)
    batches = [
        (torch.randn(batch_size, channels, height, width), torch.randint(0, classes, (batch_size,)))
        for _ in range(steps)
    ]

    def bare():
        for images, labels in batches:
            functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    def harness():
        trainer.rewind()
        for _ in range(epochs):
            trainer.train_epoch(lambda: None)

    ours, theirs, ratio = side_by_side(harness, bare, rounds)
    return (
        f"{cell.architecture.name}: harness / bare = {ratio:.3f} "
        f"({steps * batch_size / ours:,.0f} and {steps * batch_size / theirs:,.0f} images/s on one core)"
    )
