"""Files appear whole or not at all, also when their writer is killed; files of another schema version are refused."""

import os
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from scalarization.errors import DataError
from scalarization.storage import (
    CONFLICT_SCHEMA,
    EXAMPLE_SCHEMA,
    PART,
    RUN_SCHEMA,
    SCHEMA_VERSION,
    read_conflict_file,
    read_example_file,
    read_metadata,
    read_run_file,
    replacing,
    write_bytes,
    write_conflict_file,
    write_example_file,
    write_run_file,
    write_table,
)

#: Writes half of a file, prints that it did, and waits for a line before it writes the rest.
WRITER = """
import sys
from pathlib import Path
from scalarization.storage import replacing

with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.readline()
    temporary.write_bytes(b"whole")
"""


@pytest.fixture
def writer(tmp_path, root):
    """A process that has written half of a file."""
    command = [sys.executable, "-c", WRITER, tmp_path / "file"]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"half\n"
        yield process
        process.kill()


def parts(directory):
    return [file.name for file in directory.iterdir() if file.name.endswith(PART)]


def test_next_writer_removes_the_part_of_a_killed_one(tmp_path, writer):
    (tmp_path / f".file.parquet.abc{PART}").touch()  # a part of another file
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(parts(tmp_path)) == 2
    write_bytes(tmp_path / "file", b"new")
    assert parts(tmp_path) == [f".file.parquet.abc{PART}"] and (tmp_path / "file").read_bytes() == b"new"


def test_part_of_a_running_writer_is_kept(tmp_path, writer):
    write_bytes(tmp_path / "file", b"new")
    assert len(parts(tmp_path)) == 1
    writer.communicate(b"\n")
    assert writer.returncode == 0 and (tmp_path / "file").read_bytes() == b"whole" and not parts(tmp_path)


def test_failure_keeps_the_previous_file(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    with pytest.raises(DataError, match=r"file: could not be written: .*no room"), replacing(tmp_path / "file") as part:
        part.write_bytes(b"half")
        raise OSError("no room")
    assert (tmp_path / "file").read_bytes() == b"old" and not parts(tmp_path)


# --- Schema versions ---

ROW = {"benchmark": "digits", "weight_setting": 3, "weights": [0.25, 0.75], "epoch": 1, "metric": "accuracy"}


def test_run_file_keeps_rows_metadata_and_schema_version(tmp_path):
    write_run_file(tmp_path / "run", [ROW, {}], {"specification": {"epochs": 1}})
    table = read_run_file(tmp_path / "run")
    assert {name: table.to_pylist()[0][name] for name in ROW} == ROW and table.num_rows == 2
    assert read_metadata(tmp_path / "run") == {"specification": {"epochs": 1}, "schema_version": SCHEMA_VERSION}
    # Merging shards passes on the metadata of one of them.
    write_run_file(tmp_path / "merged", table.to_pylist(), read_metadata(tmp_path / "run"))
    assert read_run_file(tmp_path / "merged").equals(table)


def test_conflict_and_example_files_have_the_schema_version(tmp_path):
    write_conflict_file(tmp_path / "conflicts", [{"weight_setting": 0, "conflicts": 2}], {"a": 1})
    assert read_conflict_file(tmp_path / "conflicts").to_pylist()[0]["conflicts"] == 2
    assert read_metadata(tmp_path / "conflicts") == {"a": 1, "schema_version": SCHEMA_VERSION}
    write_example_file(tmp_path / "examples", pa.Table.from_pylist([{"content": "image"}], EXAMPLE_SCHEMA))
    assert read_example_file(tmp_path / "examples").to_pylist()[0]["content"] == "image"


@pytest.mark.parametrize(
    ("read", "schema"),
    [(read_run_file, RUN_SCHEMA), (read_conflict_file, CONFLICT_SCHEMA), (read_example_file, EXAMPLE_SCHEMA)],
)
def test_another_schema_version_is_refused(read, schema, tmp_path):
    for metadata, version in ((None, 1), ({}, 1), ({"schema_version": 7}, 7)):
        write_table(tmp_path / "file", schema.empty_table(), metadata)
        message = (
            f"file: schema version {version}, this code reads version {SCHEMA_VERSION}; delete it and run snakemake"
        )
        with pytest.raises(DataError, match=message):
            read(tmp_path / "file")
    write_table(tmp_path / "file", pa.table({"epoch": [1]}), {"schema_version": SCHEMA_VERSION})
    with pytest.raises(DataError, match="its columns are not those of"):
        read(tmp_path / "file")
