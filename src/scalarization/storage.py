"""Files that appear whole or not at all and carry a checksum, and the schemas of run, conflict and example files.

A Parquet file has the SHA-256 of its bytes under the key ``checksum`` of its metadata, a JSON file under the key
``checksum`` of its content. Every reading here compares it, so that no damaged value is ever taken for a result.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import io
import json
import logging
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scalarization.errors import DamagedError, DataError, MissingError, not_written

#: Version of the three schemas below. A file of another version is refused; version 1 called ``weight_setting``
#: ``member`` and did not name its version.
SCHEMA_VERSION = 2
#: Long table of runs: one row per run, epoch, split, task and metric. ``accuracy`` is in percent, ``loss`` is the mean
#: cross-entropy per image in nats. ``epoch`` counts finished epochs; results are reported at the last one.
RUN_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("task_set", pa.string()),
        ("architecture", pa.string()),
        ("depth", pa.int32()),
        ("width", pa.int32()),
        ("shared_layers", pa.int32()),
        ("method", pa.string()),
        ("variant", pa.string()),
        ("weight_setting", pa.int32()),
        ("seed", pa.int32()),
        ("weights", pa.list_(pa.float64())),
        ("epoch", pa.int32()),
        ("split", pa.string()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
#: Long table of gradient conflicts: one row per run, epoch and pair of tasks (or domains). ``steps`` is the number of
#: counted steps that have both gradients; in ``conflicts`` of them their cosine is negative. ``zero`` is the number of
#: counted steps in which one gradient is zero (its domain is absent from the batch) or not finite. ``mean_cosine`` is
#: the mean over ``steps``; ``norm_i`` and ``norm_j`` are mean norms over the steps that have the gradient. All three
#: are null without such steps. ``train_loss`` is the epoch's mean over its batches, ``validation`` the average over
#: tasks of ``metric`` on the validation split (``accuracy`` in percent).
CONFLICT_SCHEMA = pa.schema(
    [
        *(field for field in RUN_SCHEMA if field.name not in ("weights", "split", "task", "metric", "value")),
        ("task_i", pa.string()),
        ("task_j", pa.string()),
        ("conflicts", pa.int32()),
        ("steps", pa.int32()),
        ("zero", pa.int32()),
        ("mean_cosine", pa.float64()),
        ("norm_i", pa.float64()),
        ("norm_j", pa.float64()),
        ("train_loss", pa.float64()),
        ("metric", pa.string()),
        ("validation", pa.float64()),
    ]
)
#: Predictions of dense models for a few test images: one row per run, image and map. ``content`` is ``prediction``,
#: ``target`` or ``image`` (0 to 255, without a task); targets and images are stored for the first run only. ``values``
#: has ``shape`` [H, W, C] and is in row-major order; maps are standardised, and NaN is an unknown value.
EXAMPLE_SCHEMA = pa.schema(
    [
        *(RUN_SCHEMA.field(name) for name in RUN_SCHEMA.names[: RUN_SCHEMA.get_field_index("epoch")]),
        ("example", pa.int32()),
        ("content", pa.string()),
        ("task", pa.string()),
        ("shape", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float32())),
    ]
)
#: Metric that measures a task's quality -> +1 if more is better, -1 if less is. If a file has several of them, the
#: first counts. Dense tasks have only ``l1``.
QUALITY = {"accuracy": 1.0, "l1": -1.0}
#: Key of the JSON document in a Parquet file's metadata.
METADATA_KEY = b"scalarization"
#: Key of the checksum in a Parquet file's metadata, and in the content of a JSON file.
CHECKSUM_KEY = "checksum"
#: Suffix of the temporary names of :func:`replacing`.
PART = ".part"
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same directory; it is renamed to ``path`` on success and removed on failure.

    The content is synced to disk before the renaming.

    Raises:
        DataError: The file system refuses (full, read-only, over quota).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        with _new_part(path) as (handle, temporary):
            try:
                yield temporary
                os.fsync(handle)
                temporary.chmod(0o666 & ~_umask())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise not_written(path, error) from None


@contextlib.contextmanager
def _new_part(path: Path) -> Iterator[tuple[int, Path]]:
    """Descriptor and path of an empty file in the directory of ``path``; it is locked while this process writes it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        try:
            with contextlib.suppress(OSError):  # without locks on this file system, no process removes the file either
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # else another process removed it as abandoned before it was locked
                yield handle, Path(name)
                return
        finally:
            os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files for ``path`` of killed processes, whose locks the kernel has released."""
    prefix = f".{path.name}."
    for part in path.parent.glob(f"{glob.escape(prefix)}*{PART}"):
        if "." in part.name[len(prefix) : -len(PART)]:
            continue  # a temporary file for another path with a longer name
        with contextlib.suppress(OSError), part.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def quarantine(path: Path, reason: str) -> None:
    """Rename a file of ours that cannot be used, so that nobody reads it again, and log a line.

    Args:
        path: The file. It is no mistake if another process has quarantined it already.
        reason: What is wrong with it.

    Raises:
        DataError: The file system refuses (read-only, or not our file).
    """
    quarantined = path.with_name(f"{path.name}.bad")
    try:
        path.replace(quarantined)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path}: {reason}; could not be renamed: {error}. Remove it, then run again") from None
    logger.warning("%s: %s; quarantined as %s", path, reason, quarantined.name)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a readable JSON file whole or not at all, with a checksum.

    Args:
        path: Where to.
        content: Plain values. A key ``checksum`` is replaced.

    Raises:
        DataError: The file system refuses (full, read-only, over quota).
    """
    plain = json.loads(json.dumps(content))
    plain.pop(CHECKSUM_KEY, None)
    document = {CHECKSUM_KEY: _json_checksum(plain), **plain}
    write_bytes(path, (json.dumps(document, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Content of a file that :func:`write_json` wrote, its checksum included.

    Raises:
        DataError: The file is missing, damaged, or was changed by hand.
    """
    try:
        document = json.loads(_content(path, "file"))
        recorded = document[CHECKSUM_KEY]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(path, "no JSON of this program") from None
    if recorded != _json_checksum({key: value for key, value in document.items() if key != CHECKSUM_KEY}):
        raise _damaged(path, "its checksum differs")
    return document


def write_table(path: Path, table: pa.Table, metadata: dict[str, Any] | None = None) -> None:
    """Write a Parquet file whole or not at all, with a checksum.

    Args:
        path: Where to.
        table: Its rows.
        metadata: What the file says of itself, kept as JSON under the key ``scalarization`` of the Parquet metadata.

    Raises:
        DataError: The file system refuses (full, read-only, over quota).
    """
    keys = {CHECKSUM_KEY.encode(): _ABSENT}
    if metadata is not None:
        keys[METADATA_KEY] = json.dumps(metadata, sort_keys=True).encode()
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(keys), buffer)
    content = buffer.getvalue()
    start = content.rindex(_CHECKSUM_FIELD) + len(_CHECKSUM_FIELD)
    checksum = hashlib.sha256(content).hexdigest().encode()
    write_bytes(path, content[:start] + checksum + content[start + len(checksum) :])


def read_table(path: Path, kind: str = "file") -> pa.Table:
    """Read a Parquet file that :func:`write_table` wrote.

    Args:
        path: The file.
        kind: What it is, for messages.

    Raises:
        DataError: The file is missing or damaged.
    """
    return pq.read_table(pa.BufferReader(_verified(path, kind)))


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that :func:`write_table` put into a Parquet file; empty if it has none.

    Raises:
        DataError: The file is missing or damaged.
    """
    return _metadata_of(pq.read_schema(pa.BufferReader(_verified(path, "file"))))


def checksum_of(path: Path) -> str:
    """The checksum that a Parquet or JSON file of ours carries, compared with its content.

    Raises:
        DataError: The file is missing or damaged.
    """
    if path.suffix == ".json":
        return read_json(path)[CHECKSUM_KEY]
    return _split_checksum(path, _verified(path, "file"))[1].decode()


def write_run_file(path: Path, rows: Sequence[dict[str, Any]], metadata: dict[str, Any]) -> None:
    """Write the runs of a cell, or of a shard of it, under :data:`RUN_SCHEMA`."""
    write_table(path, pa.Table.from_pylist(list(rows), RUN_SCHEMA), _with_version(metadata))


def write_conflict_file(path: Path, rows: Sequence[dict[str, Any]], metadata: dict[str, Any]) -> None:
    """Write the gradient conflicts of a cell, or of a shard of it, under :data:`CONFLICT_SCHEMA`."""
    write_table(path, pa.Table.from_pylist(list(rows), CONFLICT_SCHEMA), _with_version(metadata))


def write_example_file(path: Path, table: pa.Table, metadata: dict[str, Any]) -> None:
    """Write the predictions of a cell, or of a shard of it; ``table`` has :data:`EXAMPLE_SCHEMA`."""
    write_table(path, table, _with_version(metadata))


def read_run_file(path: Path) -> pa.Table:
    """Read a run file.

    Raises:
        DataError: It is missing, damaged, or has another schema or schema version.
    """
    return _read(path, RUN_SCHEMA, "run file")


def read_conflict_file(path: Path) -> pa.Table:
    """Read a file of :data:`CONFLICT_SCHEMA`.

    Raises:
        DataError: It is missing, damaged, or has another schema or schema version.
    """
    return _read(path, CONFLICT_SCHEMA, "conflict file")


def read_example_file(path: Path) -> pa.Table:
    """Read a file of :data:`EXAMPLE_SCHEMA`.

    Raises:
        DataError: It is missing, damaged, or has another schema or schema version.
    """
    return _read(path, EXAMPLE_SCHEMA, "example file")


def _with_version(metadata: dict[str, Any]) -> dict[str, Any]:
    return {**metadata, "schema_version": SCHEMA_VERSION}


def _metadata_of(schema: pa.Schema) -> dict[str, Any]:
    return json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))


def _read(path: Path, schema: pa.Schema, kind: str) -> pa.Table:
    table = read_table(path, kind)
    version = _metadata_of(table.schema).get("schema_version", 1)
    if version != SCHEMA_VERSION:
        raise DamagedError(path, f"schema version {version}, this code reads version {SCHEMA_VERSION}", _WAY_OUT)
    if not table.schema.equals(schema, check_metadata=False):
        raise DamagedError(path, f"its columns are not those of a {kind}", _WAY_OUT)
    return table


#: Stands in the place of a Parquet file's checksum while the checksum is computed.
_ABSENT = b"0" * 64
#: What precedes the checksum in the Parquet footer: key and, in Thrift's compact protocol, type and length of a text.
_CHECKSUM_FIELD = CHECKSUM_KEY.encode() + b"\x18\x40"
_WAY_OUT = "run snakemake again, which makes it anew"


def _content(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingError(
            f"{path}: no such {kind}; build it with: snakemake --cores all {shlex.quote(str(path))}"
        ) from None
    except OSError as error:
        raise DamagedError(path, f"not readable: {error}", "check permissions and disk") from None


def _verified(path: Path, kind: str) -> bytes:
    """Content of a Parquet file whose checksum is right."""
    content = _content(path, kind)
    blank, recorded = _split_checksum(path, content)
    if hashlib.sha256(blank).hexdigest().encode() != recorded:
        raise _damaged(path, "its checksum differs")
    return content


def _split_checksum(path: Path, content: bytes) -> tuple[bytes, bytes]:
    """A Parquet file's content as it was before its checksum was put in, and the checksum."""
    position = content.rfind(_CHECKSUM_FIELD)
    if position < 0:
        raise _damaged(path, "it has no checksum of this program")
    start, stop = position + len(_CHECKSUM_FIELD), position + len(_CHECKSUM_FIELD) + len(_ABSENT)
    return content[:start] + _ABSENT + content[stop:], content[start:stop]


def _json_checksum(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(path, f"damaged or foreign: {reason}", _WAY_OUT)
