"""Files that appear whole or not at all, whoever is killed while writing them."""

import os
import signal
import subprocess
import sys

import pytest

from scalarization.errors import DataError
from scalarization.storage import PART, replacing, write_bytes

#: Writes half of a file, says so, and waits to be told to go on.
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


def test_what_a_killed_writer_had_begun_goes_with_the_next_one(tmp_path, writer):
    (tmp_path / f".file.parquet.abc{PART}").touch()  # of another file
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(parts(tmp_path)) == 2
    write_bytes(tmp_path / "file", b"new")
    assert parts(tmp_path) == [f".file.parquet.abc{PART}"] and (tmp_path / "file").read_bytes() == b"new"


def test_what_a_living_writer_has_begun_is_left_alone(tmp_path, writer):
    write_bytes(tmp_path / "file", b"new")
    assert len(parts(tmp_path)) == 1
    writer.communicate(b"\n")
    assert writer.returncode == 0 and (tmp_path / "file").read_bytes() == b"whole" and not parts(tmp_path)


def test_failure_leaves_what_was_there(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    with pytest.raises(DataError, match="file: could not be written: .*no room"), replacing(tmp_path / "file") as part:
        part.write_bytes(b"half")
        raise OSError("no room")
    assert (tmp_path / "file").read_bytes() == b"old" and not parts(tmp_path)
