"""Runs of the tiny preset, trained in this process; cells made by hand."""

import pytest

from scalarization import methods
from scalarization.plan.cells import Cell, Run
from scalarization.specification import Specification

from .. import conftest

GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"
SINGLE = "digits/mnist/vit_d2_w8/single/base"
#: Methods that act on losses or gradients at every step.
TRAINED = sorted(method.name for method in methods.all_methods() if method.build)


@pytest.fixture
def trainer_of(make_plan, digits_data, one_thread):
    """(preset, cell=..., number=0, **recipe) -> a fresh trainer; `recipe` replaces keys of the preset's recipe."""
    import torch

    from scalarization.training.loop import Trainer

    def trainer_of(preset, cell=GRID, number=0, **recipe):
        preset["benchmarks"]["digits"]["recipe"] |= recipe
        cell = make_plan(preset).cells[cell]
        return Trainer(cell, cell.runs[number], digits_data, torch.device("cpu"))

    return trainer_of


@pytest.fixture
def single():
    """Name of a baseline's cell."""
    return SINGLE


def make_cell(tasks, architecture, model, outputs, recipe, method="uniform", steps_per_epoch=2, **more):
    """A cell of two epochs without runs; `more`: other fields of the specification."""
    specification = Specification(
        model=model,
        recipe=recipe,
        epochs=2,
        steps_per_epoch=steps_per_epoch,
        outputs=outputs,
        root_seed=0,
        threads=1,
        method_options=methods.parse(method, {}),
        **more,
    )
    return Cell("made_up", "set", tuple(tasks), architecture, method, "base", specification, ())


def uniform_run(cell):
    """The run of uniform weights."""
    return Run(0, 0, (1 / len(cell.tasks),) * len(cell.tasks))


def parameters(trainer):
    """All parameters of its network in one vector."""
    import torch

    return torch.cat([p.detach().flatten() for p in trainer.network.parameters()])


@pytest.fixture
def train():
    """(trainer, until=None) -> the trainer, trained as a job does; leave after step number `until`."""
    return conftest.train
