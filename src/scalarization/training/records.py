"""What a run leaves on disk while it trains and when it is finished, keyed by everything that it depends on.

``<results>/checkpoints/<key>/`` holds up to two checkpoints of a run in progress, and a small ``finished.json`` with
its rows afterwards, so that no finished run is trained twice, whichever job it is in. No torch here: a job whose runs
are all finished must not import it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalarization.errors import DataError
from scalarization.experiments import Cell, Member
from scalarization.storage import PART, write_bytes, write_json

MAGIC = b"scalarization checkpoint 2\n"
KEEP = 2
FOREIGN = "belongs to another run"
logger = logging.getLogger(__name__)


def seal(key: str, payload: bytes) -> bytes:
    """A saved state as it lies in a file: whose it is, a checksum, and the state."""
    return MAGIC + key.encode() + hashlib.sha256(payload).digest() + payload


def unseal(key: str, content: bytes) -> bytes:
    """The state in a file that :func:`seal` made.

    Raises:
        ValueError: The file is damaged or of another key; the message ends a sentence that begins with its name.
    """
    key_end = len(MAGIC) + len(key)
    payload_start = key_end + hashlib.sha256().digest_size
    if not content.startswith(MAGIC):
        raise ValueError("is no checkpoint of this program")
    if hashlib.sha256(content[payload_start:]).digest() != content[key_end:payload_start]:
        raise ValueError("is damaged (checksum differs)")
    if content[len(MAGIC) : key_end] != key.encode():
        raise ValueError(FOREIGN)
    return content[payload_start:]


class RunRecord:
    """Directory of one run.

    Args:
        root: ``<results>/checkpoints``.
        cell: The run's cell.
        member: The run.
        data: Digest of the prepared store.
        code: Digest of the code that trains it.
    """

    def __init__(self, root: Path, cell: Cell, member: Member, data: str, code: str) -> None:
        self.identity = {
            **cell.describe(),
            "architecture": cell.architecture.for_tasks(len(cell.tasks)).name,
            "weights": list(member.weights),
            "seed": member.seed,
            "data": data,
            "code": code,
        }
        self.key = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:24]
        self.directory = root / self.key
        self.finished_file = self.directory / "finished.json"
        #: What a dense model predicts for a few test images.
        self.examples_file = self.directory / "examples.parquet"

    def finished(self) -> dict[str, Any] | None:
        """What :meth:`finish` wrote, or None; a damaged file is set aside."""
        try:
            content = json.loads(self.finished_file.read_text(encoding="utf-8"))
            whole = isinstance(content["rows"], list) and content["timing"] and content["environment"]
            if whole and content["identity"] == self.identity:
                self._clear()
                return content
            reason = FOREIGN if whole else "is damaged (not whole)"
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            reason = f"is damaged ({error})"
        self._set_aside(self.finished_file, reason)
        return None

    def finish(self, rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
        """Keep the rows of the finished run and drop its checkpoints."""
        write_json(self.finished_file, {"identity": self.identity, **facts, "rows": rows})
        self._clear()

    def save(self, step: int, payload: bytes) -> None:
        """Write a checkpoint; the two newest are kept. A refusal of the file system is reported, not raised.

        Training goes on without this checkpoint: losing it costs time only if the job dies as well.
        """
        try:
            write_bytes(self.directory / f"step_{step:09d}.ckpt", seal(self.key, payload))
        except DataError as error:
            logger.warning("checkpoint at step %d not written, training goes on: %s", step, error)
            return
        for file in self._checkpoints()[KEEP:]:
            file.unlink(missing_ok=True)

    def checkpoints(self) -> Iterator[tuple[Path, bytes]]:
        """Files and payloads of undamaged checkpoints, newest first; damaged and foreign ones are set aside."""
        for file in self._checkpoints():
            try:
                yield file, unseal(self.key, file.read_bytes())
            except ValueError as error:
                self._set_aside(file, str(error))

    def set_aside_foreign(self, file: Path) -> None:
        """Put away a checkpoint of another run."""
        self._set_aside(file, FOREIGN)

    def _clear(self) -> None:
        """Remove what a finished run does not need: checkpoints, and parts of files that were cut off by a kill."""
        for file in (*self._checkpoints(), *self.directory.glob(f".*{PART}")):
            file.unlink(missing_ok=True)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.directory.glob("step_*.ckpt"), reverse=True)

    def _set_aside(self, file: Path, reason: str) -> None:
        aside = file.with_name(f"{file.name}.bad")
        file.replace(aside)
        logger.warning("%s %s: set aside as %s", file, reason, aside.name)
