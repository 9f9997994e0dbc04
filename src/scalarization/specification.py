"""What a run's numbers depend on, apart from data and code: typed, frozen, ready for JSON. No torch.

Every type has ``describe()``, the same content as plain values. A run's identity is made of these, so a change of what
``describe()`` returns trains again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from scalarization.config import MethodOptions, NetworkOptions, Recipe


@dataclass(frozen=True)
class DomainOutputs:
    """Multi-domain learning (MDL): one classifier, shared by all domains.

    Attributes:
        classes: Number of classes.
        evaluated: Domains on which metrics are computed at the last epoch.
    """

    setting: ClassVar[str] = "mdl"

    classes: int
    evaluated: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """The outputs as plain values."""
        return {"setting": self.setting, "classes": self.classes, "evaluated": list(self.evaluated)}


@dataclass(frozen=True)
class AttributeOutputs:
    """Multi-task learning (MTL) of binary attributes: one logit per attribute; those of a task share one weight.

    Attributes:
        labels: All attributes of the benchmark, in the order of the labels' columns.
        attributes: Task -> its attributes.
        evaluated: The one set of images, as a tuple.
    """

    setting: ClassVar[str] = "mtl"

    labels: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...]]
    evaluated: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """The outputs as plain values."""
        return {
            "setting": self.setting,
            "labels": list(self.labels),
            "attributes": {task: list(attributes) for task, attributes in self.attributes.items()},
            "evaluated": list(self.evaluated),
        }


@dataclass(frozen=True)
class DenseOutputs:
    """Multi-task learning (MTL) of dense tasks: one map per task.

    Attributes:
        maps: Task -> channels of its map.
        evaluated: The one set of images, as a tuple.
    """

    setting: ClassVar[str] = "mtl"

    maps: Mapping[str, int]
    evaluated: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """The outputs as plain values."""
        return {"setting": self.setting, "maps": dict(self.maps), "evaluated": list(self.evaluated)}


#: What kind of tasks a run has is the type of its outputs.
Outputs = DomainOutputs | AttributeOutputs | DenseOutputs


@dataclass(frozen=True)
class SearchReference:
    """The search that a cell takes its weights from.

    Attributes:
        name: ``<key of the preset's searches>/<architecture>``.
        policy: ``whole``: weights change over epochs as the search found them; ``last``: the last interval's weights
            from the first epoch on (appendix 5.2).
        details: What the search's history depends on, as :meth:`scalarization.plan.cells.Search.describe` returns it.
        others: The same search with other seeds, in their order; empty if it is not repeated.
    """

    name: str
    policy: str
    details: Mapping[str, Any]
    others: tuple[SearchReference, ...] = ()

    @property
    def architecture(self) -> str:
        """Name of the architecture that was searched on."""
        return self.details["trains"]["architecture"]

    def of_seed(self, seed: int) -> SearchReference:
        """The one search that runs of a seed take their weights from: of K repetitions number ``seed`` mod K."""
        return (replace(self, others=()), *self.others)[seed % (1 + len(self.others))]

    def describe(self) -> dict[str, Any]:
        """The reference as plain values; ``others`` only if the search is repeated."""
        values = {"name": self.name, "policy": self.policy, **self.details}
        return {**values, "others": [other.describe() for other in self.others]} if self.others else values


@dataclass(frozen=True)
class Specification:
    """Everything that a run's numbers depend on, but its cell's name, its weights, its seed, data and code.

    Attributes:
        model: Options of the backbone that capacity does not set.
        recipe: How it is trained; ``epochs`` and ``steps_per_epoch`` below count, not the recipe's.
        epochs: Epochs of training.
        steps_per_epoch: Steps of each of them.
        outputs: What is predicted, and where it is evaluated.
        root_seed: Root of all randomness.
        threads: Compute threads; their number changes sums.
        method_options: Options of the method; None for methods that only set weights.
        train_images: Domain -> number (1 or more) or fraction (below 1) of its training images that are used at all,
            of those domains that are limited; None: none is.
        fraction: Part of these images that is seen (searches); None: all of them.
        search: The search that the weights come from; None: they are known beforehand.
        count_every: Gradient conflicts are counted at every so many steps; None: not at all.
        policy: One weight vector per epoch, as the search found them; None: the run's own weights at every epoch.
    """

    model: NetworkOptions
    recipe: Recipe
    epochs: int
    steps_per_epoch: int
    outputs: Outputs
    root_seed: int
    threads: int
    method_options: MethodOptions | None = None
    train_images: Mapping[str, float] | None = None
    fraction: float | None = None
    search: SearchReference | None = None
    count_every: int | None = None
    policy: tuple[tuple[float, ...], ...] | None = None

    @property
    def steps(self) -> int:
        """Training steps of one run."""
        return self.epochs * self.steps_per_epoch

    def with_lr(self, lr: float) -> Specification:
        """The same with another peak learning rate."""
        return replace(self, recipe=self.recipe.model_copy(update={"lr": lr}))

    def describe(self) -> dict[str, Any]:
        """The specification as plain values; what is None is left out."""
        values: dict[str, Any] = {
            "model": self.model.describe(),
            "recipe": self.recipe.describe(),
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "root_seed": self.root_seed,
            "threads": self.threads,
            "method_options": {} if self.method_options is None else self.method_options.describe(),
            **self.outputs.describe(),
        }
        if self.train_images is not None:
            values["train_images"] = dict(self.train_images)
        if self.fraction is not None:
            values["fraction"] = self.fraction
        if self.search is not None:
            values["search"] = self.search.describe()
        if self.count_every is not None:
            values["conflicts"] = {"every": self.count_every}
        if self.policy is not None:
            values["policy"] = [list(weights) for weights in self.policy]
        return values
