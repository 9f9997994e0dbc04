"""Training of one run: a network, its batches, its metrics, and a state from which it goes on bit for bit."""

from __future__ import annotations

import contextlib
import functools
import io
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from scalarization import methods, models, seeds
from scalarization.data.augmentation import Augmentation
from scalarization.data.dense import DenseDeviceData
from scalarization.data.device import DeviceData
from scalarization.data.sampling import DomainSampler
from scalarization.experiments import Cell, Member
from scalarization.methods._base import FeatureMethod, GradientMethod, LossMethod
from scalarization.training.dense_objective import DenseObjective
from scalarization.training.gradients import Batch, TaskGradients
from scalarization.training.objectives import AttributeObjective, DomainObjective, Objective
from scalarization.training.schedule import build_optimizer, learning_rate

if TYPE_CHECKING:  # decoding needs libraries that other data do without
    from scalarization.data.encoded import EncodedData

#: Runs of fewer steps do not earn back the time that torch.compile takes.
COMPILE_STEPS = 2000


def build_objective(cell: Cell) -> Objective:
    """What the setting of the cell's benchmark makes of logits and labels."""
    specification = cell.specification
    if specification["setting"] == "mdl":
        return DomainObjective(cell.tasks, specification["classes"])
    if "maps" in specification:
        return DenseObjective(specification["evaluated"][0], specification["maps"])
    return AttributeObjective(specification["evaluated"][0], specification["attributes"], specification["labels"])


class Trainer:
    """One run in progress.

    Under multi-domain learning the weights are the sampling probabilities of the domains and the loss is unweighted
    (paper A 1.1); under multi-task learning they multiply the losses. A single-dataset or single-task run is the same
    with one member. Methods other than constant weights make the gradient of the tasks' losses or gradients. Where the
    specification has a ``policy``, weights are those of the epoch instead of the member's.

    Args:
        cell: Specification.
        member: Weights and seed.
        data: Images of at least the cell's trained and evaluated domains.
        device: Where to train.
    """

    def __init__(
        self, cell: Cell, member: Member, data: DeviceData | EncodedData | DenseDeviceData, device: torch.device
    ) -> None:
        self.cell, self.member, self.device = cell, member, device
        self.data = data.only(list(cell.tasks)) if isinstance(data, DenseDeviceData) else data
        self.recipe = cell.specification["recipe"]
        self.steps_per_epoch = cell.specification["steps_per_epoch"]
        self.weights = member.weights
        self.augmentation = Augmentation(self.recipe["augmentation"])
        self.objective = build_objective(cell)
        # Rows of the train split are shuffled in the store: its beginning is the same random part for all members.
        fraction = cell.specification.get("fraction", 1)
        sizes = tuple(max(1, int(fraction * data.size(d, "train"))) for d in self.objective.domains)
        self.sampler = DomainSampler(sizes, self.recipe["batch_size"], self._root, member.seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seeds.integers(self._root, member.seed, "initialisation", size=1)[0])
            network = models.build(
                cell.architecture, cell.specification["model"], data.image_shape, self.objective.outputs
            )
        self.network = network.to(device)
        self.method = methods.build(cell.method, cell.specification["method_options"], len(cell.tasks))
        if isinstance(self.method, FeatureMethod):
            self.method.set_features(models.head(self.network).in_features)
        if self.method is not None:
            self.method.to(device)
        self.optimizer = build_optimizer(self.network, self.recipe, self.method)
        self.forward = self._compiled() if self._compile else self.network
        self.gradients = GradientStep(self)
        self.step = 0
        self.consumed = [0] * len(self.objective.domains)
        self.rows: list[dict[str, Any]] = []
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.loss_steps = 0
        self.evaluation_seconds = 0.0

    @property
    def _root(self) -> int:
        return self.cell.specification["root_seed"]

    @property
    def _compile(self) -> bool:
        if self.recipe["compile"] == "auto":
            return self.device.type == "cuda" and self.cell.steps >= COMPILE_STEPS
        return self.recipe["compile"]

    def _compiled(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return torch.compile(self.network)

    def autocast(self) -> contextlib.AbstractContextManager:
        """Context of forward passes: mixed precision as the recipe says."""
        precision = self.recipe["precision"]
        if precision == "auto":
            fast = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            precision = "bfloat16" if fast else "float32"
        if precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return self.step // self.steps_per_epoch

    def train_epoch(self, after_step: Callable[[], None]) -> None:
        """Train to the end of the current epoch.

        Args:
            after_step: Called after every step but the epoch's last; may raise to leave, the state is then whole.
        """
        epoch, first = divmod(self.step, self.steps_per_epoch)
        policy = self.cell.specification.get("policy")
        if policy:
            self.weights = tuple(policy[epoch])
        probabilities = self.objective.sampling(self.weights)
        drawn, rows, consumed = self.sampler.epoch(epoch, self.steps_per_epoch, probabilities, self.consumed)
        starts = torch.tensor([self.data.start(d, "train") for d in self.objective.domains])
        domains = torch.from_numpy(drawn)
        batches = (torch.from_numpy(rows) + starts[domains]).to(self.device)
        domains = domains.to(self.device)
        count = self.steps_per_epoch
        purposes = ("augmentation", "model", "method")
        step_seeds = [seeds.integers(self._root, self.member.seed, p, epoch, size=count) for p in purposes]
        self.network.train()
        cuda = [self.device] if self.device.type == "cuda" else []
        stream = self.data.batches(batches[first:], self.augmentation, step_seeds[0][first:])
        with torch.random.fork_rng(devices=cuda), contextlib.closing(stream):
            for index, (images, labels) in enumerate(stream, start=first):
                model_seed, method_seed = (s[index] for s in step_seeds[1:])
                counts = self.objective.counts(labels, domains[index])
                # Stochastic depth draws from the global state, which is set anew at every step: nothing to save.
                self.seed_global_state(model_seed)
                self._train_step(Batch(images, labels, domains[index], counts), method_seed)
                if index < count - 1:
                    after_step()
        self.consumed = consumed
        if self.method is not None:
            self.method.after_epoch()

    def seed_global_state(self, seed: int) -> None:
        """Set torch's global random state."""
        # Not torch.manual_seed: without CUDA it keeps a stack trace for every device type at every call.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _train_step(self, batch: Batch, method_seed: int) -> None:
        warmup = self.recipe["warmup_epochs"] * self.steps_per_epoch
        rate = learning_rate(self.step, self.cell.steps, warmup, self.recipe["lr"], self.recipe["schedule"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        loss = self.gradients(batch, method_seed)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.gradients.after_step(batch)
        self.loss_sum += loss
        self.loss_steps += 1
        self.step += 1

    @property
    def mean_loss(self) -> float:
        """Mean training loss over the batches since the last evaluation."""
        return self.loss_sum.item() / max(1, self.loss_steps)

    def evaluate_epoch(self) -> None:
        """Add the metrics of the epoch that has just ended, if the recipe wants some.

        Every ``eval_every`` epochs: the validation split and a training subset of equal size, of the trained domains.
        At the last epoch all splits of all evaluated domains as well, which is what is reported.
        """
        last = self.epoch == self.cell.specification["epochs"]
        if self.epoch % self.recipe["eval_every"] and not last:
            return
        began = time.perf_counter()
        self._add("batches", "average", {"loss": self.mean_loss})
        self.loss_sum.zero_()
        self.loss_steps = 0
        self.network.eval()
        with self.autocast():
            for domain in self.objective.domains:
                # Rows of the train split are shuffled in the store: its beginning is a fixed random subset.
                size = min(self.data.size(domain, "validation"), self.data.size(domain, "train"))
                self._evaluate("train_subset", domain, self.data.start(domain, "train"), size)
            for domain in self.cell.specification["evaluated"] if last else self.objective.domains:
                for split in ("train", "validation", "test") if last else ("validation",):
                    self._evaluate(split, domain, self.data.start(domain, split), self.data.size(domain, split))
        self.evaluation_seconds += time.perf_counter() - began

    def validate(self) -> dict[str, dict[str, float]]:
        """Metrics of every task on the whole validation split."""
        self.network.eval()
        found: dict[str, dict[str, float]] = {}
        with self.autocast():
            for domain in self.objective.domains:
                found |= self._metrics(
                    domain, self.data.start(domain, "validation"), self.data.size(domain, "validation")
                )
        return found

    def _metrics(self, domain: str, start: int, size: int) -> dict[str, dict[str, float]]:
        return self.objective.evaluate(self._evaluated_network(domain), self.data, domain, start, size)

    def _evaluate(self, split: str, domain: str, start: int, size: int) -> None:
        for task, metrics in self._metrics(domain, start, size).items():
            self._add(split, task, metrics)

    @torch.inference_mode()
    def examples(self) -> list[dict[str, Any]]:
        """Dense prediction: what is predicted for a few test images; see :meth:`DenseObjective.examples`."""
        if not isinstance(self.objective, DenseObjective):
            return []
        self.network.eval()
        with self.autocast():
            return self.objective.examples(self._evaluated_network(self.objective.domains[0]), self.data)

    def _evaluated_network(self, domain: str) -> Callable[[torch.Tensor], Any]:
        if isinstance(self.method, FeatureMethod):
            return functools.partial(self._rotated_logits, domain=domain)
        return self.network

    def _rotated_logits(self, images: torch.Tensor, domain: str) -> torch.Tensor:
        rotated = self.method.rotate(models.features(self.network, images), self.method.rotations())
        number = self.objective.domains.index(domain)
        domains = torch.full((len(images),), number, device=self.device)
        return self.objective.select(models.head(self.network)(rotated), domains)

    def _add(self, split: str, task: str, metrics: dict[str, float]) -> None:
        for metric, value in metrics.items():
            self.rows.append({"epoch": self.epoch, "split": split, "task": task, "metric": metric, "value": value})

    def state(self) -> bytes:
        """Everything from which the run goes on."""
        buffer = io.BytesIO()
        content = {
            "step": self.step,
            "consumed": self.consumed,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.rows,
            "loss_sum": self.loss_sum,
            "loss_steps": self.loss_steps,
            **self.extra_state(),
        }
        if self.method is not None:
            content["method"] = [self.method.state_dict(), self.method.extra_state()]
        torch.save(content, buffer)
        return buffer.getvalue()

    def extra_state(self) -> dict[str, Any]:
        """What a kind of trainer adds to :meth:`state`: names -> tensors, numbers, lists and dicts of them."""
        return {}

    def load_extra_state(self, content: dict[str, Any]) -> None:
        """Take back what :meth:`extra_state` returned.

        Raises:
            KeyError: It is not there.
            ValueError: It is not of a run like this one.
        """

    def load_state(self, payload: bytes) -> None:
        """Go on from what :meth:`state` returned.

        Raises:
            ValueError: The state is not of a run like this one.
        """
        try:
            content = torch.load(io.BytesIO(payload), map_location=self.device, weights_only=True)
            self.load_extra_state(content)
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.method is not None:
                self.method.load_state_dict(content["method"][0])
                self.method.load_extra_state(content["method"][1])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(str(error)) from None
        self.step, self.consumed, self.rows = content["step"], content["consumed"], content["rows"]
        self.loss_sum, self.loss_steps = content["loss_sum"], content["loss_steps"]


class GradientStep:
    """Puts the gradient of one batch into the parameters' ``.grad``, the way the run's method wants it.

    With accumulation the batch is cut into micro-batches; every mean is taken over all of them together, so that
    constant weights give the whole batch's gradient. A gradient-based method resolves conflicts after accumulation
    (``resolve: after``: one Jacobian of the whole batch is kept) or in every micro-batch (``micro``: noisier, A 5.1).
    RotoGrad equalises and rotates in every micro-batch.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.method = trainer, trainer.method
        self.micro_batches = trainer.recipe["accumulate"]
        if isinstance(self.method, GradientMethod):
            self.task_gradients = TaskGradients(
                trainer.network,
                trainer.objective,
                trainer.autocast,
                self.method.include_heads,
                trainer.recipe["gradients_at_once"],
            )
            tasks = len(trainer.cell.tasks)
            self._jacobian = torch.zeros(tasks, self.task_gradients.size, device=trainer.device)
            self._losses = torch.zeros(tasks, device=trainer.device)

    def __call__(self, batch: Batch, seed: int) -> torch.Tensor:
        """Gradient of a batch.

        Args:
            batch: The images.
            seed: Seed of the method's draws.

        Returns:
            The loss that is reported: scalarized for constant weights, else the mean over tasks.
        """
        parts = batch.micro_batches(self.micro_batches) if self.micro_batches > 1 else [batch]
        if self.method is None:
            return self._constant(batch, parts)
        if isinstance(self.method, LossMethod):
            return self._from_losses(batch, parts, seed)
        if isinstance(self.method, FeatureMethod):
            return self._from_features(batch, parts)
        return self._from_gradients(batch, parts, seed)

    def after_step(self, batch: Batch) -> None:
        """Show a method that asks for it what the step did to the losses."""
        if isinstance(self.method, LossMethod) and self.method.needs_losses_after:
            self.method.after_step(lambda: self._task_losses(batch).detach())

    def observe(self, part: Batch, logits: torch.Tensor) -> None:
        """Constant weights: called before the backward pass of every (micro-)batch, whose graph is still there."""

    def _constant(self, batch: Batch, parts: list[Batch]) -> torch.Tensor:
        trainer = self.trainer
        total = torch.zeros((), device=trainer.device)
        for part in parts:
            with trainer.autocast():
                share = len(part.images) / len(batch.images)
                logits = trainer.forward(part.images)
                loss = trainer.objective.part_loss(logits, part.labels, trainer.weights, part.counts, share)
            self.observe(part, logits)
            loss.backward()
            total += loss.detach()
        return total

    def _task_losses(self, part: Batch) -> torch.Tensor:
        trainer = self.trainer
        with trainer.autocast():
            return trainer.objective.task_losses(trainer.forward(part.images), part.labels, part.domains, part.counts)

    def _from_losses(self, batch: Batch, parts: list[Batch], seed: int) -> torch.Tensor:
        absent = self._absent(batch)
        total = torch.zeros(len(absent), device=self.trainer.device)
        for number, part in enumerate(parts):
            losses = self._task_losses(part)
            with self._draws(seed + number):
                # A micro-batch adds 1/k of each mean; the method sees it at the size of a whole batch's loss.
                scalar = self.method(losses * len(parts), absent if absent.any() else None)
            (scalar / len(parts)).backward()
            total += losses.detach()
        return total[~absent].mean()

    def _from_features(self, batch: Batch, parts: list[Batch]) -> torch.Tensor:
        trainer, method = self.trainer, self.method
        head = models.head(trainer.network)
        absent = self._absent(batch)
        total = torch.zeros(len(absent), device=trainer.device)
        for part in parts:
            rotations = method.rotations()
            with trainer.autocast():
                features = models.features(trainer.network, part.images)
                rotated = method.rotate(features.detach(), rotations).requires_grad_()
                logits = trainer.objective.select(head(rotated), part.domains)
                losses = trainer.objective.task_losses(logits, part.labels, part.domains, part.counts)
            parameters = list(head.parameters())
            gradients, *at_head = torch.autograd.grad(losses.sum(), [rotated, *parameters])
            for parameter, gradient in zip(parameters, at_head, strict=True):
                gradient = (gradient / len(losses)).contiguous()  # fused optimisers take memory as it lies
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            features.backward(method.combine(gradients, rotations).to(features.dtype))
            method.rotation_loss(gradients, rotations).backward()
            total += losses.detach()
        return total[~absent].mean()

    def _from_gradients(self, batch: Batch, parts: list[Batch], seed: int) -> torch.Tensor:
        present = ~self._absent(batch)
        self._losses.zero_()
        combined = torch.zeros_like(self._jacobian[0])
        groups = [[p] for p in parts] if self.trainer.recipe["resolve"] == "micro" else [parts]
        for number, group in enumerate(groups):
            self._jacobian.zero_()
            for part in group:
                self.task_gradients.add(part, self._jacobian, self._losses)
            with self._draws(seed + number):
                combined += self.method(self._jacobian[present])
        offset = 0
        for parameter in self.task_gradients.shared:
            parameter.grad = combined[offset : offset + parameter.numel()].view_as(parameter)
            offset += parameter.numel()
        return self._losses[present].mean()

    @contextlib.contextmanager
    def _draws(self, seed: int) -> Iterator[None]:
        """The method draws from a state of its own, so that it changes nothing about the network's draws."""
        cuda = [self.trainer.device] if self.trainer.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            self.trainer.seed_global_state(seed)
            yield

    def _absent(self, batch: Batch) -> torch.Tensor:
        """Which tasks have nothing in the batch: domains that were not drawn, maps of which nothing is known."""
        if len(batch.counts) == 1:
            return torch.zeros(len(self.trainer.cell.tasks), dtype=torch.bool, device=self.trainer.device)
        absent = batch.counts == 0
        return absent & ~absent.all()
