"""Runs of the tiny preset, trained in this process."""

import pytest

from .. import conftest

GRID = "digits/mnist+optdigits/vit_d2_w8/grid/base"
SINGLE = "digits/mnist/vit_d2_w8/single/base"


@pytest.fixture
def trainer_of(make_plan, digits_data, one_thread):
    """(preset, cell=..., member=0, **recipe) -> a fresh trainer; `recipe` replaces keys of the preset's recipe."""
    import torch

    from scalarization.training.loop import Trainer

    def trainer_of(preset, cell=GRID, member=0, **recipe):
        preset["benchmarks"]["digits"]["recipe"] |= recipe
        cell = make_plan(preset).cells[cell]
        return Trainer(cell, cell.members[member], digits_data, torch.device("cpu"))

    return trainer_of


@pytest.fixture
def single():
    """Name of a baseline's cell."""
    return SINGLE


def parameters(trainer):
    """All parameters of its network in one vector."""
    import torch

    return torch.cat([p.detach().flatten() for p in trainer.network.parameters()])


@pytest.fixture
def train():
    """(trainer, until=None) -> the trainer, trained as a job does; leave after step number `until`."""
    return conftest.train
