"""One interval of one member of a search, trained once and kept.

A member's state depends on nothing but the weights of its intervals so far, its own or those of whom it copied: that
sequence is its name. So a search that was killed goes over its decisions again in no time and trains only what is
missing, and ends as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalarization.digests import training_digest
from scalarization.experiments import Member
from scalarization.searches import Search
from scalarization.storage import QUALITY, write_bytes, write_json
from scalarization.training.job import environment
from scalarization.training.records import seal, unseal

if TYPE_CHECKING:
    import torch

    from scalarization.data.device import DeviceData
    from scalarization.training.loop import Trainer

logger = logging.getLogger(__name__)
#: Weights of a member's intervals so far, first to last.
Lineage = tuple[tuple[float, ...], ...]


class Intervals:
    """All intervals of one search.

    Args:
        root: ``<results>/checkpoints``.
        search: The search.
        data: Digest of the prepared store.
        opened: Device and images; None if nothing is to be trained here.
    """

    def __init__(
        self, root: Path, search: Search, data: str, opened: tuple[torch.device, DeviceData] | None = None
    ) -> None:
        self.search, self._opened = search, opened
        self._ready: tuple[Trainer, bytes] | None = None
        self._identity = {
            **search.describe(),
            "data": data,
            "code": training_digest(search.cell.architecture.family, "uniform"),
        }
        self.directory = root / f"search_{_digest(self._identity)}"

    def trained(self, lineage: Lineage) -> dict[str, Any] | None:
        """What :meth:`train` returned for a lineage, or None if it has to be trained; a damaged file is removed."""
        file = self._file(lineage, "json")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["identity"] == self._identity and content["lineage"] == [list(w) for w in lineage]:
                return content["result"]
            reason = "is of another search"
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            reason = f"is damaged ({error})"
        logger.warning("%s %s: trained again", file, reason)
        file.unlink()
        return None

    def train(self, lineage: Lineage) -> dict[str, Any]:
        """Train the last interval of a lineage, unless it is known already.

        Args:
            lineage: The weights of each interval, the one to be trained last.

        Returns:
            ``score`` (validation average over tasks, more is better), ``by_task``, ``metric``, ``loss``, ``steps``,
            ``seconds``.
        """
        known = self.trained(lineage)
        if known:
            return known
        began = time.perf_counter()
        trainer = self._trainer(lineage)
        trainer.weights = lineage[-1]
        first = trainer.step
        while trainer.epoch < self.search.ends[len(lineage) - 1]:
            trainer.train_epoch(lambda: None)
        loss = trainer.mean_loss
        trainer.loss_sum.zero_()
        trainer.loss_steps = 0
        found = trainer.validate()
        metric = next(m for m in QUALITY if m in found[trainer.cell.tasks[0]])
        by_task = [QUALITY[metric] * found[task][metric] for task in trainer.cell.tasks]
        result = {
            "score": sum(by_task) / len(by_task),
            "by_task": by_task,
            "metric": metric,
            "loss": loss,
            "steps": trainer.step - first,
            "seconds": time.perf_counter() - began,
        }
        if len(lineage) < len(self.search.ends):
            write_bytes(self._file(lineage, "ckpt"), seal(self._key(lineage), trainer.state()))
        # The result last: where it is, the state is there too.
        content = {
            "identity": self._identity,
            "lineage": [list(w) for w in lineage],
            "result": result,
            "environment": environment(trainer.device),
        }
        write_json(self._file(lineage, "json"), content)
        return result

    def environment(self) -> dict[str, Any]:
        """Device, threads and versions that the first interval was trained with."""
        file = next(self.directory.glob("0001_*.json"))
        return json.loads(file.read_text(encoding="utf-8"))["environment"]

    def drop_states(self, intervals: int) -> None:
        """Remove saved states of members with at most so many intervals; nobody goes on from them any more."""
        for file in self.directory.glob("*.ckpt"):
            if int(file.name.split("_")[0]) <= intervals:
                file.unlink(missing_ok=True)

    def forget(self) -> None:
        """Let go of the model, to make room for another search's."""
        self._ready = None

    def _trainer(self, lineage: Lineage) -> Trainer:
        """The trainer, at the beginning of the last interval of a lineage."""
        if self._opened is None:
            raise RuntimeError("these intervals were opened for reading only")
        state = self._state(lineage[:-1]) if len(lineage) > 1 else None
        if self._ready is None:
            from scalarization.training.loop import Trainer

            device, data = self._opened
            trainer = Trainer(self.search.cell, Member(0, self.search.seed, lineage[-1]), data, device)
            # One for all members and intervals: a compiled network would else be compiled again every time.
            self._ready = trainer, trainer.state()
        trainer, fresh = self._ready
        trainer.load_state(state or fresh)
        return trainer

    def _state(self, lineage: Lineage) -> bytes:
        """The state at the end of a lineage; what was lost of it is trained again."""
        file = self._file(lineage, "ckpt")
        try:
            return unseal(self._key(lineage), file.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            logger.warning("%s %s: trained again", file, error)
            self._file(lineage, "json").unlink(missing_ok=True)
            self.train(lineage)
            return unseal(self._key(lineage), file.read_bytes())

    def _key(self, lineage: Lineage) -> str:
        return _digest([self._identity, lineage])

    def _file(self, lineage: Lineage, ending: str) -> Path:
        return self.directory / f"{len(lineage):04d}_{self._key(lineage)}.{ending}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
