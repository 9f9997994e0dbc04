"""One interval of one member of a search, trained once and saved.

The state of a member depends only on the weights of its intervals so far, whether they were its own or those of a
member that it copied. This sequence of weights, its lineage, therefore identifies the state. A search that was killed
repeats its decisions from the saved results, trains only the missing intervals, and ends with the same history.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization.errors import UserError
from scalarization.plan import fingerprints
from scalarization.plan.cells import Run, Search
from scalarization.storage import QUALITY, write_bytes, write_json
from scalarization.training.data import environment
from scalarization.training.records import pack_checkpoint, unpack_checkpoint
from scalarization.weights import WeightSchedule

if TYPE_CHECKING:
    import torch

    from scalarization.data.base import Data
    from scalarization.training.loop import Trainer

logger = logging.getLogger(__name__)
#: Weights of a member's intervals so far, first to last.
Lineage = tuple[tuple[float, ...], ...]


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

    def saved_result(self, lineage: Lineage) -> dict[str, Any] | None:
        """What :meth:`train` returned for a lineage; None if it was not trained. A damaged file is removed."""
        file = self._file(lineage, "json")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["identity"] == self._identity and content["lineage"] == [list(w) for w in lineage]:
                return content["result"]
            reason = "belongs to another search"
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            reason = f"is damaged ({error})"
        logger.warning("%s %s; the interval is trained again", file, reason)
        file.unlink()
        return None

    def train(self, lineage: Lineage) -> dict[str, Any]:
        """Train the last interval of a lineage, unless its result is saved.

        Args:
            lineage: The weights of each interval; the last one is trained.

        Returns:
            ``score`` (validation average over tasks, more is better), ``by_task``, ``metric``, ``loss``, ``steps``,
            ``seconds``.
        """
        if saved := self.saved_result(lineage):
            return saved
        start = time.perf_counter()
        trainer = self._trainer_before(lineage)
        first_step = trainer.step
        while trainer.epoch < self.search.interval_ends[len(lineage) - 1]:
            trainer.train_epoch(lambda: None)
        loss = trainer.take_mean_loss()
        by_metric = trainer.validate()
        metric = next(m for m in QUALITY if m in by_metric[trainer.cell.tasks[0]])
        by_task = [QUALITY[metric] * by_metric[task][metric] for task in trainer.cell.tasks]
        result = {
            "score": sum(by_task) / len(by_task),
            "by_task": by_task,
            "metric": metric,
            "loss": loss,
            "steps": trainer.step - first_step,
            "seconds": time.perf_counter() - start,
        }
        if len(lineage) < len(self.search.interval_ends):
            write_bytes(self._file(lineage, "ckpt"), pack_checkpoint(self._key(lineage), trainer.state()))
        # The result is written last: where it exists, the state exists too.
        content = {
            "identity": self._identity,
            "lineage": [list(w) for w in lineage],
            "result": result,
            "environment": environment(trainer.device),
        }
        write_json(self._file(lineage, "json"), content)
        return result

    def environment(self) -> dict[str, Any]:
        """Device, threads and versions with which a first interval was trained.

        Raises:
            UserError: No interval is saved, because workers ran other code than this process.
        """
        file = next(self.directory.glob("0001_*.json"), None)
        if file is None:
            raise UserError(f"{self.directory}: the code was changed during the search; run the same command again")
        return json.loads(file.read_text(encoding="utf-8"))["environment"]

    def drop_states(self, num_intervals: int) -> None:
        """Remove saved states of lineages of at most this many intervals; no member resumes from them any more."""
        for file in self.directory.glob("*.ckpt"):
            if int(file.name.split("_")[0]) <= num_intervals:
                file.unlink(missing_ok=True)

    def release_model(self) -> None:
        """Free the model, so that the model of another search has room."""
        self._trainer = None

    def _trainer_before(self, lineage: Lineage) -> Trainer:
        """The trainer at the start of the last interval of a lineage, with the weights of this interval."""
        if self._opened is None:
            raise RuntimeError("these intervals were opened for reading only")
        state = self._state(lineage[:-1]) if len(lineage) > 1 else None
        if self._trainer is None:
            from scalarization.training.loop import Trainer

            device, data = self._opened
            # All members and intervals share one trainer: a compiled network would be compiled anew for each.
            self._trainer = Trainer(self.search.cell, Run(0, self.search.seed, lineage[-1]), data, device)
            self._initial_state = self._trainer.state()
        self._trainer.load_state(state or self._initial_state)
        self._trainer.set_schedule(WeightSchedule.constant(lineage[-1]))
        return self._trainer

    def _state(self, lineage: Lineage) -> bytes:
        """The state at the end of a lineage; a lost state is trained again."""
        file = self._file(lineage, "ckpt")
        try:
            return unpack_checkpoint(self._key(lineage), file.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            logger.warning("%s %s; the interval is trained again", file, error)
            self._file(lineage, "json").unlink(missing_ok=True)
            self.train(lineage)
            return unpack_checkpoint(self._key(lineage), file.read_bytes())

    def _key(self, lineage: Lineage) -> str:
        return _digest([self._identity, lineage])

    def _file(self, lineage: Lineage, suffix: str) -> Path:
        return self.directory / f"{len(lineage):04d}_{self._key(lineage)}.{suffix}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
