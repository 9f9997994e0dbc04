"""Files appear whole or not at all, whoever kills their writer; what is damaged or of another schema is refused."""

import hashlib
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scalarization.errors import DamagedError, DataError, MissingError
from scalarization.storage import (
    CONFLICT_SCHEMA,
    EXAMPLE_SCHEMA,
    PART,
    RUN_SCHEMA,
    SCHEMA_VERSION,
    checksum_of,
    quarantine,
    read_conflict_file,
    read_example_file,
    read_json,
    read_metadata,
    read_run_file,
    read_table,
    replacing,
    write_bytes,
    write_conflict_file,
    write_example_file,
    write_json,
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


# --- What the file system refuses ---


@pytest.mark.parametrize("write", [write_bytes, write_json, write_table])
def test_a_refused_file_is_named(write, tmp_path):
    content = {write_bytes: b"new", write_json: {"a": 1}, write_table: pa.table({"a": [1]})}[write]
    (tmp_path / "file").write_text("a file where a folder should be")
    (tmp_path / "folder" / "full").mkdir(parents=True)  # a folder where a file should be
    for place in (tmp_path / "file" / "new", tmp_path / "folder"):
        with pytest.raises(DataError, match=r"could not be written: .* Make room or check permissions, then run again"):
            write(place, content)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_files_that_are_set_aside(tmp_path, caplog):
    (tmp_path / "file.json").write_text("{")
    quarantine(tmp_path / "file.json", "damaged")
    quarantine(tmp_path / "file.json", "damaged")  # another process was first
    assert (tmp_path / "file.json.bad").read_text() == "{" and not (tmp_path / "file.json").exists()
    assert caplog.messages == [f"{tmp_path / 'file.json'}: damaged; quarantined as file.json.bad"]
    (tmp_path / "file").write_text("kept")
    (tmp_path / "file.bad" / "full").mkdir(parents=True)
    with pytest.raises(DataError, match=r"file: damaged; could not be renamed: .* Remove it, then run again"):
        quarantine(tmp_path / "file", "damaged")
    assert (tmp_path / "file").read_text() == "kept"


# --- Checksums ---

TABLE = pa.table({"number": [1, -2], "value": [0.5, math.nan], "text": ["checksum", None], "list": [[1.0], []]})
DOCUMENT = {"number": 1, "value": 0.5, "nothing": None, "list": [1e300, -math.inf], "text": "ö", "nested": {"a": True}}


def flips(content):
    for byte in range(len(content)):
        for bit in range(8):
            yield content[:byte] + bytes([content[byte] ^ 1 << bit]) + content[byte + 1 :]


@pytest.mark.parametrize("metadata", [None, {}, {"key": "value", "checksum": "another"}])
def test_tables_and_metadata_are_read_as_written(metadata, tmp_path):
    write_table(tmp_path / "file", TABLE, metadata)
    assert repr(read_table(tmp_path / "file").to_pylist()) == repr(TABLE.to_pylist())
    assert read_metadata(tmp_path / "file") == (metadata or {})
    # Any other program reads it, too, and finds the checksum.
    assert pq.read_metadata(tmp_path / "file").metadata[b"checksum"].decode() == checksum_of(tmp_path / "file")
    assert pq.read_schema(tmp_path / "file").equals(TABLE.schema, check_metadata=False)


def test_every_flipped_bit_of_a_table_is_found(tmp_path):
    file = tmp_path / "file"
    write_table(file, TABLE, {"key": "value"})
    for content in flips(file.read_bytes()):
        file.write_bytes(content)
        for read in (read_table, read_metadata, checksum_of):
            with pytest.raises(DamagedError):
                read(file)


def test_no_flipped_bit_of_a_document_gives_another_value(tmp_path):
    file = tmp_path / "file.json"
    write_json(file, DOCUMENT)
    expected = read_json(file)
    assert {key: expected[key] for key in DOCUMENT} == DOCUMENT and checksum_of(file) == expected["checksum"]
    harmless = 0
    for content in flips(file.read_bytes()):
        file.write_bytes(content)
        try:
            found = read_json(file)
        except DamagedError:
            continue
        harmless += 1
        assert repr(found) == repr(expected)
    assert harmless < 0.05 * 8 * len(file.read_bytes())  # white space, and E for e


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"\x00" * 200,
        b"[]",
        b"null",
        b"3",
        b'"text"',
        b"{}",
        b'{"checksum": null}',
        b"\xff\xfe",
        b"[" * 10**5,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_foreign_files(content, tmp_path):
    for name, readers in (("file.json", (read_json, checksum_of)), ("file", (read_table, read_metadata, checksum_of))):
        for read in readers:
            with pytest.raises(MissingError, match="no such file"):
                read(tmp_path / name)
        (tmp_path / name).write_bytes(content)
        for read in readers:
            with pytest.raises(DamagedError, match=rf"{name}: damaged or foreign: .*; run snakemake again"):
                read(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DamagedError, match=r"folder: not readable: .*; check permissions and disk"):
        read_table(tmp_path / "folder")


def test_values_changed_by_hand(tmp_path):
    """A number edited in a JSON file, and a Parquet file that another program wrote anew with the old checksum."""
    write_json(tmp_path / "file.json", DOCUMENT)
    document = json.loads((tmp_path / "file.json").read_text())
    (tmp_path / "file.json").write_text(json.dumps(dict(reversed(document.items()))))  # only the order
    assert read_json(tmp_path / "file.json") == document
    (tmp_path / "file.json").write_text(json.dumps({**document, "value": 0.6}))
    with pytest.raises(DamagedError, match="checksum differs"):
        read_json(tmp_path / "file.json")
    write_table(tmp_path / "file", TABLE)
    written = pq.read_table(tmp_path / "file")
    pq.write_table(written.set_column(0, "number", pa.array([1, 2])), tmp_path / "file")
    with pytest.raises(DamagedError, match="checksum differs"):
        read_table(tmp_path / "file")


def test_the_page_tells_how_to_verify_a_file_without_this_package(root, tmp_path, monkeypatch, capsys):
    page = (root / "docs" / "run-files.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "scalarization" not in code
    table, document = (tmp_path / name for name in re.findall(r'pathlib\.Path\("([^"]+)"\)', code))
    monkeypatch.chdir(tmp_path)
    write_table(table, TABLE, {"key": "value"})
    write_json(document, {"number": 1})
    exec(code, {})
    assert capsys.readouterr().out == "True\nTrue\n"
    # And by hand, from the definition.
    content, recorded = table.read_bytes(), checksum_of(table).encode()
    assert content.count(recorded) == 1
    assert hashlib.sha256(content.replace(recorded, b"0" * 64)).hexdigest().encode() == recorded
    for file in (table, document):
        file.write_bytes(file.read_bytes().replace(b"number", b"numbee"))
    exec(code, {})
    assert capsys.readouterr().out == "False\nFalse\n"


def test_an_error_of_a_worker_arrives_whole():
    """Ray pickles errors."""
    error = DamagedError("file", "damaged", "delete it")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "file: damaged; delete it" and again.reason == "damaged"


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
    write_example_file(tmp_path / "examples", pa.Table.from_pylist([{"content": "image"}], EXAMPLE_SCHEMA), {})
    assert read_example_file(tmp_path / "examples").to_pylist()[0]["content"] == "image"


@pytest.mark.parametrize(
    ("read", "schema"),
    [(read_run_file, RUN_SCHEMA), (read_conflict_file, CONFLICT_SCHEMA), (read_example_file, EXAMPLE_SCHEMA)],
)
def test_another_schema_version_is_refused(read, schema, tmp_path):
    for metadata, version in ((None, 1), ({}, 1), ({"schema_version": 7}, 7)):
        write_table(tmp_path / "file", schema.empty_table(), metadata)
        message = f"file: schema version {version}, this code reads version {SCHEMA_VERSION}; run snakemake again"
        with pytest.raises(DataError, match=message):
            read(tmp_path / "file")
    write_table(tmp_path / "file", pa.table({"epoch": [1]}), {"schema_version": SCHEMA_VERSION})
    with pytest.raises(DataError, match="its columns are not those of"):
        read(tmp_path / "file")
