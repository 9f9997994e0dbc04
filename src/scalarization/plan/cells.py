"""What a preset consists of: runs, cells, shards, jobs and searches. Data only.

A *run* is one trained model, a *cell* all runs that differ only in weights and seed, a *shard* the part of a cell that
one job trains, a *job* one process that trains some shards of one benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scalarization import methods
from scalarization.architectures import Architecture
from scalarization.benchmarks import SPLITS
from scalarization.specification import DenseOutputs, DomainOutputs, Specification
from scalarization.weights import WeightSchedule


@dataclass(frozen=True)
class Run:
    """One trained model of a cell.

    Attributes:
        weight_setting: Number of its weight vector among those of the cell.
        seed: Seed index, counted from 0.
        weights: One weight per task of the cell, on the simplex; empty if a search is still to find them.
    """

    weight_setting: int
    seed: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """All runs that differ only in weights and seed.

    Attributes:
        benchmark: Name of the benchmark.
        task_set: Name of the set of tasks or domains that are trained jointly.
        tasks: The tasks or domains of the task set, in the order of the weights.
        architecture: Backbone and capacity.
        method: How the task weights are determined.
        variant: Whatever else sets the cell apart; ``base`` if nothing does.
        specification: Everything else that a run's numbers depend on.
        runs: The runs.
    """

    benchmark: str
    task_set: str
    tasks: tuple[str, ...]
    architecture: Architecture
    method: str
    variant: str
    specification: Specification = field(hash=False)
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Identity of the cell, and its place below ``runs/``."""
        return "/".join((self.benchmark, self.task_set, self.architecture.name, self.method, self.variant))

    @property
    def slug(self) -> str:
        """The name as one part of a path."""
        return self.name.replace("/", ".")

    @property
    def steps(self) -> int:
        """Training steps of one run."""
        return self.specification.steps

    @property
    def counts_conflicts(self) -> bool:
        """Whether gradient conflicts are counted during training; such cells have a tree of files of their own."""
        return self.specification.count_every is not None

    @property
    def has_examples(self) -> bool:
        """Whether its runs leave predictions to be looked at."""
        return isinstance(self.specification.outputs, DenseOutputs) and not self.counts_conflicts

    @property
    def evaluations(self) -> frozenset[tuple[int, str, str]]:
        """Epoch, split and task of everything that a run of it is evaluated on; see docs/run-files.md."""
        specification = self.specification
        outputs, epochs, every = specification.outputs, specification.epochs, specification.recipe.eval_every
        at_the_end = outputs.evaluated if isinstance(outputs, DomainOutputs) else self.tasks
        evaluations = {(epochs, split, task) for split in SPLITS for task in at_the_end}
        for epoch in (*range(every, epochs, every), epochs):
            evaluations.add((epoch, "batches", "average"))
            evaluations.update((epoch, split, task) for split in ("train_subset", "validation") for task in self.tasks)
        return frozenset(evaluations)

    def weight_schedule(self, run: Run) -> WeightSchedule:
        """The weights of one of its runs over the epochs."""
        if self.specification.policy is not None:
            return WeightSchedule(self.specification.policy)
        return WeightSchedule.constant(run.weights)

    def describe(self) -> dict[str, Any]:
        """The full specification, ready for JSON; a run's identity is this, its weights and its seed."""
        return {
            "benchmark": self.benchmark,
            "task_set": self.task_set,
            "tasks": list(self.tasks),
            "architecture": self.architecture.name,
            "method": self.method,
            "variant": self.variant,
            **self.specification.describe(),
        }


@dataclass(frozen=True)
class Shard:
    """A cell, or a part of its runs, as one job trains it.

    Attributes:
        cell: The whole cell.
        shard_index: Number of the shard, counted from 0.
        num_shards: Number of shards of the cell; 1 if it is not split.
        by_seed: Seed -> the cell as its runs of this seed are trained; only where a search is repeated and its policies
            are known, else empty.
    """

    cell: Cell
    shard_index: int = 0
    num_shards: int = 1
    by_seed: Mapping[int, Cell] = field(default_factory=dict, hash=False)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of this shard: every ``num_shards``-th, so that shards take equally long."""
        return self.cell.runs[self.shard_index :: self.num_shards]

    @property
    def name(self) -> str:
        """As given to ``train --cell``: the cell's name, and ``@shard_index/num_shards`` if it is split."""
        if self.num_shards == 1:
            return self.cell.name
        return f"{self.cell.name}@{self.shard_index}/{self.num_shards}"

    def cell_of(self, run: Run) -> Cell:
        """The cell as one of its runs is trained."""
        return self.by_seed.get(run.seed, self.cell)

    def describe(self) -> dict[str, Any]:
        """The specification of its runs, ready for JSON; where it differs between seeds, ``by_seed`` says how."""
        if not self.by_seed:
            return self.cell.describe()
        described = {str(seed): cell.describe() for seed, cell in self.by_seed.items()}
        differing = {
            seed: {"search": values["search"]["name"], "lr": values["recipe"]["lr"], "policy": values["policy"]}
            for seed, values in described.items()
        }
        return {**self.cell.describe(), "by_seed": differing}


@dataclass(frozen=True)
class Job:
    """Shards of cells of one benchmark, trained by one process.

    Attributes:
        name: ``<benchmark>_<number>``.
        benchmark: Name of the benchmark.
        shards: What is trained.
        seconds: Estimated training time on the preset's hardware.
    """

    name: str
    benchmark: str
    shards: tuple[Shard, ...]
    seconds: float


@dataclass(frozen=True)
class Search:
    """One search: a population of models of one architecture on one task set (appendix 5).

    Attributes:
        key: Its name in the preset; searches of several architectures share it.
        cell: What a member trains: the recipe on a fraction of the training set, with weights that change.
        method: ``pbt``, ``pb2``, ``search_grid``, ``search_random`` or ``search_lr``.
        population: Number of members N.
        epochs_ready: Epochs E of an interval, after which members may exploit one another.
        quantile: Fraction Q of members that exploit, and of those that are exploited.
        perturbation_factors: PBT multiplies each weight by one of them.
        resample_probability: Probability that PBT draws a weight anew instead.
        seed: Seed index of the search, shared by its members: their scores differ by their weights alone (choice).
        session: Searches of one session run in one job, at the same time.
        full_steps: Steps of one training on the whole training set: the unit in which its budget is counted.
        lr_factor: ``search_lr`` draws learning rates from the recipe's divided by this to the recipe's times this.
        repetition: Its number among the searches that differ in their seed alone, counted from 0.
        repetitions: How many there are of them. Runs of seed s use number s mod ``repetitions``.
    """

    key: str
    cell: Cell
    method: str
    population: int
    epochs_ready: int
    quantile: float
    perturbation_factors: tuple[float, ...]
    resample_probability: float
    seed: int
    session: str
    full_steps: int
    lr_factor: float = 10.0
    repetition: int = 0
    repetitions: int = 1

    @property
    def name(self) -> str:
        """Identity, and place below ``searches/``. The first repetition has the name of a search that is run once."""
        name = f"{self.key}/{self.cell.architecture.name}"
        return f"{name}.seed{self.seed}" if self.repetition else name

    @property
    def varies_lr(self) -> bool:
        """Whether its members differ in their learning rate under uniform weights, and not in their weights."""
        return self.method == "search_lr"

    @property
    def lr_range(self) -> tuple[float, float]:
        """The lowest and the highest learning rate that a member may have; equal unless they differ in it."""
        lr = self.cell.specification.recipe.lr
        return (lr / self.lr_factor, lr * self.lr_factor) if self.varies_lr else (lr, lr)

    @property
    def exploits(self) -> bool:
        """Whether members copy the state of better ones."""
        return methods.load(self.method).exploits

    @property
    def interval_ends(self) -> tuple[int, ...]:
        """Finished epochs at the end of each interval; the last interval may be shorter."""
        epochs = self.cell.specification.epochs
        return (*range(self.epochs_ready, epochs, self.epochs_ready), epochs)

    @property
    def num_exploiting(self) -> int:
        """Members that exploit another one after an interval: the fraction Q, rounded up, at most half."""
        return min(math.ceil(self.population * self.quantile), self.population // 2) if self.exploits else 0

    @property
    def num_configurations(self) -> int:
        """Weight vectors, or learning rates, that are tried: N + ceil(N Q) (intervals - 1)."""
        return self.population + self.num_exploiting * (len(self.interval_ends) - 1)

    def describe(self) -> dict[str, Any]:
        """All that the search's history depends on, but data and code; ready for JSON."""
        exploiting = {
            "quantile": self.quantile,
            "perturbation_factors": list(self.perturbation_factors),
            "resample_probability": self.resample_probability,
        }
        return {
            "method": self.method,
            "population": self.population,
            "epochs_ready": self.epochs_ready,
            "seed": self.seed,
            **(exploiting if self.exploits else {}),
            **({"lr_factor": self.lr_factor} if self.varies_lr else {}),
            "trains": self.cell.describe(),
        }


@dataclass(frozen=True)
class Profile:
    """A measurement of time and peak memory per method (rebuttal table 1b).

    Attributes:
        name: Its key in the preset.
        cell: Benchmark, architecture and recipe; it has no runs.
        methods: Method -> its options; ``uniform`` is always among them.
        num_tasks: Numbers of tasks that are measured.
        rounds: Repetitions of the measurement of time.
    """

    name: str
    cell: Cell
    methods: dict[str, methods.MethodOptions]
    num_tasks: tuple[int, ...]
    rounds: int

    def describe(self) -> dict[str, Any]:
        """What the measurement depends on, but data and code; ready for JSON."""
        return {
            **self.cell.describe(),
            "compared": {method: options.describe() for method, options in self.methods.items()},
            "tasks": list(self.num_tasks),
            "rounds": self.rounds,
        }
