"""Official archives and pickles are read; malicious and damaged ones are refused, with the name of the file."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from scalarization.benchmarks import archives
from scalarization.benchmarks.archives import image_files, read_entries, unpickle
from scalarization.errors import DataError

from ..archives import python2_pickle, write_tar


def special_entry(name, kind, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


# --- .tar.gz ---


def test_requested_entries_are_read_and_no_file_is_written(tmp_path):
    file = tmp_path / "a.tar.gz"
    write_tar(file, {"a/one": b"1", "a/two": b"22", "a/three": b"333"}, "a")
    assert read_entries(file, ["a/two", "a/three"]) == {"a/two": b"22", "a/three": b"333"}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("contents", "entries", "words"),
    [
        ({"../out": b"x"}, (), r"\.\./out leads out of the archive"),
        ({"a/../../out": b"x"}, (), "leads out of the archive"),
        ({"/etc/out": b"x"}, (), "/etc/out leads out of the archive"),
        ({}, [special_entry("a/one", tarfile.SYMTYPE, "/etc/passwd")], "a/one is a link or a device"),
        ({}, [special_entry("a/one", tarfile.LNKTYPE, "a/two")], "a/one is a link or a device"),
        ({}, [special_entry("a/one", tarfile.CHRTYPE)], "a/one is a link or a device"),
        ({}, [special_entry("a/one", tarfile.FIFOTYPE)], "a/one is a link or a device"),
        ({"a/two": b"2"}, (), "lacks a/one"),
        ({}, [special_entry("a/one", tarfile.DIRTYPE)], "lacks a/one"),
    ],
)
def test_malicious_tar_is_refused(contents, entries, words, tmp_path):
    file = tmp_path / "a.tar.gz"
    write_tar(file, contents, extra=entries)
    with pytest.raises(DataError, match=words) as caught:
        read_entries(file, ["a/one"])
    assert str(file) in str(caught.value) and "fetch it again" in str(caught.value)


def test_duplicate_entry_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for content in (b"1", b"2"):
            entry = tarfile.TarInfo("a/one")
            entry.size = 1
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(DataError, match="holds a/one twice"):
        read_entries(tmp_path / "a.tar.gz", ["a/one"])


def bomb(name, size):
    """A .tar.gz with one file of zeros, a thousand times as large as the archive."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return gzip.compress(entry.tobuf() + bytes(size), 6)


@pytest.mark.parametrize("name", ["a/one", "a/other"])
def test_tar_that_expands_too_much(name, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALLOWED_BYTES", 1 << 20)
    (tmp_path / "a.tar.gz").write_bytes(bomb(name, 20 << 20))
    with pytest.raises(DataError, match="bytes expand to too many"):
        read_entries(tmp_path / "a.tar.gz", ["a/one"])
    monkeypatch.undo()
    if name == "a/one":
        assert len(read_entries(tmp_path / "a.tar.gz", ["a/one"])["a/one"]) == 20 << 20


def test_long_name_that_expands_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALLOWED_BYTES", 1 << 20)
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 20 << 20
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(entry.tobuf() + bytes(20 << 20)))
    with pytest.raises(DataError, match="bytes expand to too many"):
        read_entries(tmp_path / "a.tar.gz", ["a/one"])


@pytest.mark.parametrize("spoil", [lambda c: c[: len(c) // 2], lambda c: c[:50] + b"zz" + c[52:], lambda c: b"no tar"])
def test_damaged_tar(spoil, tmp_path):
    file = tmp_path / "a.tar.gz"
    write_tar(file, {"a/one": os.urandom(5000)})
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match=f"{file}: damaged"):
        read_entries(file, ["a/one"])


# --- .zip ---


def write_zip(file, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)


def link(path):
    entry = zipfile.ZipInfo(path)
    entry.external_attr = 0o120777 << 16
    return entry


def test_archive_and_folder_are_read_alike(tmp_path):
    contents = {"a/x/1.jpg": b"one", "a/y/2.jpg": b"two"}
    write_zip(tmp_path / "a.zip", contents.items())
    packed = image_files(tmp_path, "a", contents)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    unpacked = image_files(tmp_path / "elsewhere", "a", contents)
    assert {p: packed(p) for p in contents} == {p: unpacked(p) for p in contents} == contents


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("a/1.jpg", b"x"), ("../out.jpg", b"x")], r"\.\./out.jpg leads out"),
        ([("a/1.jpg", b"x"), ("/out.jpg", b"x")], "/out.jpg leads out"),
        ([("a/1.jpg", b"x"), ("a\\..\\..\\out.jpg", b"x")], "leads out"),
        ([(link("a/1.jpg"), b"/etc/passwd")], "a/1.jpg is a link"),
        ([("a/2.jpg", b"x")], "lacks 1 listed images, for example a/1.jpg"),
    ],
)
def test_malicious_zip_is_refused(entries, words, tmp_path):
    write_zip(tmp_path / "a.zip", entries)
    with pytest.raises(DataError, match=words) as caught:
        image_files(tmp_path, "a", ["a/1.jpg"])
    assert str(tmp_path / "a.zip") in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "words"), [("MAX_IMAGE_BYTES", "a/1.jpg would have"), ("ALLOWED_BYTES", "bytes would expand to")]
)
def test_zip_that_expands_too_much(limit, words, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, limit, 1 << 20)
    write_zip(tmp_path / "a.zip", [(f"a/{n}.jpg", bytes(3 << 19)) for n in (1, 2, 3)], zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=words):
        image_files(tmp_path, "a", ["a/1.jpg"])


def test_zip_that_states_a_too_small_size(tmp_path):
    write_zip(tmp_path / "a.zip", [("a/1.jpg", bytes(1 << 20))], zipfile.ZIP_DEFLATED)
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 1000)))
    with pytest.raises(DataError, match=r"a/1.jpg is damaged"):
        image_files(tmp_path, "a", ["a/1.jpg"])("a/1.jpg")


def test_damaged_image_and_damaged_zip(tmp_path):
    write_zip(tmp_path / "a.zip", [("a/1.jpg", b"sixteen bytes..." * 9)])
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace(b"sixteen", b"sixty..", 1))
    with pytest.raises(DataError, match=r"a/1.jpg is damaged"):
        image_files(tmp_path, "a", ["a/1.jpg"])("a/1.jpg")
    (tmp_path / "a.zip").write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"damaged.*fetch it again"):
        image_files(tmp_path, "a", ["a/1.jpg"])


# --- Pickles ---


class Harm:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_of_all_pickle_protocols_are_read(protocol):
    content = unpickle(pickle.dumps({"data": ARRAY, "labels": [1, 2]}, protocol), "x")
    assert content["labels"] == [1, 2] and np.array_equal(content["data"], ARRAY)


def test_pickle_of_python_2():
    content = python2_pickle({"data": ARRAY, "labels": [1, 2], "name": "x"})
    for value in (unpickle(content, "x"), pickle.loads(content, encoding="latin1")):
        assert value["labels"] == [1, 2] and value["name"] == "x"
        assert value["data"].dtype == np.uint8 and np.array_equal(value["data"], ARRAY)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Harm(os.system, "touch harm"), r"(posix|nt)\.system"),
        (Harm(eval, "open('harm', 'w')"), r"(builtins|__builtin__)\.eval"),
        (Harm(getattr, "text", "upper"), r"(builtins|__builtin__)\.getattr"),
        (Harm(np.load, "harm"), r"numpy.*\.load"),
        (np.array([1, Harm(os.system, "touch harm")], dtype=object), r"(posix|nt)\.system"),
        ({"data": ARRAY, "more": [Harm(os.system, "touch harm")]}, r"(posix|nt)\.system"),
    ],
)
def test_pickle_that_would_run_code_is_refused(value, named, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"data_batch_1: would load {named}, .*fetch it again"):
        unpickle(pickle.dumps(value, protocol), "data_batch_1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(ARRAY, 2)[:-20], b"\x80\x02\x82\x01."])
def test_damaged_pickle(content):
    with pytest.raises(DataError, match="data_batch_1: not readable as a pickle of arrays"):
        unpickle(content, "data_batch_1")
