"""Task gradients: ours, TorchJD's mtl_backward + jac_to_grad, and a loop of autograd.grad, in uniform steps.

Multi-task: the bound is (1 + 2 T) / 3 uniform steps, since a forward pass takes half the time of a backward pass.
Multi-domain without BatchNorm: about one step, because the batch is split by domain.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from sides import in_turn, median_ratio
from torchjd.aggregation import Mean
from torchjd.autojac import jac_to_grad, mtl_backward

from scalarization import models
from scalarization.architectures import Architecture
from scalarization.config import ViTOptions
from scalarization.data.device import DeviceData
from scalarization.data.prepare import prepare
from scalarization.data.store import Store
from scalarization.methods.base import flatten
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.objectives import AttributeObjective, DomainObjective
from scalarization.training.profile import peak_bytes

CPU = torch.device("cpu")
OPTIONS = ViTOptions(patch=8, heads=4, mlp_ratio=2, drop_path=0.0)
IMAGES = 64


def measure(tiny=False):
    """Lines of results."""
    torch.set_num_threads(1)
    rounds = 1 if tiny else 9
    for tasks in (2,) if tiny else (2, 8, 40):
        yield from _multi_task(tasks, rounds)
    for domains in (2,) if tiny else (2, 6):
        yield from _multi_domain(domains, rounds)


def _multi_task(tasks, rounds):
    names = {f"task_{n}": [f"attribute_{n}"] for n in range(tasks)}
    objective = AttributeObjective("people", names, [a for task in names.values() for a in task])
    network = models.build(Architecture("vit", 2, 48), OPTIONS, (32, 32, 3), tasks)
    labels = torch.randint(0, 2, (IMAGES, tasks), dtype=torch.uint8)
    batch = Batch(
        torch.randn(IMAGES, 3, 32, 32), labels, torch.zeros(IMAGES, dtype=torch.int64), torch.tensor([IMAGES])
    )
    uniform = [1 / tasks] * tasks
    ours = TaskGradients(network, objective, torch.enable_grad)
    jacobian, losses = torch.zeros(tasks, ours.size), torch.zeros(tasks)

    def step():
        objective.loss(network(batch.images), batch.labels, uniform).backward()
        network.zero_grad()

    def gradients():
        jacobian.zero_()
        ours.add(batch, jacobian, losses)
        network.zero_grad()
        return Mean()(jacobian)

    def torchjd():
        features = models.features(network, batch.images)
        losses = objective.task_losses(models.head(network)(features), batch.labels, batch.domains, batch.counts)
        heads = list(models.head(network).parameters())
        mtl_backward(
            list(losses), features=features, tasks_params=[heads] * tasks, shared_params=ours.shared, retain_graph=True
        )
        jac_to_grad(ours.shared, Mean())
        network.zero_grad()

    def loop():
        losses = objective.task_losses(network(batch.images), batch.labels, batch.domains, batch.counts)
        rows = torch.empty(tasks, ours.size)
        for task in range(tasks):
            flatten(torch.autograd.grad(losses[task], ours.shared, retain_graph=task < tasks - 1), rows[task])
        return Mean()(rows)

    bound = (1 + 2 * tasks) / 3
    sides = {"uniform step": step, "ours": gradients, "TorchJD": torchjd, "loop of autograd.grad": loop}
    yield from _report(f"multi-task, T = {tasks} (bound {bound:.1f})", sides, bound, rounds)


def _multi_domain(domains, rounds):
    with TemporaryDirectory() as directory:
        styles = ["twemoji", "noto", "fluent_flat", "fluent_contrast", "emojione", "openmoji"][:domains]
        prepare(Path(directory), "emoji_styles", styles, Path())
        data = DeviceData(Store(Path(directory) / "dataset.json"), styles, CPU)
    objective = DomainObjective(styles, 16)
    network = models.build(Architecture("vit", 2, 48), OPTIONS, (32, 32, 3), 16)
    which = torch.arange(IMAGES) % domains
    rows = torch.tensor([data.start(styles[d], "train") + i for i, d in enumerate(which.tolist())])
    images, labels = data.normalise(data.images[rows]), data.labels[rows]
    batch = Batch(images, labels, which, torch.bincount(which, minlength=domains))
    ours = TaskGradients(network, objective, torch.enable_grad)
    jacobian, losses = torch.zeros(domains, ours.size), torch.zeros(domains)

    def step():
        objective.loss(network(batch.images), batch.labels, [1 / domains] * domains).backward()
        network.zero_grad()

    def gradients():
        jacobian.zero_()
        ours.add(batch, jacobian, losses)
        return Mean()(jacobian)

    def loop():
        losses = objective.task_losses(network(batch.images), batch.labels, batch.domains, batch.counts)
        rows = torch.empty(domains, ours.size)
        for task in range(domains):
            flatten(torch.autograd.grad(losses[task], ours.shared, retain_graph=task < domains - 1), rows[task])
        return Mean()(rows)

    sides = {"uniform step": step, "ours": gradients, "loop of autograd.grad": loop}
    yield from _report(f"multi-domain, T = {domains} (bound 1.0)", sides, 1.0, rounds)


def _report(title, sides, bound, rounds):
    seconds = in_turn(sides, rounds)
    memory = {name: peak_bytes(work, CPU) for name, work in sides.items()}
    for name in list(sides)[1:]:
        ratio = median_ratio(seconds[name], seconds["uniform step"])
        yield (
            f"{title}: {name}: {ratio:.2f} uniform steps ({ratio / bound:.2f} of the bound), "
            f"peak memory {memory[name] / memory['uniform step']:.2f} of a uniform step's"
        )
