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
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from scalarization.completeness import problem_of_counts, problem_of_run
from scalarization.errors import DamagedError, DataError, MissingError
from scalarization.plan.cells import Cell, Run
from scalarization.storage import (
    EXAMPLE_SCHEMA,
    PART,
    quarantine,
    read_json,
    read_metadata,
    read_table,
    write_bytes,
    write_json,
    write_table,
)

#: First bytes of a checkpoint; the number is that of the format.
MAGIC = b"scalarization checkpoint 3\n"
#: Number of checkpoints of a run that are kept.
KEEP = 2
FOREIGN = "belongs to another run"
_WAY_OUT = "run the same command again, which trains this run again"
#: Columns of :data:`scalarization.storage.EXAMPLE_SCHEMA` that a run writes; the others tell which run it is.
EXAMPLE_COLUMNS = ("example", "content", "task", "shape", "values")
_EXAMPLE_SCHEMA = pa.schema([EXAMPLE_SCHEMA.field(name) for name in EXAMPLE_COLUMNS])
#: What the record of a finished run has in addition to its identity.
_FINISHED = {"timing": dict, "environment": dict, "diverged": dict, "solver_failures": dict, "rows": list}
#: Entries of a finished run's record that are empty for most runs. Run files list those of the other runs.
NOTES = ("diverged", "solver_failures")
_CHECKPOINT = re.compile(r"step_\d{9}\.ckpt$")
logger = logging.getLogger(__name__)


def write_checkpoint(file: Path, key: str, payload: bytes) -> None:
    """Write a checkpoint: the key of its run, a checksum, and the state.

    Args:
        file: Where to.
        key: Key of the run.
        payload: The state.

    Raises:
        DataError: The file system refuses (full, read-only, over quota).
    """
    write_bytes(file, MAGIC + key.encode() + hashlib.sha256(payload).digest() + payload)


def read_checkpoint(file: Path, key: str) -> bytes:
    """The state in a file of :func:`write_checkpoint`.

    Args:
        file: The file.
        key: Key of the run that it should belong to.

    Raises:
        MissingError: The file is missing.
        DamagedError: It is damaged, of another run, or not readable.
    """
    way_out = "delete it; the run resumes from the one before"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise MissingError(f"{file}: no such checkpoint") from None
    except OSError as error:
        raise DamagedError(file, f"not readable: {error}", way_out) from None
    key_end = len(MAGIC) + len(key)
    payload_start = key_end + hashlib.sha256().digest_size
    if not content.startswith(MAGIC):
        raise DamagedError(file, "not a checkpoint of this program", way_out)
    if hashlib.sha256(content[payload_start:]).digest() != content[key_end:payload_start]:
        raise DamagedError(file, "damaged (checksum differs)", way_out)
    if content[len(MAGIC) : key_end] != key.encode():
        raise DamagedError(file, FOREIGN, way_out)
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
        self._cell = cell

    def finished(self) -> dict[str, Any] | None:
        """What :meth:`finish` wrote, or None; a file that cannot be used is quarantined."""
        try:
            content = self._read()
        except MissingError:
            return None
        except DamagedError as error:
            quarantine(error.file, error.reason)
            return None
        self._remove_checkpoints()
        return content

    def peek(self) -> dict[str, Any] | None:
        """As :meth:`finished`, for those who must not change any file."""
        try:
            return self._read()
        except DataError:
            return None

    def _read(self) -> dict[str, Any]:
        """Content of the finished run's file; its predictions are there, too, if it should have any.

        Raises:
            MissingError: The run is not finished, or its predictions are lost.
            DamagedError: A file cannot be used.
        """
        if self._cell.has_examples:
            self._require_own(self._examples_file, read_metadata(self._examples_file))
        content = read_json(self.finished_file)
        self._require_own(self.finished_file, content)
        if not all(isinstance(content.get(key), kind) for key, kind in _FINISHED.items()):
            raise DamagedError(self.finished_file, "incomplete", _WAY_OUT)
        problem = problem_of_counts if self._cell.counts_conflicts else problem_of_run
        if reason := problem(self._cell, content["rows"]):
            raise DamagedError(self.finished_file, reason, _WAY_OUT)
        return content

    def _require_own(self, file: Path, content: dict[str, Any]) -> None:
        if content.get("identity") != self.identity:
            raise DamagedError(file, FOREIGN, _WAY_OUT)

    def finish(
        self,
        rows: list[dict[str, Any]],
        timing: dict[str, float],
        environment: dict[str, Any],
        diverged: dict[str, Any],
        solver_failures: dict[str, int],
    ) -> None:
        """Keep the rows of the finished run and remove its checkpoints.

        Args:
            rows: The run's rows, without the columns that tell which run it is.
            timing: Seconds that the run took, by name.
            environment: Device, threads and versions that it was trained with.
            diverged: ``step`` and ``cause``, if the run diverged; else empty.
            solver_failures: ``failures`` of the method's solver and ``steps`` at which it was asked, if it ever failed;
                else empty.
        """
        notes = {"diverged": diverged, "solver_failures": solver_failures}
        content = {"timing": timing, "environment": environment, **notes, "rows": rows}
        write_json(self.finished_file, {"identity": self.identity, **content})
        self._remove_checkpoints()

    def write_examples(self, rows: list[dict[str, Any]]) -> None:
        """Keep a run's predictions, as ``Objective.examples`` returns them; writes nothing without any."""
        if rows:
            write_table(self._examples_file, pa.Table.from_pylist(rows, _EXAMPLE_SCHEMA), {"identity": self.identity})

    def read_examples(self) -> pa.Table:
        """The run's predictions, with :data:`EXAMPLE_COLUMNS`.

        Raises:
            DataError: The file is missing or damaged.
        """
        return read_table(self._examples_file).replace_schema_metadata(None)

    def save(self, step: int, payload: bytes) -> None:
        """Write a checkpoint; the newest ones are kept. If the file system refuses, that is logged, not raised.

        Training continues without this checkpoint: losing it costs time only if the job dies as well.
        """
        try:
            write_checkpoint(self.directory / f"step_{step:09d}.ckpt", self.key, payload)
        except DataError as error:
            logger.warning("checkpoint at step %d was not written, training continues: %s", step, error)
            return
        _remove(self._checkpoints()[KEEP:])

    def checkpoints(self) -> Iterator[tuple[Path, bytes]]:
        """Files and payloads of undamaged checkpoints, newest first; those that cannot be used are quarantined."""
        for file in self._checkpoints():
            try:
                payload = read_checkpoint(file, self.key)
            except MissingError:
                continue
            except DamagedError as error:
                quarantine(file, error.reason)
            else:
                yield file, payload

    def newest_step(self) -> int:
        """Step of the newest checkpoint, 0 without one; its content is not looked at."""
        return max((int(file.stem.removeprefix("step_")) for file in self._checkpoints()), default=0)

    def _remove_checkpoints(self) -> None:
        """Remove what a finished run no longer needs: checkpoints, and what writers that were killed have left."""
        _remove([*self._checkpoints(), *self.directory.glob(f".*{PART}")])

    def _checkpoints(self) -> list[Path]:
        """Checkpoints, newest first."""
        return sorted((f for f in self.directory.glob("step_*.ckpt") if _CHECKPOINT.match(f.name)), reverse=True)


def _remove(files: Iterable[Path]) -> None:
    """Remove files that are no longer needed. If the file system refuses, that is logged: they only take room."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s: no longer needed, could not be removed: %s", file, error)
