"""The keys of ``config.yaml`` and of presets: types, ranges, defaults and what they mean.

The JSON schema (``workflow/schemas/schema.json``) is generated from these models. What they cannot say (does a width
divide by the heads, does a domain exist) is checked where a preset is expanded, in :mod:`scalarization.plan`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from scalarization.config import limits
from scalarization.config.base import (
    Count,
    Fraction,
    Index,
    Integer,
    NotNegative,
    Number,
    Positive,
    Section,
    UniqueList,
)
from scalarization.config.names import DISTINCT, ArtifactName, Directory, Name
from scalarization.config.training import Changes, Model, Recipe, Variant

Text = Annotated[str, Field(min_length=1)]


class Only(Section):
    """A part of the preset. A missing key selects everything; artifacts show what was left out as absent."""

    benchmarks: UniqueList[str] | None = Field(None, description="Names of benchmarks.")
    capacities: UniqueList[str] | None = Field(None, description="Names of architectures, such as vit_d6_w96.")
    seeds: UniqueList[Annotated[Index, Field(le=limits.RUNS)]] | None = Field(
        None, description="Seed indices, counted from 0."
    )

    def describe(self) -> dict[str, Any]:
        """What is selected; keys that select everything are left out."""
        return self.model_dump(exclude_none=True)


class Knobs(Section):
    """The keys of config.yaml."""

    preset: Text = Field(
        description="Name of a file in workflow/presets (demo, smoke, paper), or the path of a preset of your own "
        "ending in .yaml."
    )
    results: Directory = Field(
        "results",
        description="Directory of everything computed: <results>/<preset>/data, runs, summary, logs, timings, "
        "checkpoints.",
    )
    reports: Directory = Field(
        "reports", description="Directory of figures, tables and the HTML report: <reports>/<preset>/figures, tables."
    )
    data_dir: Directory | None = Field(
        None,
        description="Directory with original files that are already there, packed or unpacked (checked, never written "
        "to; a SHA256SUMS in it replaces the published checksums); null: <results>/downloads, where they are fetched.",
    )
    seed: Index = Field(0, le=limits.SEED, description="Root of all randomness; every run's seeds are derived from it.")
    threads: Count = Field(
        1,
        le=limits.THREADS,
        description="Compute threads of each training process. Part of a run's specification, because the number of "
        "threads changes sums.",
    )
    workers: Count = Field(
        2,
        le=limits.THREADS,
        description="Threads of each training process that decode images, for benchmarks that do not fit into memory. "
        "No influence on results.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where training runs: auto takes CUDA if there is one."
    )
    checkpoint_seconds: Positive = Field(
        120, le=limits.SECONDS, description="A training run saves its state at least this often (seconds)."
    )
    only: Only = Field(Only(), description="Run a part of the preset.")


def _images_or_fraction(value: float) -> float:
    if value >= 1 and value != int(value):
        raise ValueError("expected a whole number of images, or a fraction below 1")
    return value


#: A number of images, or the fraction of them.
TrainImages = Annotated[Number, Field(gt=0, le=1e9), AfterValidator(_images_or_fraction)]


class Benchmark(Section):
    """Data, tasks or domains, and the recipe."""

    domains: UniqueList[str] = Field(
        description="Domains of this benchmark that are prepared; single-dataset models are evaluated on all of them "
        "at the end."
    )
    tasks: UniqueList[str] | None = Field(
        None, description="Dense prediction: tasks whose maps are prepared; null: all of the benchmark."
    )
    reference: str = Field(description="The domain on whose official training set size an epoch is counted.")
    train_images: Annotated[dict[str, TrainImages], Field(min_length=1)] | TrainImages | None = Field(
        None,
        description="Number of training images of every domain, or domain -> number; below 1: the fraction of them. "
        "The other training images are not used at all; validation and test stay whole. Classes keep their "
        "frequencies. null: all.",
    )
    model: Model = Field(description="Options of the backbone that capacity does not set.")
    recipe: Recipe = Field(description="How one model is trained.")

    @property
    def limited_domains(self) -> dict[str, float]:
        """Domain -> number (1 or more) or fraction (below 1) of its training images that are used, if not all."""
        if self.train_images is None:
            return {}
        return (
            self.train_images if isinstance(self.train_images, dict) else dict.fromkeys(self.domains, self.train_images)
        )


class Architectures(Section):
    """The capacity grid: every depth with every width (and number of shared layers)."""

    family: Literal["vit", "resnet", "dense"] = Field(description="Backbone family.")
    depth: UniqueList[Annotated[Count, Field(le=limits.DEPTH)]] = Field(
        description="ViT: number of transformer blocks. ResNet: 14, 26, 50 or 101 layers. Dense: layers of the ResNet "
        "encoder (26)."
    )
    width: UniqueList[Annotated[Count, Field(le=limits.WIDTH)]] = Field(
        description="ViT: size of the embedding. ResNet: base width of the bottleneck, 64 as published. Dense: the "
        "same of the encoder."
    )
    shared_layers: UniqueList[Annotated[Index, Field(le=limits.DEPTH)]] | None = Field(
        None, description="Dense: number of decoder stages, of five, that all tasks share."
    )


TaskSet = Annotated[
    UniqueList[str] | Literal["groups", "attributes"],
    Field(
        description="Names of domains, groups, attributes or dense tasks; or, for a benchmark of attributes, `groups` "
        "or `attributes`: all of them."
    ),
]
TaskSets = Annotated[dict[Name, TaskSet], Field(min_length=1), DISTINCT]
#: Options of each method are checked by the method's own model (:mod:`scalarization.methods`).
Methods = Annotated[
    dict[str, dict[str, Any]],
    Field(min_length=1, description="Method -> its options. `single` trains every task or domain alone."),
]


class Grid(Section):
    """Task sets x architectures x variants, each with every seed."""

    benchmark: str = Field(description="A key of `benchmarks`.")
    task_sets: TaskSets = Field(description="Name -> domains (or tasks) trained together.")
    architectures: Architectures = Field(description="The capacity grid.")
    variants: Annotated[dict[Name, Variant], Field(min_length=1), DISTINCT] = Field(
        {"base": Variant()},
        description="Name -> what differs from the benchmark's recipe and model. Default: base, nothing.",
    )
    seeds: Count = Field(le=limits.RUNS, description="Number of seeds; indices 0 .. seeds-1.")


class Experiment(Grid):
    """A grid of cells: task sets x architectures x methods x variants, each with every seed."""

    methods: Methods


class ConflictCount(Grid):
    """Runs of uniform weights in which gradient conflicts are counted, evaluated after every epoch."""

    every: Count = Field(
        1,
        le=limits.STEPS_PER_EPOCH,
        description="Count at every so many steps of an epoch, from its first on; for large models, since a counted "
        "step of T attributes costs (3 + 2 T) / 3 steps.",
    )


class ProfileOptions(Section):
    """Time and memory of a step of each method, by number of tasks; `uniform` is always measured as well."""

    benchmark: str = Field(description="A benchmark of binary attributes.")
    architecture: str = Field(description="Name of an architecture, such as vit_d6_w96.")
    batch_size: Annotated[Count, Field(le=limits.BATCH)] | None = Field(
        None, description="Images per step; the benchmark's own if absent."
    )
    tasks: UniqueList[Annotated[Count, Field(le=1000)]] = Field(
        description="Numbers of tasks; the benchmark's attributes are used again where there are fewer."
    )
    rounds: Count = Field(7, le=10_000, description="Repetitions of the measurement of time.")
    methods: Methods


class SearchOptions(Section):
    """One search of the weights, or of the learning rate, per architecture (appendix 5).

    Methods pbt, pb2, search_grid, search_random, search_lr use it.
    """

    benchmark: str = Field(description="A key of `benchmarks`.")
    task_set: Annotated[dict[Name, TaskSet], Field(min_length=1, max_length=1)] = Field(
        description="Name of the one task set whose weights are searched, and its tasks or domains."
    )
    architectures: Architectures = Field(description="The capacity grid.")
    method: Literal["pbt", "pb2", "search_grid", "search_random", "search_lr"] = Field(
        description="pbt and pb2 change weights while members train; search_grid and search_random compare constant "
        "ones; search_lr compares learning rates under uniform weights."
    )
    population: Integer = Field(ge=2, le=limits.MEMBERS, description="Number of members N.")
    epochs_ready: Count = Field(le=limits.EPOCHS, description="Epochs E between two rounds of exploitation.")
    quantile: Positive = Field(
        0.25, le=0.5, description="Fraction Q of the members that exploit others, and of those that are exploited."
    )
    fraction: Positive = Field(
        0.7,
        le=1,
        description="Fraction r of the training set that members see; the same images for all. An epoch is a pass over "
        "it.",
    )
    perturbation_factors: Annotated[UniqueList[Annotated[Positive, Field(ge=0.001, le=1000)]], Field(min_length=2)] = (
        Field(
            [1.2, 0.8],
            description="PBT: each weight is multiplied by one of them, then all are divided by their sum; equal "
            "factors would change nothing.",
        )
    )
    resample_probability: Fraction = Field(0.25, description="PBT: probability that a weight is drawn anew instead.")
    lr_factor: Number = Field(
        10,
        gt=1,
        le=1000,
        description="search_lr: learning rates are drawn from the recipe's divided by this to the recipe's times this, "
        "uniformly on a logarithmic scale.",
    )
    seed: Index = Field(0, le=limits.RUNS, description="Seed index of the search.")
    seeds: Count = Field(
        1,
        le=limits.REPETITIONS,
        description="Number K of searches, with the seed indices seed .. seed+K-1. A run of seed s is trained with the "
        "result of search number s mod K.",
    )
    session: Name | None = Field(
        None,
        description="Searches of one benchmark with the same session run in one job at the same time; a job for each "
        "search if absent.",
    )
    changes: Changes = Field(Changes(), description="What differs from the benchmark's recipe and model.")


class Jobs(Section):
    """How cells are spread over jobs. Changes where something runs, never its result."""

    minutes: NotNegative = Field(
        2,
        le=limits.MINUTES,
        description="Small cells share a job until its estimated time reaches this many minutes, and none is shorter "
        "than half of it where others of its benchmark can join; a cell is never split by it.",
    )
    runs_per_job: Annotated[Count, Field(le=limits.RUNS)] | None = Field(
        None, description="A cell with more runs is split into shards of at most this many; null: never."
    )
    gpus_per_member: Positive = Field(
        1,
        ge=0.001,
        le=1000,
        description="Searches: share of a GPU that each member gets where there is one; 0.25 trains four at a time on "
        "it.",
    )
    search_workers: Count = Field(
        8,
        le=limits.THREADS,
        description="Searches on a cluster, without a GPU: members trained at the same time, one core (threads) each.",
    )
    search_nodes: Count = Field(
        1,
        le=limits.THREADS,
        description="Searches on a cluster: nodes of a job, on which Ray is started together; each has search_workers "
        "members, or a GPU.",
    )
    memory_mb: Integer = Field(
        4000,
        ge=100,
        le=limits.MEMORY,
        description="On a cluster: main memory of a job in addition to its images; a second attempt asks for twice as "
        "much, and so on.",
    )
    max_memory_mb: Integer = Field(
        64000,
        ge=100,
        le=limits.MEMORY,
        description="On a cluster: the most memory that a job asks for (what its nodes have).",
    )
    time_factor: Number = Field(
        3, ge=1, le=1000, description="On a cluster: a job asks for its estimated time times this, and ten minutes."
    )
    max_minutes: Integer = Field(
        1440,
        ge=5,
        le=limits.MINUTES,
        description="On a cluster: the longest time that a job asks for (partitions have limits); the next attempt "
        "resumes.",
    )


class Throughput(Section):
    """What estimates assume: seconds = steps x seconds_per_step + FLOPs / flops_per_second."""

    hardware: str = Field(description="The unit that the hours are counted in.")
    flops_per_second: Positive = Field(
        ge=1, le=1e30, description="Sustained floating point operations per second in training (forward + backward)."
    )
    seconds_per_step: NotNegative = Field(le=limits.SECONDS, description="Fixed time of a step.")
    seconds_per_job: NotNegative = Field(le=limits.SECONDS, description="Start-up of a job.")
    images_per_second: dict[str, Annotated[Positive, Field(ge=1e-6, le=1e12)]] = Field(
        {}, description="Measured training throughput by architecture; replaces the estimate where given."
    )


class ArtifactOptions(Section):
    """What a figure or table is drawn from."""

    kind: str | None = Field(None, description="Module that computes and draws it; the artifact's name if absent.")
    experiment: str | None = Field(None, description="A key of `experiments`.")
    profile: str | None = Field(None, description="A key of `profiles`, for artifacts about time and memory.")
    experiments: UniqueList[str] | None = Field(
        None, description="Keys of `experiments`, for artifacts that put several side by side."
    )
    conflicts: UniqueList[str] | None = Field(
        None, description="Keys of `conflicts`, for artifacts about gradient conflicts."
    )
    searches: UniqueList[str] | None = Field(
        None,
        description="Keys of `searches`, for artifacts about the searches themselves; may be given together with "
        "experiments.",
    )

    def describe(self) -> dict[str, Any]:
        """What was given."""
        return self.model_dump(exclude_none=True)


class ClaimOptions(Section):
    """How claims are tested."""

    margin: Positive = Field(
        0.2,
        ge=1e-3,
        le=50,
        description="Two methods are on par if their averages over tasks differ by less than this: percentage points "
        "of accuracy, percent of a loss.",
    )


class Preset(Section):
    """A complete set of experiments."""

    extends: Text | None = Field(
        None,
        description="Another preset, by name or path, of which this one changes some values: keys inside of keys are "
        "put together, anything else is replaced whole. What is checked is the result.",
    )
    description: Text = Field(description="What the preset is for, in one line.")
    jobs: Jobs = Field(Jobs(), description="How cells are spread over jobs.")
    throughput: Throughput = Field(
        Throughput(hardware="CPU core", flops_per_second=2.5e10, seconds_per_step=0.003, seconds_per_job=12),
        description="What estimates assume.",
    )
    benchmarks: Annotated[dict[str, Benchmark], Field(min_length=1)] = Field(
        description="Benchmark (a module of scalarization.benchmarks) -> its data, model options and recipe."
    )
    experiments: Annotated[dict[Name, Experiment], Field(min_length=1), DISTINCT] = Field(
        description="Name -> what is trained; artifacts refer to it by this name."
    )
    artifacts: Annotated[dict[ArtifactName, ArtifactOptions], Field(min_length=1)] = Field(
        description="Figures and tables: name -> the query behind it. The kind (module in analysis/ and figures/ or "
        "tables/) is the name itself unless given."
    )
    claims: ClaimOptions = Field(ClaimOptions(), description="How claims are tested.")
    conflicts: Annotated[dict[Name, ConflictCount], DISTINCT] = Field(
        {}, description="Counting of gradient conflicts: name -> in which runs of uniform weights."
    )
    profiles: Annotated[dict[Name, ProfileOptions], DISTINCT] = Field(
        {}, description="Measurements of time and memory: name -> what is compared."
    )
    searches: Annotated[dict[Name, SearchOptions], DISTINCT] = Field(
        {},
        description="Searches of weights: name -> what is searched, and how. Artifacts and experiments share them.",
    )
