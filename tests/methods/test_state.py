"""A method resumed from its saved state gives the results of a method that was not interrupted."""

import io

import pytest
import torch

from scalarization import methods

#: Every registered method with its default options, and options under which the state has more parts.
CASES = [
    *((m.name, {}) for m in methods.all_methods() if m.build is not None),
    ("nash_mtl", {"update_weights_every": 3}),
]


class Training:
    """A method in use, with the optimiser that trains its parameters."""

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
        if self.optimizer:
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
@pytest.mark.parametrize(("name", "options"), CASES)
def test_resumed_is_identical(build, name, options, interruption):
    kind = methods.load(name).kind

    def fresh():
        method = build(name, 3, **options)
        if kind == "feature":
            method.set_features(4)
        return Training(method)

    step = f"{kind}_step"
    whole = fresh()
    expected = [getattr(whole, step)(i) for i in range(6)]
    begun = fresh()
    for i in range(interruption):
        getattr(begun, step)(i)
    payload = begun.state()
    resumed = fresh()
    # Loading must replace the state that this other step leaves.
    getattr(resumed, step)(9)
    resumed.load(payload)
    assert [getattr(resumed, step)(i) for i in range(interruption, 6)] == expected[interruption:]
