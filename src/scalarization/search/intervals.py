"""One interval of one member of a search, trained once and saved.

The state of a member depends only on the settings of its intervals so far (weights, or a learning rate), whether they
were its own or those of a member that it copied. This sequence, its lineage, therefore identifies the state. A search
that was killed repeats its decisions from the saved results, trains only the missing intervals, and ends with the same
history.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization.errors import DamagedError, MissingError
from scalarization.plan import fingerprints
from scalarization.plan.cells import Run, Search
from scalarization.search.scores import DIVERGED, ranked
from scalarization.search.settings import Setting, training
from scalarization.storage import QUALITY, quarantine, read_json, write_json
from scalarization.training.data import environment
from scalarization.training.records import read_checkpoint, write_checkpoint
from scalarization.weights import WeightSchedule

if TYPE_CHECKING:
    import torch

    from scalarization.data.base import Data
    from scalarization.training.loop import Trainer

logger = logging.getLogger(__name__)
#: Settings of a member's intervals so far, first to last.
Lineage = tuple[Setting, ...]


@dataclass(frozen=True)
class Result:
    """What the training of one interval gave.

    Attributes:
        score: Validation average over tasks, more is better; minus infinity if the member diverged.
        by_task: Scores of the tasks; NaN where they are not finite.
        metric: Metric that is averaged.
        steps: Steps that were trained.
        seconds: Duration of training and validation.
        cause: At which step the member diverged in this interval, and why; empty if it did not.
        environment: Device, threads and versions that it was trained with.
        intervals: Name of the directory of its search's intervals.
    """

    score: float
    by_task: list[float]
    metric: str
    steps: int
    seconds: float
    cause: str
    environment: dict[str, Any]
    intervals: str

    @property
    def diverged(self) -> bool:
        """Whether the member diverged, in this interval or before."""
        return self.score == DIVERGED

    def describe(self) -> dict[str, Any]:
        """The result as plain values; numbers that are not finite are None."""
        values = asdict(self)
        by_task = [s if math.isfinite(s) else None for s in self.by_task]
        return {**values, "score": None if self.diverged else self.score, "by_task": by_task}

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Result:
        """The result that :meth:`describe` described."""
        score = DIVERGED if values["score"] is None else values["score"]
        by_task = [math.nan if s is None else s for s in values["by_task"]]
        return cls(**{**values, "score": score, "by_task": by_task})


class Intervals:
    """All intervals of one search.

    Args:
        root: ``<results>/checkpoints``.
        search: The search.
        store_digest: Digest of the prepared store.
        opened: Device and data; None if nothing is trained here.
    """

    def __init__(
        self, root: Path, search: Search, store_digest: str, opened: tuple[torch.device, Data] | None = None
    ) -> None:
        self.search, self._opened = search, opened
        self._trainer: Trainer | None = None
        self._initial_state = b""
        self._identity = {**search.describe(), "data": store_digest, "code": fingerprints.search_code(search)}
        self.directory = root / f"search_{_digest(self._identity)}"

    def known_result(self, lineage: Lineage) -> Result | None:
        """What :meth:`train` returns for a lineage, if nothing has to be trained for it; else None.

        That is the case if the interval was trained before, or if the member diverged before. A file that cannot be
        used is quarantined.
        """
        if (saved := self._saved(lineage)) is not None:
            return saved
        before = self.known_result(lineage[:-1]) if len(lineage) > 1 else None
        if before is None or not before.diverged:
            return None
        return replace(before, by_task=[math.nan] * len(before.by_task), steps=0, seconds=0.0, cause="")

    def train(self, lineage: Lineage) -> Result:
        """Train the last interval of a lineage, unless its result is known.

        Args:
            lineage: The setting of each interval; the last one is trained.
        """
        if known := self.known_result(lineage):
            return known
        start = time.perf_counter()
        trainer = self._trainer_before(lineage)
        steps_before = trainer.trained_steps
        while trainer.epoch < self.search.interval_ends[len(lineage) - 1]:
            trainer.train_epoch(lambda: None)
        trainer.take_mean_loss()
        by_metric = trainer.validate()
        metric = next(m for m in QUALITY if m in by_metric[trainer.cell.tasks[0]])
        by_task = [QUALITY[metric] * by_metric[task][metric] for task in trainer.cell.tasks]
        score, divergence = ranked(sum(by_task) / len(by_task)), trainer.diverged
        result = Result(
            score=score,
            by_task=by_task,
            metric=metric,
            steps=trainer.trained_steps - steps_before,
            seconds=time.perf_counter() - start,
            cause=f"step {divergence.step}: {divergence.cause}" if divergence else "",
            environment=environment(trainer.device),
            intervals=self.directory.name,
        )
        if len(lineage) < len(self.search.interval_ends) and not result.diverged:
            write_checkpoint(self._file(lineage, "ckpt"), self._key(lineage), trainer.state())
        # The result is written last: where it exists, the state exists too.
        content = {"identity": self._identity, "lineage": [list(w) for w in lineage], "result": result.describe()}
        write_json(self._file(lineage, "json"), content)
        return result

    def drop_states(self, num_intervals: int) -> None:
        """Remove saved states of lineages of at most this many intervals; no member resumes from them any more."""
        for file in self.directory.glob("[0-9][0-9][0-9][0-9]_*.ckpt"):
            if int(file.name.split("_")[0]) <= num_intervals:
                file.unlink(missing_ok=True)

    def release_model(self) -> None:
        """Free the model, so that the model of another search has room."""
        self._trainer = None

    def _trainer_before(self, lineage: Lineage) -> Trainer:
        """The trainer at the start of the last interval of a lineage, with the setting of this interval."""
        before, setting = lineage[:-1], training(self.search, lineage[-1])
        if not before:
            self._open_trainer(setting.lr).load_state(self._initial_state)
        elif not self._load_state(before):
            self._file(before, "json").unlink(missing_ok=True)
            self.train(before)
        # Members keep their learning rate, so that this is the trainer of the state.
        trainer = self._open_trainer(setting.lr)
        trainer.set_schedule(WeightSchedule.constant(setting.weights))
        return trainer

    def _open_trainer(self, lr: float) -> Trainer:
        """The trainer of all members and intervals with this learning rate: a network would be compiled for each."""
        if self._opened is None:
            raise RuntimeError("these intervals were opened for reading only")
        if self._trainer is None or self._trainer.recipe.lr != lr:
            from scalarization.training.loop import Trainer

            device, data = self._opened
            cell = replace(self.search.cell, specification=self.search.cell.specification.with_lr(lr))
            # Its weights are set before it is used.
            self._trainer = Trainer(cell, Run(0, self.search.seed, ()), data, device)
            self._initial_state = self._trainer.state()
        return self._trainer

    def _load_state(self, lineage: Lineage) -> bool:
        """Load the state at the end of a lineage; returns whether it exists. One that cannot be used is quarantined."""
        file = self._file(lineage, "ckpt")
        try:
            trainer = self._open_trainer(training(self.search, lineage[-1]).lr)
            trainer.load_state(read_checkpoint(file, self._key(lineage)))
        except MissingError:
            logger.warning("%s: lost; the interval is trained again", file)
        except DamagedError as error:
            quarantine(file, f"{error.reason}; the interval is trained again")
        except ValueError as error:
            quarantine(file, f"no state of this search ({error}); the interval is trained again")
            # Part of it may have been loaded.
            self._trainer = None
        else:
            return True
        return False

    def _saved(self, lineage: Lineage) -> Result | None:
        """The result of an interval that was trained before; a file that cannot be used is quarantined."""
        file = self._file(lineage, "json")
        try:
            content = read_json(file)
            if content["identity"] == self._identity and content["lineage"] == [list(w) for w in lineage]:
                return Result.parse(content["result"])
            reason = "belongs to another search"
        except MissingError:
            return None
        except DamagedError as error:
            reason = error.reason
        except (KeyError, TypeError):
            reason = "no record of an interval"
        quarantine(file, f"{reason}; the interval is trained again")
        return None

    def _key(self, lineage: Lineage) -> str:
        return _digest([self._identity, lineage])

    def _file(self, lineage: Lineage, suffix: str) -> Path:
        return self.directory / f"{len(lineage):04d}_{self._key(lineage)}.{suffix}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
