"""Files of one run: checkpoints while it trains, its rows and examples when it is finished.

``<results>/checkpoints/<key>/`` belongs to one run; the key is a digest of everything that the run depends on. It holds
up to two checkpoints of a run in progress and, once the run is finished, a small ``finished.json`` with its rows, so
that no finished run is trained twice, whichever job it is in. No torch here: a job whose runs are all finished must not
import it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scalarization.errors import DataError
from scalarization.plan.cells import Cell, Run
from scalarization.storage import EXAMPLE_SCHEMA, PART, write_bytes, write_json, write_table

#: First bytes of a checkpoint; the number is that of the format.
MAGIC = b"scalarization checkpoint 3\n"
#: Number of checkpoints of a run that are kept.
KEEP = 2
FOREIGN = "belongs to another run"
#: Columns of :data:`scalarization.storage.EXAMPLE_SCHEMA` that a run writes; the others tell which run it is.
EXAMPLE_COLUMNS = ("example", "content", "task", "shape", "values")
logger = logging.getLogger(__name__)


def pack_checkpoint(key: str, payload: bytes) -> bytes:
    """Content of a checkpoint file: the key of its run, a checksum, and the state.

    Args:
        key: Key of the run.
        payload: The state.
    """
    return MAGIC + key.encode() + hashlib.sha256(payload).digest() + payload


def unpack_checkpoint(key: str, content: bytes) -> bytes:
    """The state in a file of :func:`pack_checkpoint`.

    Args:
        key: Key of the run that the file should belong to.
        content: Content of the file.

    Raises:
        ValueError: The file is damaged or of another key; the message continues a sentence that begins with the
            file's name.
    """
    key_end = len(MAGIC) + len(key)
    payload_start = key_end + hashlib.sha256().digest_size
    if not content.startswith(MAGIC):
        raise ValueError("is not a checkpoint of this program")
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
        run: The run.
        data: Digest of the prepared store.
        code: Digest of the code that trains it.

    Attributes:
        identity: Everything that the run depends on.
        key: Digest of the identity.
        directory: Where the run's files are.
    """

    def __init__(self, root: Path, cell: Cell, run: Run, data: str, code: str) -> None:
        self.identity = {
            **cell.describe(),
            "architecture": cell.architecture.for_tasks(len(cell.tasks)).name,
            "weights": list(run.weights),
            "seed": run.seed,
            "data": data,
            "code": code,
        }
        self.key = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:24]
        self.directory = root / self.key
        self.finished_file = self.directory / "finished.json"
        self._examples_file = self.directory / "examples.parquet"

    def finished(self) -> dict[str, Any] | None:
        """What :meth:`finish` wrote, or None; a damaged file is quarantined."""
        try:
            content = json.loads(self.finished_file.read_text(encoding="utf-8"))
            complete = isinstance(content["rows"], list) and content["timing"] and content["environment"]
            if complete and content["identity"] == self.identity:
                self._clear()
                return content
            reason = FOREIGN if complete else "is damaged (incomplete)"
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            reason = f"is damaged ({error})"
        self.quarantine(self.finished_file, reason)
        return None

    def finish(self, rows: list[dict[str, Any]], timing: dict[str, float], environment: dict[str, Any]) -> None:
        """Keep the rows of the finished run and remove its checkpoints.

        Args:
            rows: The run's rows, without the columns that tell which run it is.
            timing: Seconds that the run took, by name.
            environment: Device, threads and versions that it was trained with.
        """
        content = {"identity": self.identity, "timing": timing, "environment": environment, "rows": rows}
        write_json(self.finished_file, content)
        self._clear()

    def write_examples(self, rows: list[dict[str, Any]]) -> None:
        """Keep a run's predictions, as ``Objective.examples`` returns them; writes nothing without any."""
        if rows:
            schema = pa.schema([EXAMPLE_SCHEMA.field(name) for name in EXAMPLE_COLUMNS])
            write_table(self._examples_file, pa.Table.from_pylist(rows, schema))

    def has_examples(self) -> bool:
        """Whether the run's predictions exist and are readable."""
        try:
            pq.read_metadata(self._examples_file)
        except FileNotFoundError:
            return False
        except (pa.ArrowInvalid, OSError) as error:
            logger.warning("%s: not readable (%s); the run is trained again", self._examples_file, error)
            return False
        return True

    def read_examples(self) -> pa.Table:
        """The run's predictions, with :data:`EXAMPLE_COLUMNS`."""
        return pq.read_table(self._examples_file)

    def save(self, step: int, payload: bytes) -> None:
        """Write a checkpoint; the newest ones are kept. If the file system refuses, that is logged, not raised.

        Training continues without this checkpoint: losing it costs time only if the job dies as well.
        """
        try:
            write_bytes(self.directory / f"step_{step:09d}.ckpt", pack_checkpoint(self.key, payload))
        except DataError as error:
            logger.warning("checkpoint at step %d was not written, training continues: %s", step, error)
            return
        for file in self._checkpoints()[KEEP:]:
            file.unlink(missing_ok=True)

    def checkpoints(self) -> Iterator[tuple[Path, bytes]]:
        """Files and payloads of undamaged checkpoints, newest first; damaged and foreign ones are quarantined."""
        for file in self._checkpoints():
            try:
                yield file, unpack_checkpoint(self.key, file.read_bytes())
            except ValueError as error:
                self.quarantine(file, str(error))

    def quarantine(self, file: Path, reason: str = FOREIGN) -> None:
        """Rename a file so that nobody reads it again.

        Args:
            file: One of this directory.
            reason: Why, as the continuation of a sentence that begins with the file's name.
        """
        quarantined = file.with_name(f"{file.name}.bad")
        file.replace(quarantined)
        logger.warning("%s %s; quarantined as %s", file, reason, quarantined.name)

    def _clear(self) -> None:
        """Remove what a finished run does not need: checkpoints, and temporary files of writers that were killed."""
        for file in (*self._checkpoints(), *self.directory.glob(f".*{PART}")):
            file.unlink(missing_ok=True)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.directory.glob("step_*.ckpt"), reverse=True)
