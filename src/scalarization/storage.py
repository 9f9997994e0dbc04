"""Files that appear whole or not at all, and the one schema of run files."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scalarization.errors import DataError

#: Long table of runs: one row per run, epoch, split, task and metric. ``accuracy`` is in percent, ``loss`` is the mean
#: cross-entropy per image in nats. ``epoch`` counts finished epochs; the last one is what is reported.
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
        ("member", pa.int32()),
        ("seed", pa.int32()),
        ("weights", pa.list_(pa.float64())),
        ("epoch", pa.int32()),
        ("split", pa.string()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
#: Long table of gradient conflicts: one row per run, epoch and pair of tasks (or domains). ``steps``: counted steps in
#: which both gradients were there; in ``conflicts`` of them their cosine was negative. ``zero``: counted steps in which
#: one was zero (its domain absent from the batch) or not finite. ``mean_cosine`` is over ``steps``, ``norm_i`` and
#: ``norm_j`` are mean norms over the steps in which the gradient was there; null if there are none. Beside them, of the
#: epoch: ``train_loss``, mean over its batches; ``validation``, average over tasks of ``metric`` on the validation
#: split (``accuracy`` in percent).
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
#: What dense models predict for a few test images: one row per run, image and map. ``content`` is ``prediction``; or
#: ``image`` (0 to 255, without task) or ``target``, which are there once. ``values`` has ``shape`` [H, W, C], row by
#: row; maps are standardised, NaN is not known.
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
#: What a task's quality is measured by; of several metrics in a file the first. +1 if more is better. Dense tasks have
#: only ``l1``.
QUALITY = {"accuracy": 1.0, "l1": -1.0}
METADATA_KEY = b"scalarization"
#: End of the temporary names of :func:`replacing`.
PART = ".part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; on success it is synced to disk and renamed to ``path``, else removed.

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
        raise DataError(
            f"{path}: could not be written: {error}. Make room or check permissions, then run again"
        ) from None


@contextlib.contextmanager
def _new_part(path: Path) -> Iterator[tuple[int, Path]]:
    """An empty file beside ``path``, locked as long as this process writes it: its number and name."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: nobody takes the file for abandoned
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # else somebody was quicker and took it for abandoned
                yield handle, Path(name)
                return
        finally:
            os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed had begun to write in place of ``path``; the kernel freed their locks."""
    beginning = f".{path.name}."
    for part in path.parent.glob(f"{glob.escape(beginning)}*{PART}"):
        if "." in part.name[len(beginning) : -len(PART)]:
            continue  # it is another file's, whose name is longer
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


def write_json(path: Path, content: Any) -> None:
    """Write a readable JSON file whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def write_table(path: Path, table: pa.Table, metadata: dict[str, Any] | None = None) -> None:
    """Write a Parquet file whole or not at all.

    Args:
        path: Where to.
        table: Its rows.
        metadata: Facts about it, kept as JSON in the file's metadata under ``scalarization``.

    Raises:
        DataError: The file system refuses (full, read-only, over quota).
    """
    if metadata is not None:
        table = table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def write_run_file(path: Path, rows: Sequence[dict[str, Any]], metadata: dict[str, Any]) -> None:
    """Write the runs of a cell, or of a share of it, under :data:`RUN_SCHEMA`."""
    write_table(path, pa.Table.from_pylist(list(rows), RUN_SCHEMA), metadata)


def read_run_file(path: Path) -> pa.Table:
    """Read a run file.

    Raises:
        DataError: It is missing, damaged, or has another schema.
    """
    return _read(path, RUN_SCHEMA, "run file")


def read_conflict_file(path: Path) -> pa.Table:
    """Read a file of :data:`CONFLICT_SCHEMA`.

    Raises:
        DataError: It is missing, damaged, or has another schema.
    """
    return _read(path, CONFLICT_SCHEMA, "file of conflicts")


def _read(path: Path, schema: pa.Schema, kind: str) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such {kind}; build it with: snakemake --cores all {path}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); delete it and run snakemake again") from None
    if not table.schema.equals(schema, check_metadata=False):
        raise DataError(f"{path}: its columns are not those of a {kind}; delete it and run snakemake again")
    return table


def read_metadata(path: Path) -> dict[str, Any]:
    """The facts that :func:`write_table` put into a Parquet file."""
    return json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
