"""A method resumed from its saved state goes on as if it had not been interrupted."""

import io

import pytest
import torch

LOSS = ["rlw", "uncertainty", "imtl_l", "dwa", "famo"]
GRADIENT = ["pcgrad", "graddrop", "cagrad", "mgda", "imtl_g", "aligned_mtl", "upgrad", "nash_mtl"]


class Run:
    """A method in use, with the network's optimiser for what it learns."""

    def __init__(self, method):
        self.method = method
        parameters = list(method.parameters())
        self.optimizer = torch.optim.AdamW(parameters, lr=0.1) if parameters else None

    def loss_step(self, step):
        generator = torch.Generator().manual_seed(step)
        losses = torch.rand(3, generator=generator, requires_grad=True)
        torch.manual_seed(step)
        value = self.method(losses, torch.tensor([False, step == 4, False]) if step in (1, 4) else None)
        value.backward()
        if self.optimizer:
            self.optimizer.step()
            self.optimizer.zero_grad()
        if self.method.needs_losses_after:
            self.method.after_step(lambda: torch.rand(3, generator=generator))
        if step % 2:
            self.method.after_epoch()
        return [value.item(), *losses.grad.tolist()]

    def gradient_step(self, step):
        jacobian = torch.randn(3, 20, generator=torch.Generator().manual_seed(step))
        torch.manual_seed(step)
        return self.method(jacobian[:2] if step in (1, 4) else jacobian).tolist()

    def feature_step(self, step):
        gradients = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(step))
        rotations = self.method.rotations()
        combined = self.method.combine(gradients, rotations)
        self.method.rotation_loss(gradients, rotations).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return [*combined.flatten().tolist(), *self.method.rotations().flatten().tolist()]

    def state(self):
        buffer = io.BytesIO()
        optimizer = self.optimizer.state_dict() if self.optimizer else None
        torch.save([self.method.state_dict(), self.method.extra_state(), optimizer], buffer)
        return buffer.getvalue()

    def load(self, payload):
        state, extra, optimizer = torch.load(io.BytesIO(payload), weights_only=True)
        self.method.load_state_dict(state)
        self.method.load_extra_state(extra)
        if self.optimizer:
            self.optimizer.load_state_dict(optimizer)


@pytest.mark.parametrize("interruption", [0, 4])
@pytest.mark.parametrize("name", [*LOSS, *GRADIENT, "rotograd", "nash_mtl every 3"])
def test_resumed_is_identical(build, name, interruption):
    def fresh():
        options = {"update_weights_every": 3} if name == "nash_mtl every 3" else {}
        method = build(name.split()[0], 3, **options)
        if name == "rotograd":
            method.set_features(4)
        return Run(method)

    step = "loss_step" if name in LOSS else "feature_step" if name == "rotograd" else "gradient_step"
    whole = fresh()
    expected = [getattr(whole, step)(i) for i in range(6)]
    begun = fresh()
    for i in range(interruption):
        getattr(begun, step)(i)
    payload = begun.state()
    resumed = fresh()
    # What is loaded must replace whatever the method has seen since it was built.
    getattr(resumed, step)(9)
    resumed.load(payload)
    assert [getattr(resumed, step)(i) for i in range(interruption, 6)] == expected[interruption:]
