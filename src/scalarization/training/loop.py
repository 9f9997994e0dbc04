"""Training of one run: a network, its batches, its metrics, and a state from which it resumes bit for bit."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import torch

from scalarization import methods, models, seeds
from scalarization.data.augmentation import Augmentation
from scalarization.data.base import Data
from scalarization.data.sampling import DomainSampler
from scalarization.plan.cells import Cell, Run
from scalarization.training.divergence import Divergence, Watch, changing
from scalarization.training.evaluation import Evaluator
from scalarization.training.gradients import Batch
from scalarization.training.mean_loss import MeanLoss
from scalarization.training.objectives import build_objective
from scalarization.training.objectives.base import Metrics, Network
from scalarization.training.optimization import build_optimizer, learning_rate, set_learning_rate
from scalarization.training.precision import autocast, resolve
from scalarization.training.randomness import forked, seed_global_state
from scalarization.training.state import load_optimizer, pack, refusing, require_like, unpack
from scalarization.training.steps import STEPS, MethodStep, build_method
from scalarization.weights import WeightSchedule

#: Runs of fewer steps do not earn back the time that torch.compile takes.
COMPILE_STEPS = 2000


class Trainer:
    """One run in progress.

    Under multi-domain learning the weights are the sampling probabilities of the domains, and the loss is unweighted
    (appendix 1.1); under multi-task learning they multiply the losses. A single-domain or single-task run is the same
    with one task. Methods other than constant weights compute the gradient from the tasks' losses or gradients.

    If something is not finite, the run has diverged; that is found when the epoch ends or is evaluated, and logged
    once. Metrics of the epoch are NaN. Then the recipe's ``on_divergence`` says whether training continues.

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
        precision = resolve(self.recipe.precision, device)
        self.watch = Watch(self.method_step.watched, self.recipe, precision, device)
        self._evaluator = Evaluator(self.method_step, self.data, specification.outputs.evaluated, self.watch)
        #: Finished steps, those that a stopped run leaves out included; steps that this object has trained.
        self.step = self.trained_steps = 0
        self.rows: list[dict[str, Any]] = []
        self.evaluation_seconds = 0.0
        self._consumed = [0] * len(self.objective.domains)
        self._loss = MeanLoss(device)

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
        parts = (self.network, self.forward, self.objective, self.method, self.recipe, self.device, self.autocast)
        return STEPS[methods.load(self.cell.method).kind](*parts, self.cell.method)

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
        """Mean training loss over the batches since it was last taken, or since an epoch that was not finite.

        NaN if the last epoch was not finite.
        """
        return self._loss.value if self.watch.finite else math.nan

    def take_mean_loss(self) -> float:
        """:attr:`mean_loss`; the next one begins here."""
        loss = self.mean_loss
        self._loss.reset()
        return loss

    @property
    def diverged(self) -> Divergence | None:
        """Where the run diverged; None if its last epoch was finite."""
        return None if self.watch.finite else self.watch.first

    @property
    def stopped(self) -> bool:
        """Whether no further step is trained."""
        return self.watch.reported and self.recipe.on_divergence == "stop"

    def set_schedule(self, schedule: WeightSchedule) -> None:
        """Train with other weights from the next epoch on."""
        self.schedule = schedule

    def rewind(self) -> None:
        """Count steps from 0 again, for measurements that repeat steps.

        Parameters, the optimiser's state and the number of images that each domain has given stay as they are.
        """
        self.step = 0

    def train_epoch(self, after_step: Callable[[], None]) -> None:
        """Train to the end of the current epoch; if the run has stopped, just count its steps.

        Args:
            after_step: Called after every step but the epoch's last. It may raise to stop training; the state then is
                that of the finished step.
        """
        epoch, first = divmod(self.step, self.steps_per_epoch)
        if self.stopped:
            self.step = (epoch + 1) * self.steps_per_epoch
            return
        if not first:
            self.watch.begin_epoch()
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
        self.watch.end_epoch(self.step, changing(self.network, self.method, self.optimizer))
        if not self.watch.finite:
            self._loss.reset()
        self._report()

    def _train_step(self, batch: Batch, weights: tuple[float, ...], index: int, seed: int) -> None:
        warmup_steps = self.recipe.warmup_epochs * self.steps_per_epoch
        rate = learning_rate(self.step, self.cell.steps, warmup_steps, self.recipe.lr, self.recipe.schedule)
        set_learning_rate(self.optimizer, rate)
        loss = self.method_step(batch, weights, index, seed)
        self.watch.add(self.step + 1, self.method_step.numbers())
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.method_step.after_step(batch)
        self._loss.add(loss)
        self.step += 1
        self.trained_steps += 1

    def _report(self) -> None:
        weights = ",".join(f"{w:.3g}" for w in self.schedule.at_epoch(self.epoch - 1))
        name = f"{self.cell.name} (p {weights}, seed {self.run.seed})"
        self.watch.report(name, self.cell.steps)
        if self.method is not None:
            self.method.report(name)

    def evaluate_epoch(self) -> None:
        """Add the metrics of the epoch that has just ended, if it is one of those that are evaluated.

        Every ``eval_every`` epochs: the validation split and a training subset of equal size, of the trained domains.
        At the last epoch also all splits of all evaluated domains, which are the reported numbers.
        """
        last = self.epoch == self.cell.specification.epochs
        if self.epoch % self.recipe.eval_every and not last:
            return
        began = time.perf_counter()
        measured = self._evaluator.epoch(self.step, last)
        self._report()
        self._add("batches", {"average": {"loss": self.take_mean_loss()}})
        for split, metrics in measured:
            self._add(split, metrics)
        self.evaluation_seconds += time.perf_counter() - began

    def validate(self) -> Metrics:
        """Metrics of every task on the whole validation split; all NaN if the last epoch was not finite."""
        metrics = self._evaluator.validation(self.step)
        self._report()
        return metrics

    def examples(self) -> list[dict[str, Any]]:
        """Predictions to be looked at; see :meth:`Evaluator.examples`."""
        return self._evaluator.examples()

    def _add(self, split: str, by_task: Metrics) -> None:
        for task, metrics in by_task.items():
            for metric, value in metrics.items():
                self.rows.append({"epoch": self.epoch, "split": split, "task": task, "metric": metric, "value": value})

    def state(self) -> bytes:
        """Everything that a resumed run needs."""
        return pack(self._state())

    def _state(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "step": self.step,
            "consumed": self._consumed,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rows": self.rows,
            "loss": self._loss.state(),
            "method_step": self.method_step.state(),
            "watch": self.watch.state(),
        }
        if self.method is not None:
            content["method"] = [self.method.state_dict(), self.method.extra_state()]
        return content

    def load_state(self, payload: bytes) -> None:
        """Resume from what :meth:`state` returned.

        Raises:
            ValueError: It is something else; parts of it may have been loaded.
        """
        content = unpack(payload, self.device)
        require_like(content, {**self._state(), "optimizer": {}, "rows": []})
        if not 0 <= content["step"] <= self.cell.steps or not all(isinstance(row, dict) for row in content["rows"]):
            raise ValueError("its steps or rows are of another run")
        with refusing("a state of another run"):
            self.method_step.load_state(content["method_step"])
            self.network.load_state_dict(content["network"])
            load_optimizer(self.optimizer, content["optimizer"])
            self.watch.load_state(content["watch"])
            self._loss.load_state(content["loss"])
            if self.method is not None:
                self.method.load_state_dict(content["method"][0])
                self.method.load_extra_state(content["method"][1])
        self.step, self._consumed, self.rows = content["step"], content["consumed"], content["rows"]
