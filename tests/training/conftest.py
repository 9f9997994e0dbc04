"""Runs of the tiny preset, trained in this process."""

import pytest

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


class Left(Exception):
    """Raised to leave training."""


@pytest.fixture
def train():
    """(trainer, until=None) -> None: train as a job does; leave after step number `until`."""

    def train(trainer, until=None):
        def after_step():
            if trainer.step == until:
                raise Left

        try:
            while trainer.epoch < trainer.cell.specification["epochs"]:
                trainer.train_epoch(after_step)
                trainer.evaluate_epoch()
                if trainer.step < trainer.cell.steps:
                    after_step()
        except Left:
            pass

    return train
