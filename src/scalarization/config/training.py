"""How one model is trained: recipe, augmentation, options of the backbone, and changes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from scalarization.config import limits
from scalarization.config.base import Count, Index, NotNegative, Positive, Section


class RandAugment(Section):
    """RandAugment with torchvision's operations."""

    num_ops: Count = Field(le=100, description="Operations per image.")
    magnitude: Index = Field(le=30, description="Magnitude on torchvision's scale of 31 bins.")


class AugmentationOptions(Section):
    """Augmentation of whole batches; every image has its own draw."""

    crop_padding: Index = Field(
        0, le=limits.WIDTH, description="Random crop after padding by this many pixels; 0: none."
    )
    flip: bool = Field(False, description="Horizontal flip with probability 1/2.")
    resized_crop: Annotated[Positive, Field(le=1)] | None = Field(
        None,
        description="For benchmarks whose images are decoded while training: random crop of at least this part of the "
        "area, at a ratio of 3:4 to 4:3, resized. Absent: the middle of the image.",
    )
    randaugment: RandAugment | None = Field(None, description="RandAugment; null: none.")

    def describe(self) -> dict[str, Any]:
        """The options as plain values; ``resized_crop`` only where it is used."""
        values = self.model_dump()
        if self.resized_crop is None:
            del values["resized_crop"]
        return values


class Recipe(Section):
    """How one model is trained."""

    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with momentum.")
    lr: Positive = Field(description="Peak learning rate, reached at the end of warm-up.")
    weight_decay: NotNegative = Field(
        0.05,
        le=1e6,
        description="Weight decay, decoupled under AdamW; what it leaves out: see decay_bias_and_norm.",
    )
    decay_bias_and_norm: bool = Field(
        False, description="Whether weight decay also acts on biases, norms, class token and position embedding."
    )
    momentum: NotNegative = Field(0.9, lt=1, description="SGD only.")
    batch_size: Count = Field(le=limits.BATCH, description="Images per step.")
    epochs: Count = Field(
        le=limits.EPOCHS,
        description="Epochs; one is a pass over the official training set size of the reference domain.",
    )
    steps_per_epoch: Annotated[Count, Field(le=limits.STEPS_PER_EPOCH)] | None = Field(
        None, description="Steps of an epoch, for trying something out; null: a whole pass, see epochs."
    )
    warmup_epochs: Index = Field(0, le=limits.EPOCHS, description="Epochs of linear warm-up.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Learning rate after warm-up: cosine to zero, or constant."
    )
    eval_every: Count = Field(
        1,
        le=limits.EPOCHS,
        description="Epochs between evaluations on validation and on a training subset of equal size.",
    )
    augmentation: AugmentationOptions = Field(
        AugmentationOptions(), description="Batched augmentation; every image has its own draw."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 autocast on CUDA devices that have it, float32 elsewhere."
    )
    compile: Literal["auto"] | bool = Field(
        "auto", description="torch.compile; auto: on CUDA for runs of at least 2,000 steps, never on a CPU."
    )
    accumulate: Count = Field(
        1,
        le=limits.BATCH,
        description="Micro-batches that a batch is cut into (gradient accumulation); means are taken over all of them "
        "together.",
    )
    resolve: Literal["after", "micro"] = Field(
        "after",
        description="With accumulation, where gradient-based methods resolve conflicts: after accumulating each task's "
        "gradient, or in every micro-batch.",
    )
    on_divergence: Literal["stop", "continue"] = Field(
        "stop",
        description="What follows when a loss, a gradient, a weight or a prediction is not finite. stop: the run ends, "
        "its metrics are NaN from that epoch on, and the job trains its other runs. continue: the run is trained on; "
        "the metrics of every epoch that was not finite are NaN.",
    )
    gradients_at_once: Annotated[Count, Field(le=limits.WIDTH)] | None = Field(
        None,
        description="On CUDA, how many tasks' gradients are taken in one batched backward pass (bounds memory); null: "
        "all.",
    )

    def describe(self) -> dict[str, Any]:
        """The recipe as plain values, without epochs and steps, which a specification has resolved."""
        values = self.model_dump(exclude={"epochs", "steps_per_epoch"})
        return {**values, "augmentation": self.augmentation.describe()}


class ViTOptions(Section):
    """ViT: what capacity does not set."""

    patch: Count = Field(4, le=limits.WIDTH, description="ViT: patch size in pixels; must divide the image size.")
    heads: Count = Field(12, le=limits.WIDTH, description="ViT: attention heads; must divide every width.")
    mlp_ratio: Positive = Field(2, le=100, description="ViT: hidden size of the MLP over the width.")
    drop_path: NotNegative = Field(
        0.1, lt=1, description="ViT: stochastic depth of the last block, rising linearly from 0."
    )


_Planes = Annotated[
    Count,
    Field(
        le=limits.WIDTH,
        description="ResNet and dense: planes of the first stage, 64 as published; every stage has twice those of the "
        "one before, and outputs four times its planes. Dense: 16, 32, 64 or 128.",
    ),
]


class ResNetOptions(Section):
    """ResNet: what capacity does not set."""

    stem: Literal["plain", "deep"] = Field(
        "plain",
        description="ResNet: plain is a convolution of 7 x 7 with 64 channels, deep three of 3 x 3 (with as many "
        "channels as the first stage's), for small images; both are followed by the pool.",
    )
    channels: _Planes = 64
    scale_stages: bool = Field(
        False,
        description="ResNet: whether width scales every stage, instead of the 3x3 convolutions inside of the blocks "
        "only.",
    )


class DenseOptions(Section):
    """Encoder and decoder for dense tasks: what capacity does not set."""

    channels: _Planes = 64
    upsampling: Literal["nearest", "transposed"] = Field(
        "nearest",
        description="Dense: how a decoder stage doubles height and width; transposed: a convolution of 2 x 2 with "
        "stride 2.",
    )
    skips: bool = Field(
        False, description="Dense: whether the encoder's features are added to the decoder's of the same size."
    )


#: Options of one family.
NetworkOptions = ViTOptions | ResNetOptions | DenseOptions


class Model(ViTOptions, ResNetOptions, DenseOptions):
    """Options of the backbone that capacity does not set, of all families."""


def _without_default(schema: dict[str, Any]) -> None:
    """A change that is not given has no value: its default exists in Python only."""
    del schema["default"]


def changes_of(model: type[Section], name: str) -> type[Section]:
    """A model of changes: every key of ``model`` may be given, none has to be, and none has a default.

    What was given is ``model_dump(exclude_unset=True)``.
    """
    fields: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        kind: Any = AugmentationChanges if field.annotation is AugmentationOptions else field.annotation
        kind = Annotated[(kind, *field.metadata)] if field.metadata else kind
        fields[key] = (kind, Field(None, description=field.description, json_schema_extra=_without_default))
    return create_model(name, __base__=Section, __doc__=model.__doc__, **fields)


if TYPE_CHECKING:

    class AugmentationChanges(Section):
        """Keys of the augmentation that differ."""

    class RecipeChanges(Section):
        """Keys of the recipe that differ."""

    class ModelChanges(Section):
        """Options of the backbone that differ."""
else:
    AugmentationChanges = changes_of(AugmentationOptions, "AugmentationChanges")
    RecipeChanges = changes_of(Recipe, "RecipeChanges")
    ModelChanges = changes_of(Model, "ModelChanges")


class Changes(Section):
    """What differs from the benchmark's recipe and model."""

    recipe: RecipeChanges = Field(RecipeChanges(), description="Keys of the recipe that differ.")
    model: ModelChanges = Field(ModelChanges(), description="Options of the backbone that differ.")


class Variant(Changes):
    """What differs from the benchmark's recipe and model, and from the options of methods whose weights are searched.

    A key of these options that is not given leaves the method's own value as it is.
    """

    search: str = Field(
        "",
        description="pbt, pb2, search_grid, search_random, search_lr: another key of `searches` than the method's own "
        "option.",
        json_schema_extra=_without_default,
    )
    search_on: str | None = Field(
        None,
        description="The same methods: the architecture that was searched on; null: the architecture of the cell.",
        json_schema_extra=_without_default,
    )
    policy: Literal["whole", "last"] = Field(
        "whole",
        description="The same methods: train with the whole policy, or with its last weights from the first epoch on.",
        json_schema_extra=_without_default,
    )
