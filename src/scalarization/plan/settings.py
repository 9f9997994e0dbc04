"""Recipe, model and length of a training: the benchmark's own with the changes of a variant or a search, checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scalarization.benchmarks import BenchmarkInfo
from scalarization.benchmarks.base import ClassLabels, MapLabels
from scalarization.config import Benchmark, Changes, Model, Recipe, changed, limits
from scalarization.plan.problems import Problems


@dataclass(frozen=True)
class Settings:
    """Recipe, model and length of a training, with the changes of a variant or a search applied.

    Attributes:
        recipe: How it is trained.
        model: Options of the backbone, of all families.
        epochs: Epochs.
        steps_per_epoch: Steps of each of them.
        fraction: Part of the training set that an epoch is a pass over; None: all of it.
    """

    recipe: Recipe
    model: Model
    epochs: int
    steps_per_epoch: int
    fraction: float | None


class Mistake(NamedTuple):
    """What is wrong with a value of a recipe.

    Attributes:
        name: Its key in the recipe.
        value: The value.
        message: What is wrong, and the way out.
        others: Further keys that it contradicts.
    """

    name: str
    value: object
    message: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where the values of a training stand in the preset.

    Attributes:
        benchmark: Name of the benchmark.
        options: What the preset says of it.
        info: What it declares.
        changes: What differs from its recipe and model.
        place: Where the keys of the recipe that differ stand.
    """

    benchmark: str
    options: Benchmark
    info: BenchmarkInfo
    changes: Changes
    place: str

    def changes_recipe(self, name: str) -> bool:
        """Whether the changes give a key of the recipe, as ``epochs`` or ``augmentation.flip``."""
        section: Any = self.changes.recipe
        for part in name.split("."):
            if section is None or part not in section.model_fields_set:
                return False
            section = getattr(section, part)
        return True

    def note(self, mistake: Mistake, problems: Problems) -> None:
        """Note a mistake under the key at which its value stands."""
        place = self.place if self.changes_recipe(mistake.name) else f"benchmarks.{self.benchmark}.recipe"
        others = [name for name in mistake.others if self.changes_recipe(name)]
        message = f"{mistake.message} (with {', '.join(others)} of {self.place})" if others else mistake.message
        problems.add(f"{place}.{mistake.name} = {mistake.value}", message)

    def check_batch_norm(self, recipe: Recipe, architecture: str, problems: Problems) -> None:
        """Note a micro-batch of one image, which BatchNorm cannot normalise where a map has a single pixel."""
        size, parts = recipe.batch_size, recipe.accumulate
        if size - math.ceil(size / parts) * (parts - 1) != 1:
            return
        name = "batch_size" if parts == 1 else "accumulate"
        message = (
            f"{architecture} normalises maps of one pixel over the images of a {'' if parts == 1 else 'micro-'}batch, "
            f"and {'the last one' if parts > 1 else 'it'} has one image; BatchNorm needs two"
        )
        self.note(Mistake(name, getattr(recipe, name), message, ("batch_size",)), problems)


def settings_of(origin: Origin, problems: Problems, fraction: float | None = None) -> Settings:
    """Recipe, model and length of a training; what contradicts itself is noted.

    Args:
        origin: The benchmark, and what differs from its recipe and model.
        problems: Collects mistakes.
        fraction: Part of the training set; an epoch is a pass over that much of it.
    """
    options = origin.options
    recipe = changed(options.recipe, origin.changes.recipe)
    epoch_images = origin.info.domains[options.reference].train_images
    if recipe.steps_per_epoch is not None:
        epoch_images = recipe.steps_per_epoch * recipe.batch_size
    steps = math.ceil(epoch_images * (fraction or 1) / recipe.batch_size)
    for check in (_length, _batches, _augmentation):
        for mistake in check(origin, recipe, steps):
            origin.note(mistake, problems)
    return Settings(recipe, changed(options.model, origin.changes.model), recipe.epochs, steps, fraction)


def check_fraction(key: str, origin: Origin, settings: Settings, tasks: Sequence[str], problems: Problems) -> None:
    """Note a part of the training set that has fewer images than a batch, or fewer of a domain than classes.

    Args:
        key: Where the fraction stands.
        origin: The benchmark.
        settings: Those of its members.
        tasks: What is searched.
        problems: Collects mistakes.
    """
    fraction, info = settings.fraction or 1, origin.info
    needed = {origin.options.reference: (settings.recipe.batch_size, "a batch has")}
    if isinstance(info.labels, ClassLabels):
        of_classes = len(info.labels.names), "its classes are"
        needed |= {domain: max(needed.get(domain, of_classes), of_classes) for domain in tasks}
    for domain, (count, text) in needed.items():
        images = int(fraction * info.domains[domain].train_images)
        # A batch that is larger than the whole training set is wrong whatever the fraction is.
        if images < count <= info.domains[domain].train_images:
            problems.add(f"{key} = {fraction}", f"leaves {images:,} training images of {domain}, and {text} {count:,}")


def _length(origin: Origin, recipe: Recipe, steps: int) -> Iterator[Mistake]:
    epochs, every = recipe.epochs, recipe.eval_every
    if recipe.warmup_epochs >= epochs:
        message = f"leaves none of the {epochs:,} epochs after it"
        yield Mistake("warmup_epochs", recipe.warmup_epochs, message, ("epochs",))
    # A variant that only shortens the training is evaluated at its end.
    if every > epochs and (origin.changes_recipe("eval_every") or not origin.changes_recipe("epochs")):
        yield Mistake("eval_every", every, f"is more than the {epochs:,} epochs", ("epochs",))
    if epochs * steps > limits.STEPS:
        message = f"at {steps:,} steps each, a run has {epochs * steps:,} steps; at most {limits.STEPS:,}"
        yield Mistake("epochs", epochs, message, ("steps_per_epoch", "batch_size"))


def _batches(origin: Origin, recipe: Recipe, steps: int) -> Iterator[Mistake]:
    size, parts, reference = recipe.batch_size, recipe.accumulate, origin.options.reference
    images = origin.info.domains[reference].train_images
    if size > images:
        message = f"is more than the {images:,} training images of the reference domain {reference}"
        yield Mistake("batch_size", size, message)
    part = math.ceil(size / parts)
    if math.ceil(size / part) != parts:
        cut = f"gives {math.ceil(size / part)} micro-batches of {part}" if parts <= size else f"gives at most {size}"
        message = f"a batch of {size:,} images {cut}; give a divisor of the batch size"
        yield Mistake("accumulate", parts, message, ("batch_size",))


def _augmentation(origin: Origin, recipe: Recipe, steps: int) -> Iterator[Mistake]:
    options, info = recipe.augmentation, origin.info
    if options.randaugment and isinstance(info.labels, MapLabels):
        message = "maps would have to be transformed with the images; leave it out"
        yield Mistake("augmentation.randaugment", options.randaugment, message)
    if options.resized_crop is not None and not info.encoded:
        message = (
            f"is for benchmarks whose images are decoded while training, and {origin.benchmark} is none of them; use "
            "crop_padding"
        )
        yield Mistake("augmentation.resized_crop", options.resized_crop, message)
    if options.crop_padding >= info.image_size:
        message = f"a crop could miss all of an image of {info.image_size} pixels; at most {info.image_size - 1}"
        yield Mistake("augmentation.crop_padding", options.crop_padding, message)
