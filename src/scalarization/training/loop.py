"""Training of one run: a network, its batches, its metrics, and a state from which it resumes bit for bit."""

from __future__ import annotations

import contextlib
import functools
import io
import time
from collections.abc import Callable
from typing import Any

import torch

from scalarization import methods, models, seeds
from scalarization.data.augmentation import Augmentation
from scalarization.data.base import Data
from scalarization.data.sampling import DomainSampler
from scalarization.plan.cells import Cell, Run
from scalarization.training.gradients import Batch
from scalarization.training.objectives import build_objective
from scalarization.training.objectives.base import Network
from scalarization.training.optimization import build_optimizer, learning_rate, set_learning_rate
from scalarization.training.precision import autocast
from scalarization.training.randomness import forked, seed_global_state
from scalarization.training.steps import STEPS, MethodStep, build_method
from scalarization.weights import WeightSchedule

#: Runs of fewer steps do not earn back the time that torch.compile takes.
COMPILE_STEPS = 2000


class Trainer:
    """One run in progress.

    Under multi-domain learning the weights are the sampling probabilities of the domains, and the loss is unweighted
    (appendix 1.1); under multi-task learning they multiply the losses. A single-domain or single-task run is the same
    with one task. Methods other than constant weights compute the gradient from the tasks' losses or gradients.

    Args:
        cell: Specification.
        run: Weights and seed.
        data: Images of at least the cell's trained and evaluated domains.
        device: Where to train.
        schedule: The weights over the epochs; None: those of the run.
    """

    def __init__(
        self, cell: Cell, run: Run, data: Data, device: torch.device, schedule: WeightSchedule | None = None
    ) -> None:
        specification = cell.specification
        self.cell, self.run, self.device = cell, run, device
        self.data = data.only(list(cell.tasks))
        self.recipe = specification.recipe
        self.steps_per_epoch = specification.steps_per_epoch
        self.schedule = cell.weight_schedule(run) if schedule is None else schedule
        self.augmentation = Augmentation(self.recipe.augmentation)
        self.objective = build_objective(specification.outputs, cell.tasks)
        self.autocast = functools.partial(autocast, self.recipe.precision, device)
        self.sampler = self._build_sampler()
        self.network = self._build_network()
        options = specification.method_options
        self.method = build_method(cell.method, options, len(cell.tasks), self.network, device)
        self.optimizer = build_optimizer(self.network, self.recipe, self.method)
        self.forward: Network = torch.compile(self.network) if self._compiles else self.network
        self.method_step = self.build_step()
        self.step = 0
        self.rows: list[dict[str, Any]] = []
        self.evaluation_seconds = 0.0
        self._consumed = [0] * len(self.objective.domains)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._loss_steps = 0

    def _build_sampler(self) -> DomainSampler:
        # Rows of the train split are shuffled in the store: its beginning is the same random part for all runs.
        fraction = 1 if self.cell.specification.fraction is None else self.cell.specification.fraction
        sizes = tuple(max(1, int(fraction * self.data.size(d, "train"))) for d in self.objective.domains)
        return DomainSampler(sizes, self.recipe.batch_size, self._root_seed, self.run.seed)

    def _build_network(self) -> torch.nn.Module:
        seed = seeds.integers(self._root_seed, self.run.seed, "initialisation", size=1)[0]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = models.build(
                self.cell.architecture, self.cell.specification.model, self.data.image_shape, self.objective.outputs
            )
        return network.to(self.device)

    def build_step(self) -> MethodStep:
        """What computes the gradients of the training steps."""
        step = STEPS[methods.load(self.cell.method).kind]
        return step(self.network, self.forward, self.objective, self.method, self.recipe, self.device, self.autocast)

    @property
    def _root_seed(self) -> int:
        return self.cell.specification.root_seed

    @property
    def _compiles(self) -> bool:
        if self.recipe.compile == "auto":
            return self.device.type == "cuda" and self.cell.steps >= COMPILE_STEPS
        return self.recipe.compile

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return self.step // self.steps_per_epoch

    @property
    def mean_loss(self) -> float:
        """Mean training loss over the batches since it was last taken."""
        return self._loss_sum.item() / max(1, self._loss_steps)

    def take_mean_loss(self) -> float:
        """Mean training loss over the batches since it was last taken; the next one begins here."""
        loss = self.mean_loss
        self._loss_sum.zero_()
        self._loss_steps = 0
        return loss

    def set_schedule(self, schedule: WeightSchedule) -> None:
        """Train with other weights from the next epoch on."""
        self.schedule = schedule

    def rewind(self) -> None:
        """Count steps from 0 again, for measurements that repeat steps.

        Parameters, the optimiser's state and the number of images that each domain has given stay as they are.
        """
        self.step = 0

    def train_epoch(self, after_step: Callable[[], None]) -> None:
        """Train to the end of the current epoch.

        Args:
            after_step: Called after every step but the epoch's last. It may raise to stop training; the state then is
                that of the finished step.
        """
        epoch, first = divmod(self.step, self.steps_per_epoch)
        weights = self.schedule.at_epoch(epoch)
        probabilities = self.objective.sampling(weights)
        drawn, rows, consumed = self.sampler.epoch(epoch, self.steps_per_epoch, probabilities, self._consumed)
        starts = torch.tensor([self.data.start(d, "train") for d in self.objective.domains])
        domains = torch.from_numpy(drawn)
        batches = (torch.from_numpy(rows) + starts[domains]).to(self.device)
        domains = domains.to(self.device)
        augmentation_seeds, model_seeds, method_seeds = (
            seeds.integers(self._root_seed, self.run.seed, purpose, epoch, size=self.steps_per_epoch)
            for purpose in ("augmentation", "model", "method")
        )
        self.network.train()
        stream = self.data.batches(batches[first:], self.augmentation, augmentation_seeds[first:])
        with forked(self.device), contextlib.closing(stream):
            for index, (images, labels) in enumerate(stream, start=first):
                counts = self.objective.counts(labels, domains[index])
                # Stochastic depth draws from the global state, which is set anew at every step: nothing to save.
                seed_global_state(self.device, model_seeds[index])
                self._train_step(Batch(images, labels, domains[index], counts), weights, index, method_seeds[index])
                if index < self.steps_per_epoch - 1:
                    after_step()
        self._consumed = consumed
        if self.method is not None:
            self.method.after_epoch()

    def _train_step(self, batch: Batch, weights: tuple[float, ...], index: int, seed: int) -> None:
        warmup_steps = self.recipe.warmup_epochs * self.steps_per_epoch
        rate = learning_rate(self.step, self.cell.steps, warmup_steps, self.recipe.lr, self.recipe.schedule)
        set_learning_rate(self.optimizer, rate)
        loss = self.method_step(batch, weights, index, seed)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.method_step.after_step(batch)
        self._loss_sum += loss
        self._loss_steps += 1
        self.step += 1

    def evaluate_epoch(self) -> None:
        """Add the metrics of the epoch that has just ended, if it is one of those that are evaluated.

        Every ``eval_every`` epochs: the validation split and a training subset of equal size, of the trained domains.
        At the last epoch also all splits of all evaluated domains, which are the reported numbers.
        """
        last = self.epoch == self.cell.specification.epochs
        if self.epoch % self.recipe.eval_every and not last:
            return
        began = time.perf_counter()
        self._add("batches", "average", {"loss": self.take_mean_loss()})
        self.network.eval()
        with self.autocast():
            for domain in self.objective.domains:
                # Rows of the train split are shuffled in the store: its beginning is a fixed random subset.
                size = min(self.data.size(domain, "validation"), self.data.size(domain, "train"))
                self._evaluate("train_subset", domain, self.data.start(domain, "train"), size)
            for domain in self.cell.specification.outputs.evaluated if last else self.objective.domains:
                for split in ("train", "validation", "test") if last else ("validation",):
                    self._evaluate(split, domain, self.data.start(domain, split), self.data.size(domain, split))
        self.evaluation_seconds += time.perf_counter() - began

    def validate(self) -> dict[str, dict[str, float]]:
        """Metrics of every task on the whole validation split."""
        self.network.eval()
        metrics: dict[str, dict[str, float]] = {}
        with self.autocast():
            for domain in self.objective.domains:
                start, size = self.data.start(domain, "validation"), self.data.size(domain, "validation")
                metrics |= self._metrics(domain, start, size)
        return metrics

    @torch.inference_mode()
    def examples(self) -> list[dict[str, Any]]:
        """Predictions to be looked at; see :meth:`Objective.examples`."""
        self.network.eval()
        with self.autocast():
            network = self.method_step.evaluated_network(self.objective.domains[0])
            return self.objective.examples(network, self.data)

    def _metrics(self, domain: str, start: int, size: int) -> dict[str, dict[str, float]]:
        return self.objective.evaluate(self.method_step.evaluated_network(domain), self.data, domain, start, size)

    def _evaluate(self, split: str, domain: str, start: int, size: int) -> None:
        for task, metrics in self._metrics(domain, start, size).items():
            self._add(split, task, metrics)

    def _add(self, split: str, task: str, metrics: dict[str, float]) -> None:
        for metric, value in metrics.items():
            self.rows.append({"epoch": self.epoch, "split": split, "task": task, "metric": metric, "value": value})

    def state(self) -> bytes:
        """Everything that a resumed run needs."""
        content = {
            "step": self.step,
            "consumed": self._consumed,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.rows,
            "loss_sum": self._loss_sum,
            "loss_steps": self._loss_steps,
            "method_step": self.method_step.state(),
        }
        if self.method is not None:
            content["method"] = [self.method.state_dict(), self.method.extra_state()]
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def load_state(self, payload: bytes) -> None:
        """Resume from what :meth:`state` returned.

        Raises:
            ValueError: The state is of another run; parts of it may have been loaded.
        """
        try:
            content = torch.load(io.BytesIO(payload), map_location=self.device, weights_only=True)
            self.method_step.load_state(content["method_step"])
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.method is not None:
                self.method.load_state_dict(content["method"][0])
                self.method.load_extra_state(content["method"][1])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(str(error)) from None
        self.step, self._consumed, self.rows = content["step"], content["consumed"], content["rows"]
        self._loss_sum, self._loss_steps = content["loss_sum"], content["loss_steps"]
