"""`resolve: micro`: the tasks of a micro-batch are those that it has images of.

At batch 64, accumulate 8 and six domains, most micro-batches lack a domain. CAGrad and MGDA took its gradient for a
gradient of 0, and returned 0.
"""

import contextlib

import pytest
import torch
from torch import nn

from scalarization import methods, models
from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.training.gradients import Batch
from scalarization.training.objectives import DenseObjective, DomainObjective
from scalarization.training.steps import GradientStep

from ..conftest import recipe

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DOMAINS = [f"domain_{number}" for number in range(6)]
GRADIENT_BASED = sorted(m.name for m in methods.all_methods() if m.kind == "gradient")
BATCH, PARTS = 64, 8


def build(name, num_tasks):
    torch.manual_seed(0)
    return methods.load(name).build(methods.parse(name, {}), num_tasks)


def batch_of(number):
    """Random images; of six domains, at least one is absent from each micro-batch of most batches."""
    generator = torch.Generator().manual_seed(number)
    domains = torch.randint(len(DOMAINS), (BATCH,), generator=generator)
    images = torch.randn(BATCH, 1, 16, 16, generator=generator)
    labels = torch.randint(10, (BATCH,), generator=generator)
    return Batch(images, labels, domains, torch.bincount(domains, minlength=len(DOMAINS)))


def step_of(name, batch, resolve="micro"):
    """Gradient of one step, and its network."""
    torch.manual_seed(1)
    options = ViTOptions(patch=8, heads=2, mlp_ratio=2, drop_path=0)
    network = models.build(Architecture("vit", 1, 8), options, (16, 16, 1), 10)
    settings = recipe(batch_size=BATCH, accumulate=PARTS, resolve=resolve)
    objective, method = DomainObjective(DOMAINS, 10), build(name, len(DOMAINS))
    step = GradientStep(network, network, objective, method, settings, CPU, contextlib.nullcontext, name)
    step(batch, (1 / 6,) * 6, 0, 5)
    # The backbone's gradients come first, then those of the shared head.
    return torch.cat([p.grad.flatten() for p in step.task_gradients.shared]), step


def by_definition(name, batch, step):
    """The sum of what the method makes of the gradients of each micro-batch's domains, one backward pass each."""
    method, total, numbers = build(name, len(DOMAINS)), 0, []
    for part in range(PARTS):
        rows = []
        size = BATCH // PARTS
        mine = torch.arange(part * size, (part + 1) * size)
        for domain in batch.domains[mine].unique().tolist():
            of_domain = mine[batch.domains[mine] == domain]
            losses = nn.functional.cross_entropy(
                step.network(batch.images[of_domain]), batch.labels[of_domain], reduction="sum"
            )
            gradients = torch.autograd.grad(losses / (batch.domains == domain).sum(), step.task_gradients.shared)
            rows.append(torch.cat([g.flatten() for g in gradients]))
        torch.manual_seed(5 + part)
        total = total + method(torch.stack(rows))
        numbers.append(len(rows))
    assert min(numbers) < len(DOMAINS)
    return total


@pytest.mark.parametrize("name", GRADIENT_BASED)
def test_step_is_the_methods_definition_on_the_domains_that_are_present(name):
    batch = batch_of(0)
    gradient, step = step_of(name, batch)
    expected = by_definition(name, batch, step)
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("name", ["cagrad", "mgda"])
def test_no_step_is_zero(name):
    for number in range(12):
        gradient, _ = step_of(name, batch_of(number))
        assert gradient.norm() > 0.01


@pytest.mark.parametrize("name", ["cagrad", "mgda"])
def test_whole_batch_has_all_domains(name):
    """Where conflicts are resolved after accumulation, a domain counts wherever in the batch it is."""
    batch = batch_of(0)
    gradient, step = step_of(name, batch, "after")
    rows = []
    for domain in range(len(DOMAINS)):
        mine = batch.domains == domain
        loss = nn.functional.cross_entropy(step.network(batch.images[mine]), batch.labels[mine])
        gradients = torch.autograd.grad(loss, step.task_gradients.shared)
        rows.append(torch.cat([g.flatten() for g in gradients]))
    torch.manual_seed(5)
    expected = build(name, len(DOMAINS))(torch.stack(rows))
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("name", ["cagrad", "mgda"])
def test_task_without_a_known_pixel_in_a_micro_batch(name):
    """Dense prediction: a map that is unknown in all images of a micro-batch is absent from it, too."""

    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1)

        def forward_features(self, images):
            return self.backbone(images)

        def forward_head(self, features, pre_logits=False):
            return features if pre_logits else self.head(features)

        def get_classifier(self):
            return Split(self.head)

        def forward(self, images):
            return self.get_classifier()(self.backbone(images))

    class Split(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, features):
            return self.head(features).split(1, 1)

    torch.manual_seed(2)
    network, images, labels = Maps(), torch.randn(4, 1, 5, 5), torch.randn(4, 2, 5, 5)
    labels[:2, 1] = torch.nan
    objective = DenseObjective("images", {"first": 1, "second": 1})
    batch = Batch(images, labels, torch.zeros(4, dtype=torch.int64), objective.counts(labels, torch.zeros(4)))
    settings = recipe(batch_size=4, accumulate=2, resolve="micro")
    step = GradientStep(network, network, objective, build(name, 2), settings, CPU, contextlib.nullcontext, name)
    step(batch, (0.5, 0.5), 0, 5)
    gradient = torch.cat([p.grad.flatten() for p in network.backbone.parameters()])

    total, method = 0, build(name, 2)
    for part, tasks in ((slice(0, 2), [0]), (slice(2, 4), [0, 1])):
        rows = []
        for task in tasks:
            known = labels[:, task].isfinite()
            errors = (network(images)[task][:, 0] - labels[:, task].nan_to_num()).abs() * known / known.sum()
            gradients = torch.autograd.grad(errors[part].sum(), network.backbone.parameters())
            rows.append(torch.cat([g.flatten() for g in gradients]))
        total = total + method(torch.stack(rows))
    assert (gradient - total).norm() < 1e-4 * total.norm()
