"""Whether a run diverged: a loss, a gradient, a weight or a prediction was not finite.

Losses and gradients of every step are compared on the device, which nobody waits for; what was found is read once per
epoch. Nothing escapes in between: a gradient that is NaN or infinite leaves weights that are NaN or infinite for good,
under AdamW and SGD and whatever the weight decay, and the weights are looked at when an epoch ends. Predictions are
looked at when they are evaluated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scalarization.config import Recipe

#: Steps whose numbers are kept before they are reduced to the first bad step; bounds the memory.
ROWS = 1024
NEVER = torch.iinfo(torch.int64).max
#: Value of ``on_divergence`` -> what it means.
AFTERWARDS = {
    "stop": "stop, so the run ends here, and its metrics are NaN from this epoch on",
    "continue": "continue, so training continues; the metrics of every epoch that is not finite are NaN",
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Divergence:
    """Where a run diverged.

    Attributes:
        step: Number of the first step, from 1, at which something was not finite.
        cause: What was not finite, and the likely cause.
    """

    step: int
    cause: str

    def describe(self) -> dict[str, Any]:
        """Both as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Watched:
    """A number of every step that must be finite.

    Attributes:
        name: What it is, as the beginning of a sentence.
        method: Name of the method that computes it from numbers that are watched too; empty: the network does.
    """

    name: str
    method: str = ""


class FirstBadStep:
    """The first step at which one of some numbers was not finite.

    Args:
        num_numbers: How many numbers each step has.
        device: Where they are; nothing is moved from it before :meth:`read`.
    """

    def __init__(self, num_numbers: int, device: torch.device) -> None:
        self._values = torch.zeros(ROWS, num_numbers, device=device)
        self._first = torch.full((num_numbers,), NEVER, device=device)
        self._count = 0
        self._last_step = 0

    def add(self, step: int, numbers: Tensor) -> None:
        """Watch one more step.

        Args:
            step: Its number, one more than that of the step before, unless :meth:`read` was called in between.
            numbers: [num_numbers], on the device.
        """
        self._values[self._count] = numbers
        self._count += 1
        self._last_step = step
        if self._count == ROWS:
            self._reduce()

    def _reduce(self) -> None:
        finite = self._values[: self._count].isfinite()
        steps = torch.arange(self._last_step - self._count + 1, self._last_step + 1, device=self._first.device)
        self._first = torch.minimum(self._first, torch.where(finite, NEVER, steps[:, None]).amin(0))
        self._count = 0

    def read(self) -> tuple[int, int] | None:
        """The first bad step since the last call and the first of its bad numbers; None if all were finite."""
        if self._count:
            self._reduce()
        first = self._first.tolist()
        self._first.fill_(NEVER)
        step = min(first)
        return None if step == NEVER else (step, first.index(step))


class Watch:
    """Watches one run.

    Args:
        watched: What the numbers of each step are. If several are bad at one step, the first of them is named.
        recipe: How the run is trained, for the likely cause.
        precision: Precision of its forward passes.
        device: Where it is trained.

    Attributes:
        finite: Whether all was finite since the epoch began, evaluation included.
        reported: Whether it was logged that the run diverged.
    """

    def __init__(self, watched: Sequence[Watched], recipe: Recipe, precision: str, device: torch.device) -> None:
        self._watched, self._recipe, self._precision = watched, recipe, precision
        self._steps = FirstBadStep(len(watched), device)
        self._step, self._cause = 0, ""
        self.finite = True
        self.reported = False

    @property
    def first(self) -> Divergence | None:
        """Where the run first diverged; None as long as it did not."""
        return Divergence(self._step, self._cause) if self._step else None

    def report(self, run: str, num_steps: int) -> None:
        """Log where the run diverged, if it did and that was not logged before.

        Args:
            run: Name of the run.
            num_steps: Number of its steps.
        """
        if self.finite or self.reported:
            return
        self.reported = True
        message = "%s: diverged at step %d of %d: %s. on_divergence: %s"
        afterwards = AFTERWARDS[self._recipe.on_divergence]
        logger.warning(message, run, self._step, num_steps, self._cause, afterwards, extra={"terminal": True})

    def begin_epoch(self) -> None:
        """Forget whether the epoch before was finite."""
        self.finite = True

    def add(self, step: int, numbers: Tensor) -> None:
        """Watch a step; ``step`` counts from 1, ``numbers`` are those that ``watched`` names."""
        self._steps.add(step, numbers)

    def end_epoch(self, step: int, weights: Iterable[Tensor]) -> None:
        """Find out whether the epoch that ends with a step was finite.

        Args:
            step: Its last step.
            weights: Everything that its steps have changed.
        """
        self._read()
        if self.finite and not all_finite(weights):
            self.note(step, "a weight or a moment of the optimiser is not finite", self._blame_training(step))

    def note(self, step: int, finding: str, cause: str = "") -> None:
        """Something was not finite.

        Args:
            step: At which step, from 1.
            finding: What it was, as a sentence.
            cause: The likely cause; empty: unknown.
        """
        self.finite = False
        if not self._step:
            self._step, self._cause = step, f"{finding}; likely cause: {cause}" if cause else finding

    def _read(self) -> None:
        if (bad := self._steps.read()) is not None:
            step, number = bad
            watched = self._watched[number]
            cause = f"method '{watched.method}', which makes it of finite ones" if watched.method else ""
            self.note(step, f"{watched.name} is not finite", cause or self._blame_training(step))

    def _blame_training(self, step: int) -> str:
        """The likely cause of a bad number that the network makes."""
        if step == 1:
            return "the images, the labels or the initial weights, since no step came before"
        text = f"the learning rate is too high (lr: {self._recipe.lr:g}); lower it or lengthen warmup_epochs"
        return f"{text}, or try precision: float32" if self._precision != "float32" else text

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        self._read()
        return {"step": self._step, "cause": self._cause, "finite": self.finite, "reported": self.reported}

    def load_state(self, state: dict[str, Any]) -> None:
        """Resume from what :meth:`state` returned.

        Raises:
            KeyError: Something is missing.
        """
        self._steps.read()
        self._step, self._cause = state["step"], state["cause"]
        self.finite, self.reported = state["finite"], state["reported"]


def changing(network: nn.Module, method: nn.Module | None, optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """Everything that training steps change: parameters, running statistics, the optimiser's moments."""
    for module in (network, method):
        if module is not None:
            yield from module.state_dict().values()
    for state in optimizer.state.values():
        yield from (moment for name, moment in state.items() if name != "step" and moment is not None)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether all numbers of some tensors, all on one device, are finite; waits for the device once."""
    each = [tensor.isfinite().all() for tensor in tensors]
    return not each or bool(torch.stack(each).all())


def largest(tensor: Tensor) -> Tensor:
    """Largest absolute value, a scalar: finite if and only if all numbers are."""
    return torch.linalg.vector_norm(tensor.detach(), torch.inf)
