"""How a method declares itself. No torch: every process that plans imports this.

A module of this package exports one ``METHOD``. What else it must provide follows from the kind of the method:

- ``constant``: ``weight_settings(options, tasks, sizes)`` returns the weight vectors of a cell.
- ``loss``, ``gradient``, ``feature``: ``build(options, num_tasks)`` returns an object that turns the tasks' losses or
  gradients into one (see :mod:`scalarization.methods.base`). It imports torch and TorchJD inside the function.
- ``searched``: neither. A search of the preset determines the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from scalarization.config import MethodOptions
from scalarization.errors import ConfigError

if TYPE_CHECKING:
    from scalarization.methods.base import Method

Kind = Literal["constant", "loss", "gradient", "feature", "searched"]
#: Kinds of methods that act on losses or gradients at every step, and therefore have ``build``.
BUILT: tuple[Kind, ...] = ("loss", "gradient", "feature")
#: Groups of methods, in the order in which tables list them.
BASELINE, SCALARIZATION = "Baseline", "Scalarization"
LOSS_BASED, GRADIENT_BASED = "MTO, loss-based", "MTO, gradient-based"
OTHERS = "Other methods"
GROUPS = (BASELINE, SCALARIZATION, LOSS_BASED, GRADIENT_BASED, OTHERS)


@dataclass(frozen=True)
class CostFormulas:
    """What a step costs relative to one of uniform scalarization, in T (tasks) and N (weight settings or members).

    The defaults are those of uniform scalarization.

    Attributes:
        forward_passes: Number of forward passes.
        backward_passes: Number of backward passes. Under multi-domain learning without BatchNorm the batch is split by
            domain, and T backward passes cost about as much as one.
        additional_computation: Computation besides these passes. ``T^2`` is the Gramian of the tasks' gradients; a
            solver works on the Gramian.
        additional_storage: Number of gradients stored at the same time.
    """

    forward_passes: str = "1"
    backward_passes: str = "1"
    additional_computation: str = "0"
    additional_storage: str = "1"


class NoOptions(MethodOptions):
    """For methods without options."""


class GradientOptions(MethodOptions):
    """Options that all methods of kind ``gradient`` have."""

    include_heads: bool = Field(
        False,
        description="Whether the method also acts on the heads' parameters (as in the code the paper measured with); "
        "if false, each head gets the gradient of its own task.",
    )


#: (options, names of tasks, domain -> number of images in its official training set) -> weight vectors.
WeightSettings = Callable[[Any, Sequence[str], Mapping[str, int]], list[list[float]]]


@dataclass(frozen=True)
class MethodInfo:
    """What is known of a method before anything runs.

    Attributes:
        name: Name in presets, columns and paths; also the name of its module.
        label: Name in tables and figures.
        group: One of :data:`GROUPS`.
        kind: What the method acts on; see the module's docstring.
        description: One sentence, with the source.
        options: Model of its options: types, ranges, a default for each option, a description of each.
        formulas: What a step costs; None if that is not known.
        weight_settings: The weight vectors of a cell; only for kind ``constant``.
        build: (options, number of tasks) -> method; only for kinds ``loss``, ``gradient`` and ``feature``.
        exploits: Whether members of the search copy the state of better members; only for kind ``searched``.
        rank: Position in tables among the methods of the group; methods of equal rank are sorted by name.
        module: Module of this package with the method's code. It equals ``name`` unless several methods share a module.
    """

    name: str
    label: str
    group: str
    kind: Kind
    description: str
    options: type[MethodOptions] = NoOptions
    formulas: CostFormulas | None = None
    weight_settings: WeightSettings | None = None
    build: Callable[[Any, int], Method] | None = None
    exploits: bool = False
    rank: int = 100
    module: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if the declaration contradicts itself."""
        if not self.module:
            object.__setattr__(self, "module", self.name)
        problems = [
            (self.group not in GROUPS, f"group '{self.group}' is not one of {', '.join(GROUPS)}"),
            (
                (self.weight_settings is not None) != (self.kind == "constant"),
                "weight_settings belongs to kind constant, which requires it",
            ),
            (
                (self.build is not None) != (self.kind in BUILT),
                f"build belongs to kinds {', '.join(BUILT)}, which require it",
            ),
            (
                issubclass(self.options, GradientOptions) != (self.kind == "gradient"),
                "options derived from GradientOptions belong to kind gradient, which requires them",
            ),
            (self.exploits and self.kind != "searched", "exploits belongs to kind searched"),
        ]
        for failed, message in problems:
            if failed:
                raise ValueError(f"method {self.name}: {message}")

    @property
    def order(self) -> tuple[int, int, str]:
        """Sorts methods as tables list them."""
        return GROUPS.index(self.group), self.rank, self.name


def check_simplex(weights: Sequence[float], tasks: Sequence[str]) -> None:
    """Raise ConfigError unless ``weights`` (one per task) are non-negative and sum to 1 within 1e-6."""
    if len(weights) != len(tasks):
        raise ConfigError(f"{len(weights)} weights for {len(tasks)} tasks ({', '.join(tasks)})")
    if any(w < 0 for w in weights) or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        raise ConfigError(f"weights {list(weights)} are off the simplex: they must be >= 0 and sum to 1")
